"""`modal-runner jobs`: every job, those that are over too."""

import asyncio
import time
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from github_app.errors import InputError
from github_app.foreign_text import ascii_json, visible
from github_app.routing.units import as_money, as_span, number_of, seconds
from github_app.settings.load import load_routing_settings
from github_app.store import ModalDictStore
from github_app.views.jobs import JobLine, read_jobs, wanted

_EVERY_S = 2.0
_STATES = (
    *("queued", "running", "done", "gone", "success", "failure", "cancelled", "skipped"),
    *("timed_out", "neutral", "action_required", "stale"),
)


def jobs(
    *,
    state: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(_STATES)}.")] = None,
    repo: Annotated[str | None, typer.Option(help="Only of repositories that this glob matches: octo-org/*.")] = None,
    since: Annotated[str, typer.Option(help="Only those queued within this time: 90m, 24h, 7d.")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list and nothing else.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show them again every two seconds until Ctrl-C.")] = False,
) -> None:
    """List jobs, those that are over too: how long each waited and ran, on what, and about what it cost.

    Read from the records on Modal, which forget a job seven days after its end. Needs Modal's token alone. With --json
    each job has its phases besides. What it cost is an estimate, by the machine's request and Modal's list prices.

    Exit code 0: shown; 1: Modal did not answer; 2: the command is wrong.

    Examples:

    modal-runner jobs --state failure --since 7d

    modal-runner jobs --repo 'octo-org/*' --json
    """
    if as_json and watch:
        raise InputError("--json and --watch: give one of them")
    if state is not None and state not in _STATES:
        raise InputError(f"--state {state}: one of {', '.join(_STATES)}")
    found = asyncio.run(_jobs(state, repo, period(since), watch=watch))
    if as_json:
        typer.echo(ascii_json(found))
    else:
        console = Console()
        console.print(_shown(found, console.width))


def period(since: str) -> float:
    """How many seconds ago.

    Raises:
        InputError: it is no time.
    """
    found = seconds(since)
    if found is None:
        raise InputError(f"--since {since}: write a time like 90m, 24h or 7d")
    return float(found)


async def _jobs(state: str | None, repo: str | None, within_s: float, *, watch: bool) -> list[JobLine]:
    store = ModalDictStore(load_routing_settings().modal_app_name, create=False)

    async def read() -> list[JobLine]:
        now = time.time()
        return wanted(await read_jobs(store, now), state=state, repository=repo, since=now - within_s)

    if not watch:
        return await read()
    with Live(auto_refresh=False) as live:
        while True:
            live.update(_shown(await read(), live.console.width), refresh=True)
            await asyncio.sleep(_EVERY_S)


def _shown(found: list[JobLine], width: int) -> Group:
    """A table; where it would not fit, one thing under the other."""
    narrow = width < 72
    table = Table(box=None, pad_edge=False, show_header=not narrow, header_style="bold")
    columns = ("Job", "Repository", "State", "Waited", "Ran", "On", "About")
    for column in columns[:1] if narrow else columns:
        table.add_column(column, overflow="fold")
    for line in found:
        cells = (
            f"{line.id} {line.name}",
            line.repository,
            _state(line),
            _time(line.waited_s),
            _time(line.ran_s),
            line.machine or "",
            "" if line.usd is None else f"${line.usd:.2f}" if line.usd >= 0.01 else "<$0.01",
        )
        shown = [Text(visible(each)) for each in cells]
        table.add_row(*([Text("  ").join(each for each in shown if each.plain)] if narrow else shown))
    total = sum(line.usd or 0.0 for line in found)
    return Group(table, Text(f"{number_of(len(found), 'job')}, {as_money(total)} by list prices"))


def _state(line: JobLine) -> str:
    kept = f", kept until {time.strftime('%H:%M:%SZ', time.gmtime(line.kept_until))}" if line.kept_until else ""
    return f"{line.conclusion or line.state}{kept}"


def _time(duration_s: float | None) -> str:
    return "" if duration_s is None else as_span(duration_s)
