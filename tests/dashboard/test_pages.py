"""The dashboard over HTTP: who sees what, what is shown of strangers' text, and what an owner may do."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from github_app.lifecycle import gated
from github_app.simulator.github.auth import ApiError
from github_app.store import HISTORY, RUNNERS
from tests.worlds.records import job
from tests.worlds.signed_in import csrf_of, dashboard_url, sign_in, visitor
from tests.worlds.universe import Universe, universe

PLAIN = ["self-hosted", "modal"]
PAGES = ("/", "/jobs", "/latency", "/spend", "/health")


@contextlib.asynccontextmanager
async def a_team(**more: object) -> AsyncIterator[Universe]:
    """An owner, a developer who sees `octo-repo` and not `secret-repo`, and a stranger."""
    async with universe(**more) as it:  # type: ignore[arg-type]
        it.github.world.add_repository(it.organization, "secret-repo")
        it.github.add_person("octo-owner", roles={"octo-org": "admin"})
        it.github.add_person("octo-dev", roles={"octo-org": "member"}, sees={"octo-org/octo-repo"})
        it.github.add_person("octo-guest")
        yield it


def _secret(it: Universe) -> object:
    return next(each for each in it.github.world.repositories.values() if each.name == "secret-repo")


async def test_without_a_sign_in_nothing_is_told() -> None:
    async with a_team() as it, visitor(it) as nobody:
        it.push({"a-telling-name": (PLAIN, 600)})
        await it.until(lambda: it.job("a-telling-name").status == "in_progress")
        number = it.job("a-telling-name").id
        answers = [await nobody.get(path) for path in (*PAGES, f"/jobs/{number}", f"/jobs/{number}/log")]

    assert [each.status_code for each in answers] == [200, *[401] * 6]
    assert all("Sign in with GitHub" in each.text and "a-telling-name" not in each.text for each in answers)


async def test_people_see_the_jobs_of_repositories_that_github_lets_them_see_and_no_others() -> None:
    async with a_team() as it:
        it.push({"open": (PLAIN, 600)})
        it.push({"veiled": (PLAIN, 600)}, _secret(it))  # type: ignore[arg-type]
        await it.until(lambda: all(it.job(name).status == "in_progress" for name in ("open", "veiled")))
        seen = {}
        for login in ("octo-owner", "octo-dev", "octo-guest"):
            async with visitor(it, login) as someone:
                text = "".join([(await someone.get(page)).text for page in PAGES])
                guessed = [
                    await someone.get(f"/jobs/{it.job(name).id}{end}")
                    for name in ("open", "veiled")
                    for end in ("", "/log")
                ]
                seen[login] = ("open" in text, "veiled" in text, [each.status_code for each in guessed])
                if login == "octo-dev":
                    unknown = await someone.get("/jobs/999999999")
                    hidden = guessed[2]

    assert seen["octo-owner"] == (True, True, [200, 200, 200, 200])
    assert seen["octo-dev"] == (True, False, [200, 200, 404, 404])
    assert seen["octo-guest"] == (False, False, [404, 404, 404, 404])
    # Nothing tells a job that is hidden from one that is not there.
    assert hidden.text == unknown.text


async def test_what_is_over_is_hidden_as_well_one_by_one_and_in_sums() -> None:
    async with a_team() as it:
        it.push({"open": (PLAIN, 2)})
        it.push({"veiled": (PLAIN, 2)}, _secret(it))  # type: ignore[arg-type]
        await it.until_done()
        await _until_forgotten(it)
        seen = {}
        for login in ("octo-owner", "octo-dev"):
            async with visitor(it, login) as someone:
                jobs, spend = await someone.get("/jobs"), await someone.get("/spend?by=repo")
                guessed = await someone.get(f"/jobs/{it.job('veiled').id}")
                seen[login] = ("veiled" in jobs.text, "octo-org/secret-repo" in spend.text, guessed.status_code)
                known = "open" in jobs.text, "octo-org/octo-repo" in spend.text

    assert known == (True, True)
    assert seen == {"octo-owner": (True, True, 200), "octo-dev": (False, False, 404)}


async def test_what_github_takes_from_somebody_is_not_shown_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("github_app.dashboard.sight.GOOD_FOR_S", 0.0)
    async with a_team() as it, visitor(it, "octo-dev") as dev:
        it.push({"open": (PLAIN, 600)})
        await it.until(lambda: it.job("open").status == "in_progress")
        before = await dev.get("/jobs/" + str(it.job("open").id))
        it.github.people.find("octo-dev").sees.clear()  # type: ignore[union-attr]
        after = await dev.get("/jobs/" + str(it.job("open").id))

    assert (before.status_code, after.status_code) == (200, 404)


async def _until_forgotten(it: Universe) -> None:
    """Sweep until each job is in the sums."""
    await it.until_nothing_is_left()
    while await it.store.all(RUNNERS):
        await it.clock.sleep(31)
        await it.sweep()


NASTY = "<img src=x onerror=alert(1)>\"'`\x1b[31mred\x1b]0;title\x07\u202eright " + "x" * 10_000


async def test_an_installation_that_github_refuses_hides_itself_and_nothing_else() -> None:
    async with a_team() as it:
        it.installation.suspended_at = 1.0
        async with visitor(it, "octo-owner") as owner:
            page = await owner.get("/")
            left = await owner.post("/sign-out", data=csrf_of(page))

    assert page.status_code == 200
    assert "None of the repositories that you may see has this App." in page.text
    assert left.status_code == 200


async def test_a_stranger_is_told_nothing_of_what_goes_on() -> None:
    async with a_team(settings={"max_concurrent": 5, "max_concurrent_per_repo": 3}) as it:
        it.push({"veiled": (PLAIN, 600)}, _secret(it))  # type: ignore[arg-type]
        await it.until(lambda: it.job("veiled").status == "in_progress")
        await it.sweep()
        async with visitor(it, "octo-guest") as guest, visitor(it, "octo-owner") as owner:
            told = [(await guest.get(page)).text for page in PAGES]
            caps = (await owner.get("/")).text

    assert not any(word in text for text in told for word in ("in use", "launching", "sweep", "secret-repo"))
    assert "all runners: <b>1</b> of 5 in use" in caps
    assert "octo-org/secret-repo: <b>1</b> of 3 in use" in caps


async def test_a_job_that_is_to_get_anothers_runner_does_not_name_it() -> None:
    async with a_team(settings={"max_concurrent": 1}) as it:
        it.script.conducts = ["never-online"] * 9
        it.push({"veiled": (PLAIN, 600)}, _secret(it))  # type: ignore[arg-type]
        await it.until(lambda: bool(it.runners()))
        it.github.actions.cancel(it.job("veiled"))
        it.push({"open": (PLAIN, 600)})
        await it.github.webhooks.settle()
        async with visitor(it, "octo-dev") as dev:
            now = (await dev.get("/")).text

    assert "open" in now
    assert str(it.job("veiled").id) not in now


async def test_with_github_out_of_reach_people_see_what_they_saw_and_can_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner:
        page = await owner.get("/health")
        it.script.fail["GET /user/installations"] = [ApiError(502, "Bad Gateway")] * 9
        await asyncio.sleep(1.0)
        monkeypatch.setattr("github_app.dashboard.sight.GOOD_FOR_S", 0.9)
        old = await owner.get("/health")
        monkeypatch.setattr("github_app.dashboard.sight.GOOD_FOR_S", 0.1)
        gone = await owner.get("/health")
        left = await owner.post("/sign-out", data=csrf_of(page))
        after = await owner.get("/jobs")

    assert gone.status_code == 503
    assert "it does not answer" in old.text
    assert left.status_code == 200
    assert after.status_code == 401


@pytest.mark.parametrize(
    "path", ["/jobs/" + "9" * 5000, "/jobs/x", "/jobs/1/log/2", "/static/" + "x" * 300, "/nothing", "/jobs/"]
)
async def test_an_address_that_is_none_is_a_page_that_says_so(path: str) -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner, visitor(it) as nobody:
        answers = [await owner.get(path), await nobody.get(path)]

    assert [each.status_code for each in answers] in ([404, 404], [404, 401])
    assert all("content-security-policy" in each.headers for each in answers)


async def test_names_from_strangers_are_shown_as_text_everywhere() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner:
        job = {"name": NASTY, "runs-on": PLAIN, "steps": [{"run": "true"}]}
        workflow = json.dumps({"name": NASTY, "on": "push", "jobs": {"job": job}}).encode()
        it.github.actions.push(it.repository, {".github/workflows/ci.yml": workflow}, ".github/workflows/ci.yml")
        await it.until_done()
        await _until_forgotten(it)
        number = it.github.jobs()[-1].id
        pages = [await owner.get(page) for page in (*PAGES, f"/jobs/{number}", "/jobs?q=img", "/spend?by=workflow")]

    for page in pages:
        assert page.status_code == 200
        assert "<img src=x" not in page.text
        assert not {"\x1b", "\x07", "\u202e"} & set(page.text)
    assert "&lt;img src=x" in pages[5].text


async def test_every_page_forbids_what_is_not_a_file_of_ours() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner:
        answers = [await owner.get(page) for page in (*PAGES, "/jobs/1", "/sign-in/callback")]
        policies = [each.headers["content-security-policy"] for each in answers]
        script = await owner.get("/static/live.js")
        missing = [(await owner.get(f"/static/{name}")).status_code for name in ("none.js", "%2e%2e%2froutes.py")]

    for policy, answer in zip(policies, answers, strict=True):
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert 'style="' not in answer.text
        assert "<script>" not in answer.text
    assert "immutable" in script.headers["cache-control"]
    assert missing == [404, 404]


async def test_after_a_sign_out_a_copy_of_the_cookie_is_good_for_nothing() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner, visitor(it) as thief:
        thief.cookies.update(owner.cookies)
        stolen = await thief.get("/jobs")
        await owner.post("/sign-out", data=csrf_of(await owner.get("/jobs")))
        after = [await owner.get("/jobs"), await thief.get("/jobs")]

    assert stolen.status_code == 200
    assert [each.status_code for each in after] == [401, 401]


async def test_a_cookie_says_nothing_and_cannot_be_made() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner, visitor(it) as forger:
        [(name, value)] = [(each.name, each.value or "") for each in owner.cookies.jar]
        [cookie] = list(owner.cookies.jar)
        forger.cookies.set(name, value[:-4] + "AAA=")
        forged = await forger.get("/jobs")

    assert "octo-owner" not in value
    assert "ghu_" not in value
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "lax"
    assert forged.status_code == 401


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example/", "/\\evil.example", "\t//evil.example"])
async def test_a_sign_in_leads_back_to_a_page_of_ours_alone(to: str) -> None:
    async with a_team() as it, visitor(it) as someone:
        landed = await sign_in(someone, "octo-owner", to)

    assert str(landed.url) == dashboard_url(it) + "/"


async def test_a_sign_in_leads_back_to_the_page_that_was_asked_for() -> None:
    async with a_team() as it, visitor(it) as someone:
        landed = await sign_in(someone, "octo-owner", "/spend?by=day&days=7")

    assert str(landed.url) == dashboard_url(it) + "/spend?by=day&days=7"


async def test_a_sign_in_that_this_browser_did_not_begin_is_refused() -> None:
    """Somebody else's code would sign a person in as that somebody."""
    async with a_team() as it, visitor(it) as someone, visitor(it, "octo-dev") as _:
        without = await someone.get("/sign-in/callback", params={"code": "abc", "state": "x"})
        await someone.get("/sign-in")
        other = await someone.get("/sign-in/callback", params={"code": "abc", "state": "x"})
        denied = await someone.get("/sign-in/callback", params={"error": "access_denied", "state": "x"})

    assert [each.status_code for each in (without, other, denied)] == [400, 400, 400]


async def test_an_owner_ends_an_idle_runner_and_nobody_else_does() -> None:
    async with a_team() as it:
        it.script.conducts = ["never-online"] * 9
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.runners()))
        name = next(iter(await it.store.all(RUNNERS)))
        async with visitor(it, "octo-dev") as dev, visitor(it, "octo-owner") as owner:
            tokens = csrf_of(await dev.get("/jobs")), csrf_of(await owner.get("/jobs"))
            refused = await dev.post(f"/runners/{name}/end", data=tokens[0])
            forged = await owner.post(f"/runners/{name}/end", data={"csrf": "none"})
            foreign = await owner.post(f"/runners/{name}/end", data=tokens[0])
            before = len(it.runners())
            done = await owner.post(f"/runners/{name}/end", data=tokens[1])

    assert [each.status_code for each in (refused, forged, foreign, done)] == [403, 403, 403, 200]
    assert before == 1
    assert not [each for each in it.runners() if each.name == name]


async def test_a_runner_at_work_is_ended_by_nobody() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner:
        it.push({"job": (PLAIN, 600)})
        await it.until(lambda: it.job("job").status == "in_progress")
        name = it.runners()[0].name
        answer = await owner.post(f"/runners/{name}/end", data=csrf_of(await owner.get("/jobs")))

        assert answer.status_code == 409
        assert it.job("job").status == "in_progress"


async def test_an_owner_stops_launching_and_lets_it_go_on() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner, visitor(it, "octo-dev") as dev:
        tokens = [csrf_of(await each.get("/jobs")) for each in (dev, owner)]
        refused = await dev.post("/launching/stop", data=tokens[0])
        stopped = await owner.post("/launching/stop", data=tokens[1])
        it.push({"job": (PLAIN, 5)})
        await it.github.webhooks.settle()
        await it.sweep()
        waiting = it.job("job").status, len(it.sandboxes())
        health = (await owner.get("/healthz")).text
        page = await owner.get("/")
        await owner.post("/launching/go-on", data=tokens[1])
        await it.until_done(sweeping=True)

    assert refused.status_code == 403
    assert "somebody has stopped launching" in stopped.text
    assert waiting == ("queued", 0)
    # Anyone may ask whether the app is up.
    assert "octo-owner" not in health
    assert "stopped" in health
    assert "somebody has stopped launching" in page.text
    assert it.job("job").conclusion == "success"


async def test_history_is_filtered_and_a_job_has_its_timeline() -> None:
    async with a_team() as it, visitor(it, "octo-owner") as owner:
        it.push({"quick": (PLAIN, 2), "gpu": ([*PLAIN, "gpu:h100"], 2)})
        await it.until_done()
        await _until_forgotten(it)
        all_of_it = await owner.get("/jobs")
        some = await owner.get("/jobs", params={"q": "gpu", "machine": "H100, 2 vCPU, 2g"})
        none = await owner.get("/jobs", params={"conclusion": "failure", "page": "999", "days": "x"})
        job = await owner.get(f"/jobs/{it.job('gpu').id}")
        spend = await owner.get("/spend", params={"by": "shape", "days": "7"})

    assert "quick" in all_of_it.text
    assert "2 jobs." in all_of_it.text
    assert "quick" not in some.text
    assert "1 job." in some.text
    assert "No job that is over fits this." in none.text
    for part in ("GitHub&#39;s delivery", "Modal Runner: admitted", "Modal: sandbox made", "The job"):
        assert part in job.text
    assert "H100, 2 vCPU, 2g" in spend.text


async def test_a_refused_job_has_a_page_with_the_sentence() -> None:
    async with a_team() as it, visitor(it, "octo-dev") as dev:
        it.push({"odd": ([*PLAIN, "gpu:h999"], 2)})
        await it.github.webhooks.settle()
        number = it.job("odd").id
        # What was read two seconds ago is shown again.
        await asyncio.sleep(2.1)
        page, now = await dev.get(f"/jobs/{number}"), await dev.get("/")

    assert "was refused" in page.text
    assert "gpu:h999" in page.text
    assert str(number) in now.text


async def test_a_job_that_waits_for_an_approval_has_a_page_that_says_so() -> None:
    async with a_team() as it:
        held = gated(job(job_id=41, repository=it.repository.full_name), it.clock.now())
        await it.store.put(HISTORY, "41", held)
        async with visitor(it, "octo-dev") as someone:
            page = (await someone.get("/jobs/41")).text

    assert "<strong>waits for</strong> an approval at GitHub" in page
    assert "modal-runner why 41" in page


async def test_switched_off_there_is_no_dashboard() -> None:
    async with a_team(settings={"dashboard": False}) as it, visitor(it) as someone:
        front, jobs, way_in = [await someone.get(path) for path in ("/", "/jobs", "/sign-in")]

    assert "It shows nothing here" in front.text
    assert (jobs.status_code, way_in.status_code) == (404, 404)
