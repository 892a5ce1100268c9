"""The App and its installations: /app, tokens, hook config, deliveries, the conversion of a manifest, /meta."""

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.calls import As, Call, Endpoint, Reply, not_found
from github_app.simulator.github.shapes import iso
from github_app.simulator.github.state import Delivery, Installation


async def _app(call: Call) -> Reply:
    return Reply(call.github.shapes.app(call.app))


async def _installations(call: Call) -> Reply:
    found, link = call.page([i for i in call.github.world.installations.values() if i.app is call.app])
    return Reply([call.github.shapes.installation(i) for i in found], headers=link)


async def _installation(call: Call) -> Reply:
    return Reply(call.github.shapes.installation(_own_installation(call)))


async def _account_installation(call: Call) -> Reply:
    """GET /orgs/{org}/installation and /repos/{owner}/{repo}/installation."""
    login = call.request.path_params.get("org") or call.path("owner")
    for installation in call.github.world.installations.values():
        if installation.app is call.app and installation.account.login.lower() == str(login).lower():
            return Reply(call.github.shapes.installation(installation))
    raise not_found()


async def _token(call: Call) -> Reply:
    body = call.body()
    token, record = call.github.authority.mint(_own_installation(call), body.get("permissions"))
    answer = {
        "token": token,
        "expires_at": iso(record.expires_at),
        "permissions": record.permissions,
        "repository_selection": "selected" if body.get("repository_ids") else "all",
    }
    return Reply(answer, 201)


async def _revoke_token(call: Call) -> Reply:
    tokens = call.github.world.tokens
    for name in [name for name, record in tokens.items() if record is call.token]:
        del tokens[name]
    return Reply(status=204)


async def _hook_config(call: Call) -> Reply:
    if call.request.method == "PATCH":
        body = call.body()
        call.app.hook_url = str(body.get("url", call.app.hook_url))
        call.app.webhook_secret = str(body.get("secret", call.app.webhook_secret))
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
    own = [r for r in call.github.world.repositories.values() if r.owner is call.installation.account]
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
    return [d for d in call.github.world.deliveries.values() if d.installation.app is call.app]


def _own_delivery(call: Call) -> Delivery:
    delivery = call.github.world.deliveries.get(call.number("delivery_id"))
    if delivery is None or delivery.installation.app is not call.app:
        raise not_found()
    return delivery


ENDPOINTS = (
    Endpoint("GET", "/app", _app, As.APP),
    Endpoint("GET", "/app/installations", _installations, As.APP),
    Endpoint("GET", "/app/installations/{installation_id}", _installation, As.APP),
    Endpoint("POST", "/app/installations/{installation_id}/access_tokens", _token, As.APP),
    Endpoint("GET", "/orgs/{org}/installation", _account_installation, As.APP),
    Endpoint("GET", "/repos/{owner}/{repo}/installation", _account_installation, As.APP),
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
