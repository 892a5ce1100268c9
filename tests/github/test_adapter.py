"""The traps of githubkit and of GitHub's API, each as it is seen from the adapter, against a server that sets them."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github import Connection, Runners
from github_app.github import connection as connection_module
from github_app.github.connection import SharedTransport
from github_app.github.tokens import InstallationToken, InstallationTokens, TokenKey, permissions
from github_app.model import Place, Scope
from tests.worlds.records import PERSONAL_PLACE, PLACE
from tests.worlds.stub_github import JIT, Answer, StubGitHub, jit, token

EXCHANGE = "access_tokens"
SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}


@pytest.fixture
async def connection(stub: StubGitHub, private_key: RSAPrivateKey) -> AsyncIterator[Connection]:
    # Without the environment: a proxy of this machine is not part of these tests.
    transport = SharedTransport(trust_env=False)
    connection = Connection(api_url=stub.url, app_id=12345, private_key=private_key, transport=transport)
    yield connection
    await connection.close()


@pytest.fixture
def runners(connection: Connection) -> Runners:
    return Runners(connection, group_id=1)


async def failure(call: Awaitable[object]) -> GitHubError:
    """The GitHubError that a call ends with."""
    with pytest.raises(GitHubError) as caught:
        await call
    return caught.value


# Timeouts


@pytest.mark.parametrize("silent", [JIT, EXCHANGE], ids=["a call", "the token exchange"])
async def test_a_server_that_does_not_answer_is_given_up_in_time(
    stub: StubGitHub, private_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setattr(connection_module, "TIMEOUT", httpx.Timeout(0.3))
    connection = Connection(
        api_url=stub.url, app_id=1, private_key=private_key, transport=SharedTransport(trust_env=False)
    )
    stub.plan(silent, Answer(after=30))
    async with asyncio.timeout(3):
        error = await failure(jit(Runners(connection, group_id=1)))
    await connection.close()

    assert (error.status, error.retryable) == (None, True)
    assert len(stub.asked(silent)) == 1


async def test_the_timeouts_in_force_are_finite() -> None:
    assert all(0 < (limit or 0) <= 30 for limit in connection_module.TIMEOUT.as_dict().values())


async def test_a_refused_connection_is_a_retryable_error(private_key: RSAPrivateKey) -> None:
    connection = Connection(
        api_url="http://127.0.0.1:9", app_id=1, private_key=private_key, transport=SharedTransport(trust_env=False)
    )
    error = await failure(jit(Runners(connection, group_id=1)))
    await connection.close()

    assert (error.status, error.retryable) == (None, True)


# Tokens


async def test_twenty_cold_calls_at_once_exchange_one_token(stub: StubGitHub, runners: Runners) -> None:
    stub.plan(EXCHANGE, token("ghs_first", after=0.1))
    await asyncio.gather(*(jit(runners, name=f"modal-{number}-1") for number in range(20)))

    assert len(stub.asked(EXCHANGE)) == 1
    assert len(stub.asked(JIT)) == 20


async def test_a_failed_exchange_fails_its_callers_and_not_the_next(stub: StubGitHub, runners: Runners) -> None:
    stub.plan(EXCHANGE, Answer(500))
    error = await failure(jit(runners))

    assert error.status == 500
    assert await jit(runners)


async def test_a_token_is_used_until_five_minutes_before_it_expires() -> None:
    now, exchanged = 1000.0, 0

    async def exchange(_key: TokenKey) -> InstallationToken:
        nonlocal exchanged
        exchanged += 1
        return _token(expires_at=now + 3600)

    tokens = InstallationTokens(exchange, clock=lambda: now)
    key = TokenKey("https://api.github.com", 1, permissions({"actions": "read"}), None)
    await tokens.get(key)
    now = 1000.0 + 3299
    await tokens.get(key)
    assert exchanged == 1

    now = 1000.0 + 3301
    await tokens.get(key)
    assert exchanged == 2


@pytest.mark.parametrize(
    "other",
    [
        TokenKey("https://ghe.example/api/v3", 1, permissions({"actions": "read"}), None),
        TokenKey("https://api.github.com", 2, permissions({"actions": "read"}), None),
        TokenKey("https://api.github.com", 1, permissions({"actions": "write"}), None),
        TokenKey("https://api.github.com", 1, permissions({"actions": "read"}), 5),
    ],
    ids=["host", "installation", "permissions", "repository"],
)
async def test_a_token_serves_only_its_own_host_installation_permissions_and_repository(other: TokenKey) -> None:
    async def exchange(_key: TokenKey) -> InstallationToken:
        return _token(expires_at=2000.0)

    tokens = InstallationTokens(exchange, clock=lambda: 0.0)
    key = TokenKey("https://api.github.com", 1, permissions({"actions": "read"}), None)

    assert await tokens.get(key) is await tokens.get(key)
    assert await tokens.get(key) is not await tokens.get(other)


async def test_two_hosts_with_equal_ids_share_no_token(private_key: RSAPrivateKey, stub: StubGitHub) -> None:
    for path in ("", "/api/v3"):
        connection = Connection(
            api_url=stub.url + path, app_id=1, private_key=private_key, transport=SharedTransport(trust_env=False)
        )
        await jit(Runners(connection, group_id=1))
        await connection.close()

    assert [seen.path for seen in stub.asked(EXCHANGE)] == [
        "/app/installations/44/access_tokens",
        "/api/v3/app/installations/44/access_tokens",
    ]


async def test_a_revoked_token_is_exchanged_once_more_and_the_call_repeated(stub: StubGitHub, runners: Runners) -> None:
    await jit(runners)
    stub.plan(EXCHANGE, token("ghs_second"))
    stub.plan(JIT, Answer(401, {"message": "Bad credentials"}))
    await jit(runners)

    assert len(stub.asked(EXCHANGE)) == 2
    assert [seen.headers["authorization"].split()[-1][:10] for seen in stub.asked(JIT)][1:] == [
        "ghs_aaaaaa",
        "ghs_second",
    ]


async def test_a_second_401_is_an_error_and_not_another_exchange(stub: StubGitHub, runners: Runners) -> None:
    stub.plan(JIT, *[Answer(401, {"message": "Bad credentials"})] * 5)
    error = await failure(jit(runners))

    assert (error.status, error.retryable) == (401, False)
    assert (len(stub.asked(EXCHANGE)), len(stub.asked(JIT))) == (2, 2)


async def test_calls_that_all_meet_a_revoked_token_exchange_one_new_token(stub: StubGitHub, runners: Runners) -> None:
    await jit(runners)
    stub.plan(EXCHANGE, token("ghs_second"), token("ghs_third"))
    stub.plan(JIT, *[Answer(401, {"message": "Bad credentials"}, after=0.1)] * 10)
    await asyncio.gather(*(jit(runners, name=f"modal-{number}-1") for number in range(10)))

    assert len(stub.asked(EXCHANGE)) == 2


@pytest.mark.parametrize(
    ("answer", "status", "retryable"),
    [
        (Answer(401, {"message": "A JSON web token could not be decoded"}), 401, False),
        (Answer(404, {"message": "Not Found"}), 404, False),
        (Answer(422, {"message": "The permissions requested are not granted to this installation."}), 422, False),
        (Answer(429, SECONDARY, {"retry-after": "7"}), 429, True),
        (Answer(500), 500, True),
        (Answer(502), 502, True),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
async def test_a_refused_exchange_comes_out_with_githubs_status(
    stub: StubGitHub, runners: Runners, answer: Answer, status: int, *, retryable: bool
) -> None:
    stub.plan(EXCHANGE, answer)
    error = await failure(jit(runners))

    assert (error.status, error.retryable) == (status, retryable)
    assert "token" in str(error)


@pytest.mark.parametrize("given", ["ghs_" + "x" * 36, f"ghs_12345_{'a' * 120}.{'b' * 240}.{'c' * 150}"])
async def test_a_token_of_either_format_is_sent_as_it_came(stub: StubGitHub, runners: Runners, given: str) -> None:
    stub.plan(EXCHANGE, token(given))
    await jit(runners)

    assert stub.asked(JIT)[0].headers["authorization"] in {f"token {given}", f"Bearer {given}"}


async def test_an_exchange_is_signed_by_the_app_and_lives_at_most_ten_minutes(
    stub: StubGitHub, runners: Runners
) -> None:
    await jit(runners)
    jwt = stub.asked(EXCHANGE)[0].headers["authorization"].split()[1].split(".")
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in jwt[:2])

    assert head["alg"] == "RS256"
    assert str(claims["iss"]) == "12345"
    assert claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] <= 600


# Permissions


@pytest.mark.parametrize(
    ("place", "body"),
    [
        (PLACE, {"permissions": {"organization_self_hosted_runners": "write"}}),
        (PERSONAL_PLACE, {"permissions": {"administration": "write"}, "repository_ids": [33]}),
    ],
    ids=["organization", "personal account"],
)
async def test_a_token_has_what_the_call_needs_and_no_more(
    stub: StubGitHub, runners: Runners, place: Place, body: dict[str, Any]
) -> None:
    await jit(runners, place)
    await runners.remove(place, 7)

    assert [seen.json for seen in stub.asked(EXCHANGE)] == [body]


async def test_the_default_group_is_read_with_no_more_than_the_runners_permission(
    stub: StubGitHub, connection: Connection
) -> None:
    await jit(Runners(connection, group_id=None))

    assert {tuple(seen.json["permissions"]) for seen in stub.asked(EXCHANGE)} == {("organization_self_hosted_runners",)}


# Connections and caches


async def test_many_calls_go_over_one_connection(stub: StubGitHub, runners: Runners) -> None:
    for number in range(30):
        await jit(runners, name=f"modal-{number}-1")

    assert stub.connections == 1


async def test_no_answer_is_taken_from_a_cache(stub: StubGitHub, connection: Connection) -> None:
    cacheable = {"cache-control": "public, max-age=3600", "etag": '"1"'}
    stub.plan("runner-groups", *[Answer(200, stub.always["runner-groups"].body, cacheable)] * 2)
    for _ in range(2):
        await jit(Runners(connection, group_id=None))

    assert len(stub.asked("runner-groups")) == 2
    assert not any("if-none-match" in seen.headers for seen in stub.seen)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_post_that_fails_is_not_repeated_behind_our_back(
    stub: StubGitHub, runners: Runners, status: int
) -> None:
    stub.plan(JIT, Answer(status, {"message": "Server Error"}, {"x-github-request-id": "AB:CD"}))
    error = await failure(jit(runners))

    assert (error.status, error.retryable, error.request_id) == (status, True, "AB:CD")
    assert len(stub.asked(JIT)) == 1


# Limits


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (Answer(429, SECONDARY, {"retry-after": "17"}), 17, 17),
        (Answer(403, SECONDARY, {"retry-after": "17"}), 17, 17),
        (Answer(429, SECONDARY, {"retry-after": formatdate(time.time() + 900, usegmt=True)}), 100, 900),
        (Answer(403, SECONDARY, {"retry-after": "soon"}), 60, 60),
        (Answer(403, SECONDARY, {"retry-after": "-5"}), 60, 60),
        (Answer(403, SECONDARY, {"retry-after": "\xb2"}), 60, 60),
        (Answer(403, SECONDARY), 60, 60),
        (Answer(429, {"message": "Too many requests"}), 60, 60),
        (Answer(429), 60, 60),
        (
            Answer(
                403,
                {"message": "API rate limit exceeded for installation."},
                {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 1200)},
            ),
            200,
            1200,
        ),
    ],
    ids=[
        "429, number",
        "403, number",
        "date",
        "word",
        "negative",
        "odd digit",
        "403 without headers",
        "429 without headers",
        "429 without body",
        "primary",
    ],
)
async def test_a_limit_is_retryable_after_the_time_that_github_asks_for(
    stub: StubGitHub, runners: Runners, answer: Answer, least: float, most: float
) -> None:
    stub.plan(JIT, answer)
    async with asyncio.timeout(5):
        error = await failure(jit(runners))

    assert error.retryable
    assert least <= (error.retry_after or 0) <= most
    assert len(stub.asked(JIT)) == 1


@pytest.mark.parametrize("status", [403, 404, 409, 422])
async def test_a_refusal_that_is_no_limit_is_not_retryable(stub: StubGitHub, runners: Runners, status: int) -> None:
    stub.plan(JIT, Answer(status, {"message": "Resource not accessible by integration"}))
    error = await failure(jit(runners))

    assert (error.status, error.retryable, error.retry_after) == (status, False, None)
    assert "Resource not accessible by integration" in str(error)


async def test_an_answer_that_makes_no_sense_is_an_error_that_quotes_none_of_it(
    stub: StubGitHub, runners: Runners
) -> None:
    stub.plan(JIT, Answer(201, {"runner": {"id": "seven"}, "encoded_jit_config": "canary"}))
    error = await failure(jit(runners))

    assert not error.retryable
    assert "runner.id" in str(error)
    assert "canary" not in str(error)


async def test_an_answer_on_which_githubkit_gives_up_is_an_error_of_ours(stub: StubGitHub, runners: Runners) -> None:
    stub.plan(JIT, Answer(403, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}))
    error = await failure(jit(runners))

    assert not error.retryable
    assert "ValueError" in str(error)


# Runners


async def test_an_organisations_runner_is_registered_at_the_organisation(stub: StubGitHub, runners: Runners) -> None:
    config = await jit(runners)
    [asked] = stub.asked(JIT)

    assert (asked.method, asked.path) == ("POST", "/orgs/octo-org/actions/runners/generate-jitconfig")
    assert (config.runner_id, config.encoded.get_secret_value()) == (7, "ZW5jb2RlZA==")


async def test_a_personal_accounts_runner_is_registered_at_the_repository(stub: StubGitHub, runners: Runners) -> None:
    await jit(runners, PERSONAL_PLACE)

    assert [seen.path for seen in stub.asked(JIT)] == ["/repos/octocat/tools/actions/runners/generate-jitconfig"]


async def test_labels_are_registered_exactly_as_the_job_wrote_them(stub: StubGitHub, runners: Runners) -> None:
    labels = ["Self-Hosted", "MODAL", "gpu:H100", "überall", "a label, with commas", "x" * 250]
    await jit(runners, labels=labels)

    assert stub.asked(JIT)[0].json["labels"] == labels
    assert stub.asked(JIT)[0].json["name"] == "modal-11-1"


async def test_the_default_group_is_read_once_for_each_organisation(stub: StubGitHub, connection: Connection) -> None:
    runners = Runners(connection, group_id=None)
    for number in range(3):
        await jit(runners, name=f"modal-{number}-1")
    await jit(runners, Place(Scope("other-org"), 44))

    assert [seen.json["runner_group_id"] for seen in stub.asked(JIT)] == [3, 3, 3, 3]
    assert len(stub.asked("runner-groups")) == 2


async def test_the_group_of_the_settings_wins_and_none_is_read(stub: StubGitHub, connection: Connection) -> None:
    await jit(Runners(connection, group_id=9))

    assert stub.asked(JIT)[0].json["runner_group_id"] == 9
    assert not stub.asked("runner-groups")


@pytest.mark.parametrize("status", [403, 404, 500, 501, 503])
async def test_groups_that_cannot_be_read_do_not_keep_a_job_from_its_runner_and_are_asked_for_again(
    stub: StubGitHub, connection: Connection, status: int
) -> None:
    runners = Runners(connection, group_id=None)
    stub.plan("runner-groups", Answer(status, {"message": "no"}))
    for number in range(2):
        await jit(runners, name=f"modal-{number}-1")

    assert [seen.json["runner_group_id"] for seen in stub.asked(JIT)] == [1, 3]


async def test_no_more_than_twenty_calls_are_under_way_at_once(stub: StubGitHub, runners: Runners) -> None:
    stub.always[JIT] = Answer(201, stub.always[JIT].body, after=0.05)
    await asyncio.gather(*(jit(runners, name=f"modal-{number}-1") for number in range(60)))

    assert stub.connections <= 20


@pytest.mark.parametrize(
    ("place", "path"),
    [(PLACE, "/orgs/octo-org/actions/runners/7"), (PERSONAL_PLACE, "/repos/octocat/tools/actions/runners/7")],
)
async def test_a_runner_is_removed_where_it_was_registered(
    stub: StubGitHub, runners: Runners, place: Place, path: str
) -> None:
    await runners.remove(place, 7)

    assert [(seen.method, seen.path) for seen in stub.seen[1:]] == [("DELETE", path)]


# Secrets


async def test_no_repr_shows_the_key_or_a_token(
    stub: StubGitHub, connection: Connection, runners: Runners, pem: str
) -> None:
    config = await jit(runners)
    strategy = connection._app.auth
    shown = "".join(map(repr, [connection, runners, config, strategy, _deep(connection), _deep(strategy)]))
    secret_lines = [*pem.splitlines()[1:-1], stub.always[EXCHANGE].body["token"], "ZW5jb2RlZA=="]

    assert not [line for line in secret_lines if line in shown]


def _deep(thing: object) -> list[str]:
    """The reprs of all that hangs on a thing, three levels down."""
    level, shown = [thing], []
    for _ in range(3):
        level = [value for one in level for value in getattr(one, "__dict__", {}).values()]
        shown += [repr(value) for value in level]
    return shown


def _token(expires_at: float) -> InstallationToken:
    return InstallationToken(SecretStr("ghs_x"), expires_at)
