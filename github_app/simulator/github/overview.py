"""Pages for a person who looks at the simulated GitHub: what runs, what it printed, which runners there are."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from github_app.simulator.github.page import page, text
from github_app.simulator.github.site import Site
from github_app.simulator.github.state import Job, Runner, WorkflowRun

# Every three seconds.
_AGAIN = '<meta http-equiv="refresh" content="3">'


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
        return page("Simulated GitHub", "\n".join(parts), head=_AGAIN)

    async def _log(self, request: Request) -> Response:
        job = self._github.world.jobs.get(request.path_params["job_id"])
        if job is None or job.run.id != request.path_params["run_id"]:
            return page("Not found", '<p><a href="/">All runs</a></p>', status=404)
        lines = "\n".join(text(line) for line in job.log) or "(nothing yet)"
        labels = text(" ".join(job.instance.labels))
        body = f'<p><a href="/">All runs</a> · {_state(job)} · {labels}</p><pre>{lines}</pre>'
        return page(f"{job.run.name} / {job.instance.name}", body, head="" if job.status == "completed" else _AGAIN)


def _run(run: WorkflowRun) -> str:
    rows = [
        (
            f'<a href="/{run.repository.full_name}/actions/runs/{run.id}/job/{job.id}">{text(job.instance.name)}</a>',
            _state(job),
            text(" ".join(job.instance.labels)),
            text(job.runner.name if job.runner else ""),
        )
        for job in run.jobs
    ]
    note = f"<p>{text(run.note)}</p>" if run.note else ""
    title = f"{run.name} #{run.number}"
    state = run.conclusion or run.status
    head = f"<h3>{text(title)}: {text(state)}</h3><p>{text(run.repository.full_name)}, {text(run.event)}</p>"
    return head + note + _table(("job", "state", "runs-on", "runner"), rows)


def _runner(runner: Runner) -> tuple[str, ...]:
    status = "offline" if not runner.online else "busy" if runner.job else "idle"
    job = runner.job.instance.name if runner.job else ""
    return text(runner.name), status, text(" ".join(runner.labels)), text(job)


def _state(job: Job) -> str:
    state = text(job.conclusion or job.status)
    return f'<span class="{state}">{state}</span>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
