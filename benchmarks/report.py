"""The rows as people read them: one line each, and the table of docs/performance.md."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.rows import Row

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def line(row: Row) -> str:
    """One row on a terminal."""
    return f"{row.name:<76} {_value(row):>18} {_ratio(row):>8}  {row.goal}{'; ' if row.note else ''}{row.note}"


def write(page: Path, rows: Iterable[Row], when: str) -> None:
    """Put the table between the page's two marks."""
    table = [
        f"Measured {when}.",
        "",
        "| what | measured | floor in the same run | ratio | goal |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        floor = "" if row.floor is None else f"{row.floor:,.4g} {row.unit}"
        goal = row.goal + (f" ({row.note})" if row.note else "")
        table.append(f"| {row.name} | {_value(row)} | {floor} | {_ratio(row)} | {goal} |")
    before, _, rest = page.read_text().partition(_BEGIN)
    page.write_text(before + _BEGIN + "\n" + "\n".join(table) + "\n" + _END + rest.partition(_END)[2])


def _value(row: Row) -> str:
    return row.unit if row.unit == "not measured" else f"{row.value:,.4g} {row.unit}"


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f} ×"
