"""`make bench`: every figure of docs/performance.md, measured on this machine, in one go."""

import argparse
import asyncio
import datetime
import multiprocessing
import os
import platform
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from benchmarks import report
from benchmarks.inside import inside
from benchmarks.intake import intake
from benchmarks.many import burst
from benchmarks.process import cold_start, memory
from benchmarks.rows import Row
from benchmarks.start import starts
from benchmarks.sweeping import sweep

_HERE = Path(__file__).parent
_DICT_MS = (0.0, 5.0, 30.0)
_CAPS = {"MAX_CONCURRENT_PER_REPO": "1000"}
_BURSTS = (1_000, 10_000)
_SWEPT = (300, 1_000)
_PARTS = ("start", "inside", "intake", "many", "process")


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
    elif part == "inside":
        yield from asyncio.run(inside())
    elif part == "intake":
        yield from asyncio.run(intake())
    elif part == "many":
        yield from _many()
    else:
        yield from asyncio.run(memory())
        yield from asyncio.run(cold_start())


def _many() -> Iterable[Row]:
    """In virtual time and CPU time, of which several at once take nothing from each other; the longest goes first."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        begun = [pool.submit(burst, each) for each in sorted(_BURSTS, reverse=True)]
        begun += [pool.submit(sweep, each) for each in _SWEPT]
        for each in begun:
            yield from each.result()


if __name__ == "__main__":
    main()
