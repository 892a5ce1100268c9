"""Pages for a person who looks at the simulated GitHub: what runs, what it printed, which runners there are.

Names and logs are foreign text: each is escaped where it enters the page, and what would steer a reader is shown as its
code.
"""

import html
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from github_app.foreign_text import visible
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import Job, Runner, WorkflowRun

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top;overflow-wrap:anywhere}"
    "pre{background:#8881;padding:1em;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".success{color:#1a7f37}.failure{color:#cf222e}.cancelled{color:#9a6700}"
)
_EVERY_S = 3


class Overview:
    """The page of everything, and one for each job's log."""

    def __init__(self, github: Site) -> None:
        self._github = github

    def routes(self) -> list[Route]:
        """Where the pages are; a job's is where GitHub has it."""
        return [
            Route("/", self._all, methods=["GET"]),
            Route("/{owner}/{repo}/actions/runs/{run_id:int}/job/{job_id:int}", self._log, methods=["GET"]),
        ]

    async def _all(self, _request: Request) -> Response:
        world = self._github.world
        runs = [_run(run) for run in reversed(world.runs.values())]
        runners = [_runner(runner) for runner in world.runners.values()]
        parts = [
            "<p>This GitHub is simulated, for one demo on one machine. The page looks anew every few seconds.</p>",
            "<h2>Runs</h2>",
            *(runs or ["<p>None yet.</p>"]),
            "<h2>Runners</h2>",
            _table(("name", "status", "labels", "job"), runners) if runners else "<p>None at the moment.</p>",
        ]
        return _page("Simulated GitHub", "\n".join(parts), refresh=True)

    async def _log(self, request: Request) -> Response:
        job = self._github.world.jobs.get(request.path_params["job_id"])
        if job is None or job.run.id != request.path_params["run_id"]:
            return _page("Not found", '<p><a href="/">All runs</a></p>', status=404)
        lines = "\n".join(_text(line) for line in job.log) or "(nothing yet)"
        labels = _text(" ".join(job.instance.labels))
        body = f'<p><a href="/">All runs</a> · {_state(job)} · {labels}</p><pre>{lines}</pre>'
        return _page(f"{job.run.name} / {job.instance.name}", body, refresh=job.status != "completed")


def _run(run: WorkflowRun) -> str:
    rows = [
        (
            f'<a href="/{run.repository.full_name}/actions/runs/{run.id}/job/{job.id}">{_text(job.instance.name)}</a>',
            _state(job),
            _text(" ".join(job.instance.labels)),
            _text(job.runner.name if job.runner else ""),
        )
        for job in run.jobs
    ]
    note = f"<p>{_text(run.note)}</p>" if run.note else ""
    title = f"{run.name} #{run.number}"
    state = run.conclusion or run.status
    head = f"<h3>{_text(title)}: {_text(state)}</h3><p>{_text(run.repository.full_name)}, {_text(run.event)}</p>"
    return head + note + _table(("job", "state", "runs-on", "runner"), rows)


def _runner(runner: Runner) -> tuple[str, ...]:
    status = "offline" if not runner.online else "busy" if runner.job else "idle"
    job = runner.job.instance.name if runner.job else ""
    return _text(runner.name), status, _text(" ".join(runner.labels)), _text(job)


def _state(job: Job) -> str:
    state = _text(job.conclusion or job.status)
    return f'<span class="{state}">{state}</span>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(text: str) -> str:
    return html.escape(visible(text))


def _page(title: str, body: str, *, refresh: bool = False, status: int = 200) -> Response:
    title = _text(title)
    again = f'<meta http-equiv="refresh" content="{_EVERY_S}">' if refresh else ""
    head = f'<meta charset="utf-8"><title>{title}</title>{again}<style>{_STYLE}</style>'
    # Whatever a name should smuggle in, no script runs here.
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return HTMLResponse(f"<!doctype html><html lang=en>{head}<h1>{title}</h1>{body}</html>", status, policy)
