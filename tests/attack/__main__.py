"""`make attack`: attack the app, print what came of it, and exit 1 when a bound is broken."""

import argparse
import asyncio
import sys

import typer

from github_app.cli.demo import until_told_to_end
from tests.attack import report
from tests.attack.plan import BUSY, IDLE
from tests.attack.run import attack


def main() -> int:
    """Run the attacks that the command line names."""
    known = [each.name for lane in (*BUSY, *IDLE) for visit in lane for each in visit.attacks]
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="ATTACK", help=f"all unless named: {', '.join(known)}")
    parser.add_argument("--short", action="store_true", help="less of everything, all at once")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    told = parser.parse_args()
    if unknown := set(told.names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        rows = asyncio.run(until_told_to_end(attack(told.names, short=told.short, say=_progress)))
    except typer.Exit as end:
        return end.exit_code
    broken = report.broken(rows)
    if told.json:
        print(report.as_json(rows))  # noqa: T201
    else:
        print(report.table(rows), *report.notes(rows), "", sep="\n")  # noqa: T201
        print(*(f"BROKEN  {each}" for each in broken), sep="\n")  # noqa: T201
    return 1 if broken else 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
