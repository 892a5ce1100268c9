"""The App and its installations: /app, tokens, hook config, deliveries, the conversion of a manifest, /meta."""

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.calls import As, Call, Endpoint, Reply, not_found
from github_app.simulator.github.shapes import iso
from github_app.simulator.github.state import Account, Delivery, Installation, Repository


async def _app(call: Call) -> Reply:
    return Reply(call.github.shapes.app(call.app))


async def _installations(call: Call) -> Reply:
    found, link = call.page([i for i in call.github.world.installations.values() if i.app is call.app])
    return Reply([call.github.shapes.installation(i) for i in found], headers=link)


async def _installation(call: Call) -> Reply:
    return Reply(call.github.shapes.installation(_own_installation(call)))


async def _organization_installation(call: Call) -> Reply:
    account = call.github.world.accounts.get(call.path("org").lower())
    return _installation_on(call, account if account and account.kind == "Organization" else None)


async def _repository_installation(call: Call) -> Reply:
    repository = call.github.world.repositories.get(f"{call.path('owner')}/{call.path('repo')}".lower())
    return _installation_on(call, repository.owner if repository else None)


def _installation_on(call: Call, account: Account | None) -> Reply:
    for installation in call.github.world.installations.values():
        if installation.app is call.app and installation.account is account:
            return Reply(call.github.shapes.installation(installation))
    raise not_found()


async def _token(call: Call) -> Reply:
    body = call.body()
    installation = _own_installation(call)
    token, record = call.github.authority.mint(installation, body.get("permissions"))
    record.repositories = _chosen(call, installation.account)
    answer: dict[str, object] = {
        "token": token,
        "expires_at": iso(record.expires_at),
        "permissions": record.permissions,
        "repository_selection": "all" if record.repositories is None else "selected",
    }
    if record.repositories is not None:
        answer["repositories"] = [call.github.shapes.repository(r) for r in record.repositories]
    return Reply(answer, 201)


def _chosen(call: Call, owner: Account) -> list[Repository] | None:
    """The repositories that a token is narrowed to, given by name or by id."""
    wanted = [*(call.body().get("repositories") or ()), *(call.body().get("repository_ids") or ())]
    own = [r for r in call.github.world.repositories.values() if r.owner is owner]
    chosen = [r for r in own if r.name in wanted or r.id in wanted]
    if len(chosen) < len(set(wanted)):
        raise ApiError(422, "There is at least one repository that does not exist or is not accessible.")
    return chosen or None


async def _revoke_token(call: Call) -> Reply:
    tokens = call.github.world.tokens
    for name in [name for name, record in tokens.items() if record is call.token]:
        del tokens[name]
    return Reply(status=204)


async def _hook_config(call: Call) -> Reply:
    if call.request.method == "PATCH":
        body = call.body()
        # Who changes a webhook and names no secret takes the one away that it had.
        url, secret = body.get("url", call.app.hook_url), body.get("secret", "")
        if not isinstance(url, str) or not isinstance(secret, str):
            raise ApiError(422, "Validation Failed: url and secret are strings.")
        if body.get("content_type", "json") != "json":
            raise ApiError(501, "Deliveries as a form are not simulated.")
        call.app.hook_url, call.app.webhook_secret = url, secret
    config = {"url": call.app.hook_url, "content_type": "json", "insecure_ssl": "0", "secret": "********"}
    return Reply(config)


async def _deliveries(call: Call) -> Reply:
    """Newest first; `cursor` is the id of the last one seen."""
    newest_first = sorted(_own_deliveries(call), key=lambda delivery: -delivery.id)
    if call.query("status") == "failure":
        newest_first = [d for d in newest_first if d.status not in {"OK", "pending"}]
    elif call.query("status") == "success":
        newest_first = [d for d in newest_first if d.status == "OK"]
    if cursor := call.query("cursor"):
        if not cursor.isdigit():
            raise ApiError(422, "Invalid cursor")
        newest_first = [d for d in newest_first if d.id < int(cursor)]
    found, more = call.page(newest_first)
    link = {}
    if more:
        link["Link"] = f'<{call.request.url.include_query_params(cursor=found[-1].id)}>; rel="next"'
    return Reply([call.github.shapes.delivery(d) for d in found], headers=link)


async def _delivery(call: Call) -> Reply:
    return Reply(call.github.shapes.delivery(_own_delivery(call), whole=True))


async def _redeliver(call: Call) -> Reply:
    call.github.webhooks.redeliver(_own_delivery(call))
    return Reply({}, 202)


async def _convert_manifest(call: Call) -> Reply:
    return Reply(call.github.registration.convert(call.path("code")), 201)


async def _repositories(call: Call) -> Reply:
    own = [r for r in call.github.world.repositories.values() if call.reaches(r)]
    found, link = call.page(own)
    shapes = call.github.shapes
    body = {"total_count": len(own), "repositories": [shapes.repository(r) for r in found]}
    return Reply(body, headers=link)


async def _meta(_call: Call) -> Reply:
    return Reply({"verifiable_password_authentication": False, "hooks": ["127.0.0.0/8"]})


def _own_installation(call: Call) -> Installation:
    installation = call.github.world.installations.get(call.number("installation_id"))
    if installation is None or installation.app is not call.app:
        raise not_found()
    return installation


def _own_deliveries(call: Call) -> list[Delivery]:
    return [d for d in call.github.world.deliveries.values() if d.app is call.app]


def _own_delivery(call: Call) -> Delivery:
    delivery = call.github.world.deliveries.get(call.number("delivery_id"))
    if delivery is None or delivery.app is not call.app:
        raise not_found()
    return delivery


ENDPOINTS = (
    Endpoint("GET", "/app", _app, As.APP),
    Endpoint("GET", "/app/installations", _installations, As.APP),
    Endpoint("GET", "/app/installations/{installation_id}", _installation, As.APP),
    Endpoint("POST", "/app/installations/{installation_id}/access_tokens", _token, As.APP),
    Endpoint("GET", "/orgs/{org}/installation", _organization_installation, As.APP),
    Endpoint("GET", "/repos/{owner}/{repo}/installation", _repository_installation, As.APP),
    Endpoint("GET", "/app/hook/config", _hook_config, As.APP),
    Endpoint("PATCH", "/app/hook/config", _hook_config, As.APP),
    Endpoint("GET", "/app/hook/deliveries", _deliveries, As.APP),
    Endpoint("GET", "/app/hook/deliveries/{delivery_id}", _delivery, As.APP),
    Endpoint("POST", "/app/hook/deliveries/{delivery_id}/attempts", _redeliver, As.APP),
    Endpoint("POST", "/app-manifests/{code}/conversions", _convert_manifest, As.ANYONE),
    Endpoint("GET", "/installation/repositories", _repositories, needs=("metadata", "read")),
    Endpoint("DELETE", "/installation/token", _revoke_token),
    Endpoint("GET", "/meta", _meta, As.ANYONE),
)
