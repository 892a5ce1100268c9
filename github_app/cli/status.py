"""`modal-runner status`: what is going on."""

import asyncio
import math
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from github_app.cli.source import routing_settings, sweeps_every_s
from github_app.clock import Clock
from github_app.compose import caps_of
from github_app.errors import InputError
from github_app.foreign_text import ascii_json, visible
from github_app.model import JobRecord
from github_app.routing.units import number_of
from github_app.runners.versions import RunnerVersion
from github_app.settings.make_rules import make_rules
from github_app.store import SWEEPS, ModalDictStore
from github_app.views.status import Status, read_gated, read_status

_EVERY_S = 2.0
# They are kept among all jobs of a week.
_GATED_EVERY_S = 30.0
_MOST_REFUSALS = 5
# Six columns need so many characters.
_NARROW = 72
_LONGEST_ID = 14


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds until Ctrl-C.")] = False,
    wide: Annotated[
        bool, typer.Option("--wide", help="Shorten no sandbox's id, however narrow the terminal is.")
    ] = False,
) -> None:
    """Show jobs, what they wait for, runners, caps and refusals, as recorded on Modal. Needs Modal's token alone.

    Exit code 0: shown; 1: Modal did not answer, or runners cannot be started at all.

    Example: modal-runner status --watch
    """
    if as_json and watch:
        raise InputError("--json and --watch: give one of them")
    found = asyncio.run(_status(watch=watch, wide=wide, tells=not as_json))
    if as_json:
        typer.echo(ascii_json(found))
    elif not watch:
        console = Console()
        console.print(_shown(found, console.width, wide=wide))
    raise typer.Exit(1 if found.stopped else 0)


async def _status(*, watch: bool, wide: bool, tells: bool) -> Status:
    settings, config = await routing_settings()
    rules = make_rules(settings, config)
    store = ModalDictStore(settings.modal_app_name, create=False)
    version, caps = RunnerVersion(store, settings.runner_version, Clock()), caps_of(settings, config)
    every = sweeps_every_s(settings)
    if not watch:
        found = await read_status(store, rules, version, time.time(), caps, sweeps_every_s=every)
        if tells and not (found.jobs or found.runners or await _was_deployed(store)):
            typer.echo(f"Nothing is recorded of an App {settings.modal_app_name!r} (MODAL_APP_NAME).", err=True)
        return found
    gated: list[JobRecord] = []
    read_at = -math.inf
    with Live(auto_refresh=False) as live:
        while True:
            if time.monotonic() - read_at > _GATED_EVERY_S:
                gated, read_at = await read_gated(store, time.time()), time.monotonic()
            found = await read_status(store, rules, version, time.time(), caps, gated=gated, sweeps_every_s=every)
            live.update(_shown(found, live.console.width, wide=wide), refresh=True)
            await asyncio.sleep(_EVERY_S)


async def _was_deployed(store: ModalDictStore) -> bool:
    return bool(await store.get(SWEEPS, "last") or await store.get(SWEEPS, "deployed"))


def _shown(found: Status, width: int, *, wide: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    if found.stopped:
        table.add_row(_text(f"STOPPED: {found.stopped}", "bold red"))
    if found.sweep_late:
        table.add_row(_text(f"LATE: {found.sweep_late}. `modal-runner doctor` says what to do", "bold red"))
    narrow = width < _NARROW
    table.add_row(_jobs(found, narrow=narrow))
    table.add_row(_runners(found, narrow=narrow, wide=wide))
    for each in found.warm:
        why = f" ({each.waits_for})" if each.waits_for else ""
        wait = "waits" if each.wanted == 1 else "wait"
        waits = f"{each.waiting} of {number_of(each.wanted, 'runner')} {wait} for jobs of {each.scope}{why}"
        table.add_row(_text(f"{each.source}: {waits}, about ${each.usd_a_month:,.0f} a month"))
    for refused in found.refused[:_MOST_REFUSALS]:
        table.add_row(_text(f"refused: job {refused.job} of {refused.repository}: {refused.sentence}"))
    if (more := len(found.refused) - _MOST_REFUSALS) > 0:
        table.add_row(f"{number_of(more, 'more refusal')}: --json has them all")
    if found.slots:
        table.add_row(_text("slots taken: " + ", ".join(f"{group} {count}" for group, count in found.slots.items())))
    if found.parked:
        table.add_row(
            f"{number_of(found.parked, 'delivery')} made no sense; see the App's list of deliveries at GitHub"
        )
    return table


def _jobs(found: Status, *, narrow: bool) -> Table:
    columns = ("Job", "Repository", "State", "For", "Runner, or what it waits for")
    table = _table(columns, number_of(len(found.jobs), "job"), narrow=narrow)
    for job in found.jobs:
        until = f" (tried again at {time.strftime('%H:%M:%SZ', time.gmtime(job.until))})" if job.until else ""
        waits = f"{job.waits_for}{until}" if job.waits_for else ""
        cells = (f"{job.id} {job.name}", job.repository, job.state, _age(job.since), waits or job.runner or "")
        _add(table, cells, narrow=narrow)
    return table


def _runners(found: Status, *, narrow: bool, wide: bool) -> Table:
    columns = ("Runner", "State", "For", "Runs job", "Sandbox", "GPU")
    table = _table(columns, number_of(len(found.runners), "runner"), narrow=narrow)
    for each in found.runners:
        sandbox = each.sandbox or ""
        shown = sandbox if wide or narrow else _shortened(sandbox)
        kept = each.kept_until and time.strftime("kept for debugging until %H:%M:%SZ", time.gmtime(each.kept_until))
        cells = (each.name, kept or each.state, _age(each.since), str(each.job or ""), shown, each.gpu or "")
        _add(table, cells, narrow=narrow)
    return table


def _table(columns: tuple[str, ...], title: str, *, narrow: bool) -> Table:
    """A table; on a narrow terminal one thing stands under the other."""
    if not narrow:
        return Table(*columns, title=title)
    table = Table(title=title, show_header=False, box=None, pad_edge=False)
    table.add_column(overflow="fold")
    return table


def _add(table: Table, cells: tuple[str, ...], *, narrow: bool) -> None:
    if narrow:
        table.add_row(_text("  ".join(each for each in cells if each)))
    else:
        table.add_row(*map(_text, cells))


def _shortened(text: str) -> str:
    """An id whose two ends tell it from others; --wide and --json have all of it."""
    return text if len(text) <= _LONGEST_ID else f"{text[:7]}…{text[-5:]}"


def _text(text: str, style: str = "") -> Text:
    """Text that rich takes as it is: names are their authors'."""
    return Text(visible(text), style)


def _age(since: float) -> str:
    seconds = max(0, int(time.time() - since))
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m" if seconds >= 3600 else f"{seconds // 60}m{seconds % 60:02}s"
