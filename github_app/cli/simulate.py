"""`modal-runner simulate`: the whole product in one process, from seeds."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import structlog
import typer

from github_app.cli.extras import needs_demo
from github_app.errors import InputError
from github_app.foreign_text import ascii_json

if TYPE_CHECKING:
    from github_app.simulate.plan import Plan
    from github_app.simulate.run import Outcome


def simulate(
    seeds: Annotated[str, typer.Option(help="One seed, or A..B with both of them.")] = "1..20",
    jobs: Annotated[int, typer.Option(help="How many jobs a seed has.", min=1, max=500)] = 40,
    containers: Annotated[int, typer.Option(help="How many containers of the app share the work.", min=1, max=8)] = 2,
    faults: Annotated[str, typer.Option(help="all, none, or names of faults with commas between.")] = "all",
    *,
    replay: Annotated[Path | None, typer.Option(help="Run the plan in this file, and nothing else.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the history of the last seed that was run here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run the production app, GitHub and Modal in one process, on a clock that jumps: one seed, one history.

    What must hold is looked at after every step. The first violation is told with the history that leads to it, and is
    made smaller, to a plan file that --replay runs.

    Exit code 0: everything held; 1: something did not; 2: bad input.

    Example: modal-runner simulate --seeds 1..100
    """
    needs_demo("simulate")
    from github_app.simulate.many import simulate_all
    from github_app.simulate.outcome import FAULTS
    from github_app.simulate.plan import make_plan
    from github_app.simulate.report import report_of
    from github_app.simulate.run import simulate as run

    if replay is not None:
        plans = [_read_plan(replay)]
        span = (plans[0].seed, plans[0].seed)
    else:
        span = _span(seeds)
        chosen = {"all": FAULTS, "none": frozenset[str]()}.get(faults) or frozenset(faults.split(",")) - {"none"}
        if unknown := chosen - FAULTS:
            raise InputError(f"--faults: unknown {', '.join(sorted(unknown))}; there are {', '.join(sorted(FAULTS))}")
        plans = [make_plan(seed, jobs, containers, chosen) for seed in range(span[0], span[1] + 1)]
    outcomes = []
    for outcome in [run(plans[0])] if len(plans) == 1 else simulate_all(plans):
        outcomes.append(outcome)
        for each in outcome.violations:
            # At once: who stops a long run has not run it for nothing.
            _say(f"seed {outcome.plan.seed}, {each.at} s: {each.invariant}: {each.what}")
        _progress(len(outcomes), len(plans))
    # How fast it is when nothing goes wrong, by a twentieth of the seeds.
    calm = [
        make_plan(plan.seed, jobs, containers, frozenset()) for plan in plans[::20] if plan.faults and len(plans) > 1
    ]
    undisturbed = list(simulate_all(calm))
    for outcome in undisturbed:
        for each in outcome.violations:
            _say(f"seed {outcome.plan.seed} without faults, {each.at} s: {each.invariant}: {each.what}")
    broken = next((outcome for outcome in outcomes + undisturbed if outcome.violations), None)
    if trace is not None:
        last = outcomes[-1] if outcomes[-1].trace else run(outcomes[-1].plan)
        trace.write_text("\n".join(last.trace) + "\n", encoding="utf-8")
    report = report_of(span, outcomes, undisturbed)
    if as_json:
        typer.echo(ascii_json(report))
    else:
        _show(report)
    if broken is not None:
        _explain(broken, shrinks=replay is None)
    # What a seed that was broken off has left under way ends with this process, and would say so.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    raise typer.Exit(1 if broken else 0)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _span(seeds: str) -> tuple[int, int]:
    first, dots, last = seeds.partition("..")
    if not first.isdigit() or (dots and not last.isdigit()):
        raise InputError(f"--seeds {seeds}: write one number, or A..B")
    span = (int(first), int(last) if dots else int(first))
    if span[0] > span[1]:
        raise InputError(f"--seeds {seeds}: the first is greater than the last")
    return span


def _read_plan(file: Path) -> "Plan":
    from github_app.simulate.plan import Plan

    try:
        return msgspec.json.decode(file.read_bytes(), type=Plan)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"--replay {file}: no plan that can be read ({error})") from None


def _progress(done: int, of: int) -> None:
    if of > 1 and (sys.stderr.isatty() or done % 50 == 0):
        print(f"{done}/{of} seeds", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)  # noqa: T201


def _show(report: msgspec.Struct) -> None:
    for name, value in msgspec.to_builtins(report).items():
        if value is None:
            continue
        if name == "violations":
            typer.echo(f"{name:<16} {len(value)}")
            for each in value[:20]:
                typer.echo(f"  seed {each['seed']} at {each['at']} s: {each['invariant']}: {each['what']}")
        elif isinstance(value, dict):
            typer.echo(f"{name.replace('_', ' '):<16} " + ", ".join(f"{key} {each}" for key, each in value.items()))
        else:
            typer.echo(f"{name.replace('_', ' '):<16} {value}")


def _explain(broken: "Outcome", *, shrinks: bool) -> None:
    from github_app.simulate.report import around
    from github_app.simulate.run import simulate as run
    from github_app.simulate.shrink import shrink

    first, plan = broken.violations[0], broken.plan
    if shrinks:
        plan = shrink(plan, first.invariant, lambda size: _say(f"smaller: {size}"))
        file = Path(f"violation-{first.invariant}-{plan.seed}.json")
        file.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))
        _say(f"modal-runner simulate --replay {file}")
        broken = run(plan)
    for line in around(broken) if broken.violations else []:
        _say(line)
