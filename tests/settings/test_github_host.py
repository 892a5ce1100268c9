"""A GitHub Enterprise Server: the same app, told by one variable, against GitHub's contract of that server."""

import pytest

from github_app.settings.github_host import host
from tests.worlds.universe import PLAIN, universe


async def test_jobs_run_and_are_swept_on_an_enterprise_server() -> None:
    async with universe(enterprise=True, settings={"github_enterprise_domain": "ghe.example.com"}) as it:
        it.push({"heard": (PLAIN, 5)})
        await it.until_done()
        it.script.lose_deliveries = True
        it.push({"unheard": (PLAIN, 5)})
        it.script.lose_deliveries = False
        report = await it.sweep()
        await it.until_done()

        assert {job.conclusion for job in it.github.jobs()} == {"success"}
        assert report.problems == []


async def test_a_server_that_is_spoken_to_as_github_com_refuses_its_rest_version() -> None:
    async with universe(enterprise=True) as it:
        it.github._bad_requests_allowed = True  # type: ignore[attr-defined]
        report = await it.sweep()

        assert any("REST version" in problem for problem in report.problems)


@pytest.mark.parametrize(
    ("domain", "api", "version", "limit_s", "days"),
    [
        (None, "https://api.github.com", None, 10, 3),
        ("acme.ghe.com", "https://api.acme.ghe.com", None, 10, 3),
        ("ghe.example.com", "https://ghe.example.com/api/v3", "2022-11-28", 30, 7),
        ("ghe.example.com:8443", "https://ghe.example.com:8443/api/v3", "2022-11-28", 30, 7),
    ],
)
def test_the_domain_decides(domain: str | None, api: str, version: str | None, limit_s: float, days: int) -> None:
    found = host(domain)

    assert (found.api_url, found.rest_version, found.answer_limit_s) == (api, version, limit_s)
    assert found.redelivery_window_s == days * 86400


def test_another_rest_base_changes_nothing_else() -> None:
    found = host("ghe.example.com", "http://127.0.0.1:1/api/v3")

    assert found.api_url == "http://127.0.0.1:1/api/v3"
    assert found.domains == host("ghe.example.com").domains


async def test_the_installation_of_a_stranger_is_refused_unless_it_may_use_the_app() -> None:
    for allowed in ((), ("Stranger",)):
        async with universe(settings={"allowed_owners": allowed}) as it:
            stranger = it.github.world.add_account("stranger")
            installation = it.github.install(it.app, stranger)
            theirs = it.github.world.add_repository(stranger, "their-repo")
            it.push({"job": (PLAIN, 5)}, theirs)
            await it.github.webhooks.settle()
            answers = [each.response for each in it.github.world.deliveries.values() if each.event == "workflow_job"]

            assert installation.id != it.installation.id
            assert any("accepted" in each for each in answers) is bool(allowed)
            assert any("is not one of this App's" in each for each in answers) is not bool(allowed)
