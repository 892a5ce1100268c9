"""The dashboard's addresses. Each page is cut to what GitHub lets the person who asks see; none tells more."""

import functools
import hmac
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from github_app.dashboard import contents
from github_app.dashboard.acting import Acts
from github_app.dashboard.reading import Readings
from github_app.dashboard.rendering import HEADERS, TYPES, asset, page
from github_app.dashboard.sessions import Session, Sessions
from github_app.dashboard.sight import Sight, Sights
from github_app.dashboard.sign_in import SignIn
from github_app.errors import GitHubError, SandboxError, StoreError
from github_app.github.people import CALLBACK
from github_app.routing.rules import Rules
from github_app.sandboxes import ModalSandboxes
from github_app.views.cost import KEYS
from github_app.views.jobs import line_of

_LOG_LINES = 40
_LONGEST_FORM = 4096
_DAYS = (1, 7, 30, 90, 400)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Visitor:
    """Someone who has signed in, and what they see."""

    session: Session
    sight: Sight


Handler = Callable[[Request, Visitor], Awaitable[Response]]


class Dashboard:
    """The pages. Without `sign_in` there is one that says how to have the others."""

    def __init__(
        self,
        *,
        sign_in: SignIn,
        sessions: Sessions,
        sights: Sights,
        readings: Readings,
        acts: Acts,
        rules: Rules,
        sandboxes: ModalSandboxes,
        web_url: str,
        app_name: str,
    ) -> None:
        self._sign_in = sign_in
        self._sessions = sessions
        self._sights = sights
        self._readings = readings
        self._acts = acts
        self._rules = rules
        self._sandboxes = sandboxes
        self._places: dict[str, Any] = {"github": web_url, "modal_app": app_name}

    def routes(self) -> list[Route]:
        """All of them."""
        pages: dict[str, Handler] = {
            "/": self._now,
            "/jobs": self._history,
            "/jobs/{number:int}": self._job,
            "/jobs/{number:int}/log": self._job_log,
            "/latency": self._latency,
            "/spend": self._spend,
            "/health": self._health,
        }
        return [
            *(Route(path, self._for_those_signed_in(handler)) for path, handler in pages.items()),
            Route("/sign-in", self._sign_in.begin),
            Route(CALLBACK, self._sign_in.come_back),
            Route("/sign-out", self._changing(self._sign_out), methods=["POST"]),
            Route("/runners/{name}/end", self._changing(self._end_runner), methods=["POST"]),
            Route("/launching/{what}", self._changing(self._launching), methods=["POST"]),
            Route("/static/{name}", _static),
        ]

    def _for_those_signed_in(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                visitor = await self._visitor(request)
                return self._welcome(request) if visitor is None else await handler(request, visitor)
            except StoreError as error:
                return _problem("Modal does not answer", str(error), 503)
            except GitHubError as error:
                return _problem("GitHub does not answer", str(error), 503)
            except SandboxError as error:
                return _problem("Modal does not answer", str(error), 503)

        return answer

    def _changing(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The same for what changes something: the form has to be one of ours."""

        @functools.wraps(handler)
        async def checked(request: Request, visitor: Visitor) -> Response:
            form = await _form(request)
            if not hmac.compare_digest(form.get("csrf", "").encode(), visitor.session.csrf.encode()):
                return _problem("Not done", "This form is not of your session. Go back, load the page anew.", 403)
            return await handler(request, visitor)

        return self._for_those_signed_in(checked)

    async def _visitor(self, request: Request) -> Visitor | None:
        session = self._sessions.open(request)
        if session is None:
            return None
        try:
            return Visitor(session, await self._sights.of(session.login, session.token))
        except GitHubError as error:
            if error.status == 401:
                return None
            raise

    def _welcome(self, request: Request) -> Response:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if "hx-request" in request.headers:
            # A page that was left open: it is to load anew, which shows the way in.
            return Response(status_code=401, headers=HEADERS | {"HX-Refresh": "true"})
        return page("welcome.html", 200 if path == "/" else 401, person=None, to=path)

    def _page(self, template: str, visitor: Visitor, code: int = 200, **content: Any) -> Response:
        person = {"login": visitor.session.login, "csrf": visitor.session.csrf, "sight": visitor.sight}
        return page(template, code, person=person, **self._places, **content)

    async def _now(self, _request: Request, visitor: Visitor) -> Response:
        reading = await self._readings.now(visitor.sight)
        notices = contents.health_of(reading, is_owner=bool(visitor.sight.owned))
        return self._page(
            "now.html",
            visitor,
            at=reading.at,
            now=contents.now_of(reading),
            kept=reading.kept,
            status=reading.status,
            notices=[each for each in notices if each.state != "ok"],
        )

    async def _history(self, request: Request, visitor: Visitor) -> Response:
        wanted = _wanted(request)
        past = await self._readings.past(visitor.sight)
        reading = await self._readings.now(visitor.sight)
        history = contents.history_of(past, wanted, reading.at)
        return self._page("history.html", visitor, at=reading.at, wanted=wanted, history=history, query=_query(request))

    async def _job(self, request: Request, visitor: Visitor) -> Response:
        number: int = request.path_params["number"]
        reading = await self._readings.now(visitor.sight)
        record = await self._readings.job(number, visitor.sight)
        refusal = reading.records.refused.get(str(number))
        if record is None:
            if refusal is None:
                return self._unknown(visitor)
            return self._page("refused.html", visitor, number=number, refusal=refusal)
        line = line_of(record, reading.records.runners, reading.at)
        job = contents.job_of(record, line, reading, self._rules)
        return self._page("job.html", visitor, at=reading.at, job=job)

    def _unknown(self, visitor: Visitor) -> Response:
        """The same whether there is no such job or it is not for the one who asks."""
        told = "There is no such job, or GitHub does not let you see its repository. Jobs are kept for seven days."
        return self._page("problem.html", visitor, 404, title="No such job", told=told, again="/jobs")

    async def _job_log(self, request: Request, visitor: Visitor) -> Response:
        """The end of what the job's runner has printed."""
        number: int = request.path_params["number"]
        record = await self._readings.job(number, visitor.sight)
        if record is None:
            return self._unknown(visitor)
        reading = await self._readings.now(visitor.sight)
        runner = reading.records.runners.get(record.runner_name or "")
        name, sandbox = (record.ran.runner, record.ran.sandbox_id) if record.ran else (record.runner_name, None)
        sandbox = sandbox or (runner.sandbox_id if runner else None)
        if name is None or sandbox is None:
            return page("log.html", printed="", problem="It has no sandbox.")
        try:
            printed = await self._sandboxes.output(name, sandbox, _LOG_LINES)
        except SandboxError as error:
            return page("log.html", printed="", problem=str(error))
        return page("log.html", printed=printed or "", problem="")

    async def _latency(self, request: Request, visitor: Visitor) -> Response:
        days = _days(request)
        past, reading = await self._readings.past(visitor.sight), await self._readings.now(visitor.sight)
        latency = contents.latency_of(past, days, reading.at)
        return self._page("latency.html", visitor, days=days, all_days=_DAYS, latency=latency)

    async def _spend(self, request: Request, visitor: Visitor) -> Response:
        days, by = _days(request), request.query_params.get("by", "repo")
        by = by if by in KEYS else "repo"
        past, reading = await self._readings.past(visitor.sight), await self._readings.now(visitor.sight)
        spend = contents.spend_of(past, by, days, reading.at)
        return self._page("spend.html", visitor, days=days, all_days=_DAYS, by=by, keys=list(KEYS), spend=spend)

    async def _health(self, _request: Request, visitor: Visitor) -> Response:
        reading = await self._readings.now(visitor.sight)
        notices = contents.health_of(reading, is_owner=bool(visitor.sight.owned))
        may_stop = await self._acts.may_stop(visitor.sight)
        return self._page(
            "health.html", visitor, at=reading.at, notices=notices, may_stop=may_stop, status=reading.status
        )

    async def _end_runner(self, request: Request, visitor: Visitor) -> Response:
        """End a runner that has no job; one that works, or that the person does not own, is left alone."""
        self._readings.forget()
        reading = await self._readings.now(visitor.sight)
        runner = reading.records.runners.get(request.path_params["name"])
        if runner is None or not visitor.sight.owns(runner.place.scope.owner):
            return _problem("Not done", "There is no such runner, or you do not own its account.", 403)
        if not runner.idle or not await self._acts.end(runner, visitor.sight):
            return _problem("Left alone", f"{runner.name} has a job, or somebody looks into its sandbox.", 409)
        self._readings.forget()
        return RedirectResponse("/", 303, HEADERS)

    async def _launching(self, request: Request, visitor: Visitor) -> Response:
        what = request.path_params["what"]
        if what not in {"stop", "go-on"} or not await self._acts.may_stop(visitor.sight):
            return _problem("Not done", "Only an owner of the account that the App belongs to may do this.", 403)
        await self._acts.stop(visitor.sight, go_on=what == "go-on")
        self._readings.forget()
        return RedirectResponse("/health", 303, HEADERS)

    async def _sign_out(self, request: Request, visitor: Visitor) -> Response:
        return await self._sign_in.end(request, visitor.session)


def _query(request: Request) -> Callable[[int], str]:
    """The query of another page of the same list."""

    def of(number: int) -> str:
        return str(request.url.include_query_params(page=number).query)

    return of


async def _form(request: Request) -> dict[str, str]:
    """A form of ours, whose fields are short; anything else is empty."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            return {}
    return dict(parse_qsl(body.decode("ascii", "replace")))


def _wanted(request: Request) -> contents.Wanted:
    query = request.query_params
    return contents.Wanted(
        text=query.get("q", "")[:200],
        repository=query.get("repo", ""),
        workflow=query.get("workflow", ""),
        machine=query.get("machine", ""),
        conclusion=query.get("conclusion", ""),
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


def _problem(title: str, told: str, status: int) -> Response:
    return page("problem.html", status, person=None, title=title, told=told, again="/")


async def _static(request: Request) -> Response:
    name: str = request.path_params["name"]
    try:
        content = asset(name)
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return Response(status_code=404)
    # Its address changes with it.
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)
