"""The demo on a screen: a live table on a terminal, a line for each change elsewhere."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from github_app.demo.report import JobReport, Report
from github_app.foreign_text import visible
from github_app.simulator.github.state import Job

_COLOURS = {"success": "green", "failure": "red", "cancelled": "yellow", "skipped": "dim", "running": "cyan"}
_LOG_LINES = 20


class Show(Protocol):
    """Something that shows the jobs as they are now."""

    def __call__(self, rows: list[tuple[str, JobReport]]) -> None:
        """Show the state and the report of each job."""


def state_of(job: Job) -> str:
    """One word for where a job is."""
    return job.conclusion or {"queued": "queued", "in_progress": "running"}[job.status]


@contextlib.contextmanager
def showing(console: Console) -> Iterator[Show]:
    """Show on `console`: live on a terminal, as lines otherwise."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda rows: live.update(_table(rows), refresh=True)


class _Lines:
    """Prints a line for each job whose state changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[int, str] = {}

    def __call__(self, rows: list[tuple[str, JobReport]]) -> None:
        for number, (state, job) in enumerate(rows):
            if self._shown.get(number) != state:
                self._shown[number] = state
                where = f"  on {job.runner_name}" if job.runner_name else ""
                where += f" in {job.sandbox_id}" if job.sandbox_id else ""
                took = f"  after {job.duration_ms} ms" if job.duration_ms is not None else ""
                self._console.print(
                    f"{state:<10} {escape(visible(job.name))}{where}{took}", highlight=False, soft_wrap=True
                )


def _table(rows: list[tuple[str, JobReport]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("job", "runs-on", "state", "runner", "sandbox", "queued→running", "duration"):
        table.add_column(column, overflow="fold")
    for state, job in rows:
        table.add_row(
            escape(visible(job.name)),
            escape(visible(" ".join(job.labels))),
            f"[{_COLOURS.get(state, 'default')}]{state}[/]",
            job.runner_name or "",
            job.sandbox_id or "",
            _seconds(job.queued_to_running_ms),
            _seconds(job.duration_ms),
        )
    return table


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:.1f} s"


def show_failures(console: Console, jobs: list[Job], expected: frozenset[str]) -> None:
    """Print the end of the log of each job that failed."""
    for job in jobs:
        if job.conclusion not in {"failure", "cancelled"}:
            continue
        why = " (as expected)" if job.instance.name in expected else ""
        console.print(f"\n[bold]{escape(visible(job.instance.name))}: {job.conclusion}{why}[/]", highlight=False)
        for line in job.log[-_LOG_LINES:]:
            console.print(f"  {visible(line)}", markup=False, highlight=False, soft_wrap=True)


def show_refusals(console: Console, jobs: list[Job], refused: dict[int, str]) -> None:
    """Say of each job that is not served what its author would read."""
    for job in jobs:
        if job.id in refused:
            said = f"refused {job.instance.name}: {refused[job.id]}"
            console.print(visible(said), markup=False, highlight=False, soft_wrap=True)


def show_summary(console: Console, report: Report) -> None:
    """Print the totals."""
    console.print(
        f"\n{len(report.jobs)} jobs of ours, {report.ignored} not ours, {report.lost} lost; left behind: "
        f"{report.leaked_sandboxes} sandboxes, {report.leaked_runners} runners; "
        f"{report.github_calls} calls to GitHub, {report.modal_calls} to Modal",
        highlight=False,
        soft_wrap=True,
    )
