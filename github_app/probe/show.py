"""A probe's report on a terminal."""

from collections import Counter

from rich.console import Console

from github_app.foreign_text import visible
from github_app.routing.units import as_money
from github_app.store.notes import ProbeReport, ProbeResult

_MARKS = {
    "holds": "[green]holds        [/]",
    "does-not-hold": "[red]does not hold[/]",
    "unknown": "[yellow]unknown      [/]",
}


def show(report: ProbeReport, console: Console) -> None:
    """Print every line, and what follows of those that do not hold."""
    for each in report.results:
        _show(each, console)
    console.print(f"cost, by list prices: {as_money(report.cost_usd)}", highlight=False)


def show_what_fails(report: ProbeReport, console: Console) -> None:
    """Print the lines that do not hold, and how many the others are."""
    for each in report.results:
        if each.state == "does-not-hold":
            _show(each, console)
    console.print(f"{counted(report)}; `modal-runner probe --report` shows all of it", highlight=False)


def counted(report: ProbeReport) -> str:
    """How many hold, do not, are unknown."""
    counts = Counter(each.state for each in report.results)
    return f"{counts['holds']} hold, {counts['does-not-hold']} do not, {counts['unknown']} are unknown"


def _show(each: ProbeResult, console: Console) -> None:
    console.print(f"{_MARKS[each.state]} {each.id:>2} ", end="")
    console.print(f"{each.assumption}: {visible(each.evidence)}", soft_wrap=True, highlight=False, markup=False)
    if each.consequence:
        console.print(f"{'':<17}-> {visible(each.consequence)}", soft_wrap=True, highlight=False, markup=False)
