"""The demo on a screen: a live table on a terminal, a line for each change elsewhere."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from github_app.demo.report import JobReport, Reasons, Report, workflow_of
from github_app.foreign_text import visible
from github_app.routing.units import number_of
from github_app.simulator.github.state import Job

_COLOURS = {"success": "green", "failure": "red", "cancelled": "yellow", "skipped": "dim", "running": "cyan"}
_COLOURS |= {"refused": "red", "not served": "yellow"}
_LOG_LINES = 20
# Narrower than this, the columns that say least are left out.
_NARROW = 70


class Show(Protocol):
    """Something that shows the jobs as they are now."""

    def __call__(self, rows: list[tuple[str, JobReport]]) -> None:
        """Show the state and the report of each job."""


def state_of(job: Job, reasons: Reasons) -> str:
    """Where a job is, in a word or two."""
    if job.id in reasons.refused:
        return "refused"
    if job.id in reasons.unserved:
        return "not served"
    if job.status == "waiting":
        return f"waiting for approval of {job.instance.environment or 'its environment'}"
    return job.conclusion or {"in_progress": "running"}.get(job.status, job.status)


@contextlib.contextmanager
def showing(console: Console, *, wide: bool) -> Iterator[Show]:
    """Show on `console`: live on a terminal; elsewhere, or if it is to be `wide`, as lines with sandbox ids."""
    if wide or not console.is_terminal:
        yield _Lines(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda rows: live.update(_table(rows, console.width), refresh=True)


class _Lines:
    """Prints a line for each job whose state changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[int, str] = {}

    def __call__(self, rows: list[tuple[str, JobReport]]) -> None:
        for number, (state, job) in enumerate(rows):
            # A reason is told in a line of its own.
            if self._shown.get(number) == state or job.reason:
                continue
            self._shown[number] = state
            where = f"  on {job.runner_name}" if job.runner_name else ""
            where += f" in {job.sandbox_id}" if job.sandbox_id else ""
            took = f"  after {job.duration_ms} ms" if job.duration_ms is not None else ""
            line = f"{visible(state):<10} {_named(job)}{where}{took}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _named(job: JobReport) -> str:
    return visible(f"{job.workflow} / {job.name}")


def _table(rows: list[tuple[str, JobReport]], width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ["job", "state"]
    columns += ["runner"] if width >= _NARROW else []
    columns += ["wait", "took"]
    for column in columns:
        # A name that is broken over lines cannot be copied.
        table.add_column(column, overflow="fold", no_wrap=column in {"runner", "wait", "took"})
    for state, job in rows:
        cells = {
            "job": escape(_named(job)),
            "state": f"[{_COLOURS.get(state, 'default')}]{escape(visible(state))}[/]",
            "runner": job.runner_name or "",
            "wait": _seconds(job.queued_to_running_ms),
            "took": _seconds(job.duration_ms),
        }
        table.add_row(*(cells[column] for column in columns))
    return table


def _seconds(ms: int | None) -> str:
    return "" if ms is None else f"{ms / 1000:.1f} s"


def show_failures(console: Console, jobs: list[Job], reasons: Reasons, expected: frozenset[str]) -> None:
    """Print the end of the log of each job that failed and ran."""
    for job in jobs:
        if job.conclusion not in {"failure", "cancelled"} or reasons.of(job):
            continue
        why = " (as expected)" if job.instance.name in expected else ""
        title = visible(f"{workflow_of(job)} / {job.instance.name}: {job.conclusion}{why}")
        console.print(f"\n[bold]{escape(title)}[/]", highlight=False)
        for line in job.log[-_LOG_LINES:]:
            console.print(f"  {visible(line)}", markup=False, highlight=False, soft_wrap=True)


def show_reasons(console: Console, jobs: list[Job], reasons: Reasons) -> None:
    """Say of each job that is refused, or that no runner serves, why."""
    for job in jobs:
        for reason in (reasons.of(job) or "").splitlines():
            said = f"{state_of(job, reasons):<10} {workflow_of(job)} / {job.instance.name}: {reason}"
            console.print(visible(said), markup=False, highlight=False, soft_wrap=True)


def show_summary(console: Console, report: Report) -> None:
    """Print the totals."""
    waiting = f", {report.waiting} held" if report.waiting else ""
    console.print(
        f"\n{number_of(len(report.jobs), 'job')} of ours, {report.ignored} not ours, "
        f"{report.lost} lost, {report.failed} failed, "
        f"{report.refused} refused{waiting}; left behind: "
        f"{number_of(report.leaked_sandboxes, 'sandbox')}, {number_of(report.leaked_runners, 'runner')}; "
        f"{number_of(report.github_calls, 'call')} to GitHub, {report.modal_calls} to Modal",
        highlight=False,
        soft_wrap=True,
    )
