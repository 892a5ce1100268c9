"""`make bench`: every figure of docs/performance.md, measured on this machine, in one go."""

import argparse
import asyncio
import datetime
import os
import platform
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks import report
from benchmarks.intake import intake
from benchmarks.many import bursts
from benchmarks.process import cold_start, memory
from benchmarks.rows import Row
from benchmarks.start import starts
from benchmarks.sweeping import sweeps

_HERE = Path(__file__).parent
_DICT_MS = (0.0, 5.0, 30.0)
_CAPS = {"MAX_CONCURRENT_PER_REPO": "1000"}
_BURSTS = (300, 1_000)
_SWEPT = (100, 300)
_PARTS = ("start", "intake", "burst", "sweep", "process")


def main() -> None:
    """Measure, print each row, and write both files when everything was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=_PARTS, help="one part; then nothing is written")
    only = parser.parse_args().only
    rows: list[Row] = []
    for part in _PARTS if only is None else (only,):
        for row in _measure(part):
            print(report.line(row), flush=True)
            rows.append(row)
    if only is None:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        measured = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "machine": machine, "rows": rows}
        (_HERE / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2) + b"\n")
        report.write(_HERE.parent / "docs" / "performance.md", rows, f"{measured['date']}, {machine}")


def _measure(part: str) -> Iterable[Row]:
    if part == "start":
        for dict_ms in _DICT_MS:
            yield from asyncio.run(starts(dict_ms, {}, name="no caps"))
            yield from asyncio.run(starts(dict_ms, _CAPS, name="a cap, 500 running", running_jobs=500))
    elif part == "intake":
        yield from asyncio.run(intake())
    elif part == "burst":
        yield from bursts(*_BURSTS)
    elif part == "sweep":
        yield from sweeps(*_SWEPT)
    else:
        yield from asyncio.run(memory())
        yield from asyncio.run(cold_start())


if __name__ == "__main__":
    main()
