"""The table, and the same as JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.attack import bounds
from tests.attack.bounds import Bound, Row

_COLUMNS = {
    "sent": bounds.SENT,
    **{name: name for name in bounds.CLASSES},
    "MiB": bounds.BEFORE,
    "peak": bounds.PEAK,
    "p99 ms": bounds.P99,
    "valid": bounds.VALID,
    "failed": bounds.FAILED,
    "sandboxes": bounds.SANDBOXES,
    "calls": bounds.CALLS,
}
_IN_COLUMNS = {*_COLUMNS.values(), bounds.UNFINISHED}


def table(rows: Sequence[Row]) -> str:
    """A line for each attack: its figures, and the bounds that they were held to."""
    heads = ("attack", *_COLUMNS, "s", "bounds")
    lines = [heads, *(_line(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:]), line[-1]]) for line in lines
    )


def _line(row: Row) -> tuple[str, ...]:
    figures = [_number(row.figures.get(figure)) for figure in _COLUMNS.values()]
    held_to = "; ".join(_bound(bound, row.figures) for bound in row.attack.bounds if bound.figure != bounds.UNFINISHED)
    return (row.attack.name, *figures, f"{row.seconds:.0f}", held_to + (f"; {row.problem}" if row.problem else ""))


def _bound(bound: Bound, figures: Mapping[str, float]) -> str:
    found = figures.get(bound.figure)
    said = f"{bound.figure} {_number(found)} <= {_number(bound.most)}"
    return f"BROKEN {said}" if bound.broken(figures) else said


def broken(rows: Iterable[Row]) -> list[str]:
    """A sentence for each bound that was not kept."""
    return [
        f"{row.attack.name}: {bound.figure} is {_number(row.figures.get(bound.figure))}, at most {_number(bound.most)}"
        for row in rows
        for bound in row.broken
    ]


def notes(rows: Iterable[Row]) -> list[str]:
    """What was measured of an attack and is no column and has no bound."""
    lines = []
    for row in rows:
        rest = row.figures.keys() - _IN_COLUMNS - {bound.figure for bound in row.attack.bounds} - {bounds.GROWTH}
        if rest:
            said = ", ".join(f"{name} {_number(row.figures[name])}" for name in row.figures if name in rest)
            lines.append(f"{row.attack.name}: {said}")
    return lines


def as_json(rows: Sequence[Row]) -> str:
    """One object: every figure and bound of every attack, and what is broken."""
    attacks = [
        {
            "attack": row.attack.name,
            "seconds": round(row.seconds, 1),
            "figures": {name: _finite(value) for name, value in row.figures.items()},
            "bounds": {bound.figure: bound.most for bound in row.attack.bounds},
            "broken": [bound.figure for bound in row.broken],
            "problem": row.problem,
        }
        for row in rows
    ]
    return json.dumps({"attacks": attacks, "broken": broken(rows)})


def _finite(value: float) -> Any:
    """JSON has no word for never."""
    return round(value, 2) if math.isfinite(value) else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "never"
    return f"{value:.0f}" if value == int(value) or value >= 10 else f"{value:.1f}"
