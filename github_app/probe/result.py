"""From a look to a result, and from results to a whole report. Pure."""

import time
from collections.abc import Iterable

import msgspec

from github_app.probe.assumptions import ASSUMPTIONS, BY_ID
from github_app.store.notes import Probed, ProbeReport, ProbeResult

_SEEN_ON = "seen on"
_NOT_LOOKED = "it was not looked at: run the probe again"


def found(number: int, evidence: str, *, holds: bool) -> ProbeResult:
    """It was looked at."""
    each = BY_ID[number]
    state, consequence = ("holds", None) if holds else ("does-not-hold", each.otherwise)
    return ProbeResult(number, each.text, state, evidence, consequence)


def unknown(number: int, why: str) -> ProbeResult:
    """It was not, or could not be."""
    return ProbeResult(number, BY_ID[number].text, "unknown", why)


def complete(results: Iterable[ProbeResult], earlier: Probed | None = None) -> tuple[ProbeResult, ...]:
    """Every assumption once: as found now; where nobody looked now, as found earlier, with its day; else unknown."""
    now = {each.id: each for each in results}
    before = {each.id: each for each in (earlier.report.results if earlier else ()) if each.state != "unknown"}
    return tuple(
        now.get(each.id) or _seen_before(before.get(each.id), earlier) or unknown(each.id, each.needs or _NOT_LOOKED)
        for each in ASSUMPTIONS
    )


def _seen_before(result: ProbeResult | None, earlier: Probed | None) -> ProbeResult | None:
    if result is None or earlier is None or result.evidence.startswith(_SEEN_ON):
        return result
    day = time.strftime("%Y-%m-%d", time.gmtime(earlier.at))
    return msgspec.structs.replace(result, evidence=f"{_SEEN_ON} {day}: {result.evidence}")


def was_seen_now(result: ProbeResult) -> bool:
    """Tell whether a result is of this probe, and not of an earlier one."""
    return not result.evidence.startswith(_SEEN_ON)


def hopeless(report: ProbeReport) -> tuple[ProbeResult, ...]:
    """What does not hold, and for which the product has no other way."""
    return tuple(each for each in report.results if each.state == "does-not-hold" and not _has_another_way(each))


def _has_another_way(result: ProbeResult) -> bool:
    return result.id not in BY_ID or BY_ID[result.id].has_another_way
