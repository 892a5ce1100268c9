"""`modal-runner cost`: what jobs have cost, summed."""

import asyncio
import csv
import sys
import time
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from github_app.cli.jobs import period
from github_app.errors import InputError
from github_app.foreign_text import ascii_json, visible
from github_app.settings.load import load_routing_settings
from github_app.store import SUMS, ModalDictStore
from github_app.views.cost import KEYS, Cost, Sum, summed, summed_days
from github_app.views.jobs import read_jobs, wanted

# So far back jobs are known one by one.
_ONE_BY_ONE_S = 7 * 24 * 3600.0
# What a spreadsheet would take for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cost(
    *,
    since: Annotated[str, typer.Option(help="Of jobs queued within this time: 24h, 7d, 90d.")] = "7d",
    by: Annotated[str, typer.Option(help=f"What to sum by: {', '.join(KEYS)}.")] = "repo",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")] = False,
) -> None:
    """Sum what jobs have cost by repository, workflow, machine or day: an estimate by Modal's list prices.

    Counted is what a machine costs at least, from its sandbox's creation to its job's end; Modal bills what is used
    beyond the request, too, and its dashboard has the bill. Beside it stands what the same jobs would have cost on
    GitHub's own runners, where it has a machine as large. More than seven days back whole days are summed, up to 400; a
    job is among these some minutes after its end. Needs Modal's token alone.

    Exit code 0: shown; 1: Modal did not answer; 2: the command is wrong.

    Example: modal-runner cost --since 7d --by workflow
    """
    if by not in KEYS:
        raise InputError(f"--by {by}: one of {', '.join(KEYS)}")
    if as_json and as_csv:
        raise InputError("--json and --csv: give one of them")
    found = asyncio.run(_cost(period(since), by))
    if as_json:
        typer.echo(ascii_json(found))
    elif as_csv:
        _print_csv(found)
    else:
        _show(found)


async def _cost(within_s: float, by: str) -> Cost:
    store = ModalDictStore(load_routing_settings().modal_app_name, create=False)
    now = time.time()
    if within_s > _ONE_BY_ONE_S:
        return summed_days(await store.all(SUMS), by, now - within_s)
    return summed(wanted(await read_jobs(store, now), since=now - within_s), by, now - within_s)


def _print_csv(found: Cost) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(list(Sum.__struct_fields__))
    for each in found.sums:
        key = f"'{each.key}" if each.key.startswith(_FORMULA) else each.key
        writer.writerow([visible(key), *msgspec.structs.astuple(each)[1:]])


def _show(found: Cost) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in (found.by, "jobs", "failed", "minutes", "about $", "at GitHub $"):
        table.add_column(column, overflow="fold", justify="left" if column == found.by else "right")
    for each in found.sums:
        cells = (each.key, str(each.jobs), str(each.failures), f"{each.minutes:.1f}", f"{each.usd:.2f}", _there(each))
        table.add_row(*(Text(visible(cell)) for cell in cells))
    console = Console()
    console.print(table)
    rest = f"; of {found.unpriced} more it is not known on what they ran" if found.unpriced else ""
    console.print(f"about ${found.usd:.2f} in all, by Modal's list prices{rest}", highlight=False)
    if found.github_usd is not None:
        console.print(f"on GitHub's own runners ${_there(found)}, by GitHub's list prices", highlight=False)


def _there(found: Sum | Cost) -> str:
    """What it would have cost at GitHub; if only a part of it could run there, with what that part has cost here."""
    if found.github_usd is None:
        return "-"
    part = "" if found.compared_usd == found.usd else f" for ${found.compared_usd:.2f} of it"
    return f"{found.github_usd:.2f}{part}"
