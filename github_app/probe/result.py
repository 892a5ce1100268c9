"""From a look to a result, and from results to a whole report. Pure."""

from collections.abc import Iterable

from github_app.notes import ProbeReport, ProbeResult
from github_app.probe.assumptions import ASSUMPTIONS, BY_ID


def found(number: int, evidence: str, *, holds: bool) -> ProbeResult:
    """It was looked at."""
    each = BY_ID[number]
    state, consequence = ("holds", None) if holds else ("does-not-hold", each.otherwise)
    return ProbeResult(number, each.text, state, evidence, consequence)


def unknown(number: int, why: str) -> ProbeResult:
    """It was not, or could not be."""
    return ProbeResult(number, BY_ID[number].text, "unknown", why)


def complete(results: Iterable[ProbeResult], earlier: ProbeReport | None = None) -> tuple[ProbeResult, ...]:
    """Every assumption once: as found now, else as found earlier, else unknown with what a person can do."""
    now = {each.id: each for each in results}
    before = {each.id: each for each in (earlier.results if earlier else ()) if each.state != "unknown"}
    every = []
    for each in ASSUMPTIONS:
        result = now.get(each.id)
        if (result is None or result.state == "unknown") and each.id in before:
            result = before[each.id]
        every.append(result or unknown(each.id, each.needs or "nothing has shown it yet"))
    return tuple(every)


def hopeless(report: ProbeReport) -> tuple[ProbeResult, ...]:
    """What does not hold, and for which the product has no other way."""
    return tuple(each for each in report.results if each.state == "does-not-hold" and not _has_another_way(each))


def _has_another_way(result: ProbeResult) -> bool:
    return result.id not in BY_ID or BY_ID[result.id].has_another_way
