"""The dashboard's addresses, and what is answered at each."""

import asyncio
import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from github_app.dashboard import contents, figures, health
from github_app.dashboard.access import Access, Handler, Visitor, not_found, problem
from github_app.dashboard.acting import Acts
from github_app.dashboard.reading import Readings
from github_app.dashboard.rendering import ASSETS, HEADERS, TYPES, asset, page
from github_app.dashboard.seeing import seen
from github_app.dashboard.sign_in import SignIn
from github_app.dashboard.tails import Tails
from github_app.errors import SandboxError
from github_app.github.people import CALLBACK
from github_app.model import JobState
from github_app.routing.rules import Rules
from github_app.views.cost import KEYS
from github_app.views.jobs import line_of

T = TypeVar("T")
_DAYS = (1, 7, 30, 90, 400)
# GitHub's ids have eleven digits today.
_MOST_DIGITS = 19


class Dashboard:
    """The pages."""

    def __init__(
        self,
        *,
        access: Access,
        sign_in: SignIn,
        readings: Readings,
        acts: Acts,
        rules: Rules,
        tails: Tails,
        web_url: str,
    ) -> None:
        self._access = access
        self._sign_in = sign_in
        self._readings = readings
        self._acts = acts
        self._rules = rules
        self._tails = tails
        self._github = web_url
        # What goes through a whole history is kept off the loop that takes deliveries, one at a time.
        self._heavy = asyncio.Semaphore(1)

    def application(self) -> Starlette:
        """All of them."""
        pages: dict[str, Handler] = {
            "/": self._now,
            "/jobs": self._history,
            "/jobs/{number}": self._job,
            "/jobs/{number}/log": self._job_log,
            "/latency": self._latency,
            "/spend": self._spend,
            "/health": self._health,
        }
        changing: dict[str, Handler] = {
            "/runners/{name}/end": self._end_runner,
            "/launching/{what}": self._launching,
        }
        routes = [
            *(Route(path, self._access.looking(handler)) for path, handler in pages.items()),
            *(Route(path, self._access.changing(handler), methods=["POST"]) for path, handler in changing.items()),
            Route("/sign-in", self._sign_in.begin),
            Route(CALLBACK, self._sign_in.come_back),
            Route("/sign-out", self._access.leaving(self._sign_in.end), methods=["POST"]),
            Route("/static/{name}", _static),
        ]
        made = Starlette(routes=routes, exception_handlers={HTTPException: not_found})
        # Behind a proxy it would name the inner scheme.
        made.router.redirect_slashes = False
        return made

    def _page(self, template: str, visitor: Visitor, code: int = 200, **content: Any) -> Response:
        person = {"login": visitor.session.login, "csrf": visitor.session.csrf, "sight": visitor.sight}
        return page(template, code, person=person, github=self._github, **content)

    async def _computed(self, what: Callable[..., T], *arguments: object) -> T:
        async with self._heavy:
            return await asyncio.to_thread(functools.partial(what, *arguments))

    async def _now(self, _request: Request, visitor: Visitor) -> Response:
        reading = seen(await self._readings.now(), visitor.sight)
        notices = [each for each in health.health_of(reading, visitor.sight) if each.state != "ok"]
        now = contents.now_of(reading)
        return self._page(
            "now.html", visitor, at=reading.at, now=now, kept=reading.kept, status=reading.status, notices=notices
        )

    async def _history(self, request: Request, visitor: Visitor) -> Response:
        wanted = _wanted(request)
        reading, past = await asyncio.gather(self._readings.now(), self._readings.past(visitor.sight))
        history = await self._computed(contents.history_of, past, wanted, reading.at)
        return self._page("history.html", visitor, at=reading.at, wanted=wanted, history=history, query=_query(request))

    async def _job(self, request: Request, visitor: Visitor) -> Response:
        number = _number_of_job(request)
        record = await self._readings.job(number, visitor.sight)
        reading = seen(await self._readings.now(), visitor.sight)
        refusal = reading.records.refused.get(str(number))
        if record is None:
            if refusal is None:
                return self._unknown(visitor)
            return self._page("refused.html", visitor, number=number, refusal=refusal)
        line = line_of(record, reading.records.runners, reading.at)
        kept = next((each.kept_until for each in reading.kept if each.id == number), None)
        job = contents.job_of(record, line, reading, self._rules)
        return self._page("job.html", visitor, at=reading.at, job=job, kept_until=kept)

    def _unknown(self, visitor: Visitor) -> Response:
        """The same whether there is no such job or it is not for the one who asks."""
        told = "There is no such job, or GitHub does not let you see its repository. Jobs are kept for seven days."
        return self._page("problem.html", visitor, 404, title="No such job", told=told, again="/jobs")

    async def _job_log(self, request: Request, visitor: Visitor) -> Response:
        """The end of what the job's runner has printed; it asks again for as long as the job goes on."""
        number = _number_of_job(request)
        record = await self._readings.job(number, visitor.sight)
        if record is None:
            return self._unknown(visitor)
        runner = (await self._readings.now()).records.runners.get(record.runner_name or "")
        name, sandbox = (record.ran.runner, record.ran.sandbox_id) if record.ran else (record.runner_name, None)
        sandbox = sandbox or (runner.sandbox_id if runner else None)
        goes_on = record.state in {JobState.QUEUED, JobState.RUNNING}
        if name is None or sandbox is None:
            told = "It has no sandbox yet." if goes_on else "Its sandbox is not known."
            return page("log.html", number=number, printed="", told=told, goes_on=goes_on)
        try:
            printed, told = await self._tails.of(name, sandbox), "Nothing yet."
        except SandboxError as error:
            printed, told = "", str(error)
        return page("log.html", number=number, printed=printed, told=told, goes_on=goes_on)

    async def _latency(self, request: Request, visitor: Visitor) -> Response:
        days = _days(request)
        reading, past = await asyncio.gather(self._readings.now(), self._readings.past(visitor.sight))
        latency = await self._computed(figures.latency_of, past, days, reading.at)
        return self._page("latency.html", visitor, days=days, all_days=_DAYS, latency=latency)

    async def _spend(self, request: Request, visitor: Visitor) -> Response:
        days, by = _days(request), request.query_params.get("by", "repo")
        by = by if by in KEYS else "repo"
        reading, past = await asyncio.gather(self._readings.now(), self._readings.past(visitor.sight))
        spend = await self._computed(figures.spend_of, past, by, days, reading.at)
        return self._page("spend.html", visitor, days=days, all_days=_DAYS, by=by, keys=list(KEYS), spend=spend)

    async def _health(self, _request: Request, visitor: Visitor) -> Response:
        reading = seen(await self._readings.now(), visitor.sight)
        notices = health.health_of(reading, visitor.sight)
        may_stop = await self._acts.may_stop(visitor.sight)
        paused = await self._acts.paused() if may_stop else None
        findings = health.findings_of(reading, visitor.sight)
        return self._page("health.html", visitor, notices=notices, may_stop=may_stop, paused=paused, findings=findings)

    async def _end_runner(self, request: Request, visitor: Visitor) -> Response:
        """End a runner that has no job; one that works, or that the person does not own, is left alone."""
        self._readings.forget()
        reading = await self._readings.now()
        runner = reading.records.runners.get(request.path_params["name"])
        if runner is None or not visitor.sight.owns(runner.place.scope.owner):
            return problem("Not done", "There is no such runner, or you do not own its account.", 403)
        if not runner.idle or not await self._acts.end(runner, visitor.sight):
            return problem("Left alone", f"{runner.name} has a job, or somebody looks into its sandbox.", 409)
        self._readings.forget()
        return RedirectResponse("/", 303, HEADERS)

    async def _launching(self, request: Request, visitor: Visitor) -> Response:
        what = request.path_params["what"]
        if what not in {"stop", "go-on"} or not await self._acts.may_stop(visitor.sight):
            return problem("Not done", "Only an owner of the account that the App belongs to may do this.", 403)
        await self._acts.stop(visitor.sight, go_on=what == "go-on")
        self._readings.forget()
        return RedirectResponse("/health", 303, HEADERS)


def _number_of_job(request: Request) -> int:
    """A job's number; what is none is the number of no job."""
    given: str = request.path_params["number"]
    return int(given) if given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS else 0


def _query(request: Request) -> Callable[[int], str]:
    """The query of another page of the same list."""

    def of(number: int) -> str:
        return str(request.url.include_query_params(page=number).query)

    return of


def _wanted(request: Request) -> contents.Wanted:
    query = request.query_params
    return contents.Wanted(
        text=query.get("q", "")[:200],
        repository=query.get("repo", "")[:200],
        workflow=query.get("workflow", "")[:200],
        machine=query.get("machine", "")[:200],
        conclusion=query.get("conclusion", "")[:200],
        days=_number(query.get("days"), 7, 7),
        page=max(1, int(_number(query.get("page"), 1, 10_000))),
    )


def _days(request: Request) -> int:
    given = request.query_params.get("days", "")
    return int(given) if given in {str(days) for days in _DAYS} else 30


def _number(text: str | None, otherwise: float, most: float) -> float:
    """A number from a query: what is none, or out of bounds, is as if it were not there."""
    try:
        number = float(text or "")
    except ValueError:
        return otherwise
    return number if math.isfinite(number) and 0 < number <= most else otherwise


async def _static(request: Request) -> Response:
    name: str = request.path_params["name"]
    if name not in ASSETS:
        return problem("There is no such page", "Its address may be wrong, or old.", 404)
    # Its address changes with it.
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(asset(name), media_type=TYPES[name.rpartition(".")[2]], headers=headers)
