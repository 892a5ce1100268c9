"""Runs in one of two sandboxes, with the SDK alone: what Modal's Dict does between containers, and whether one builds.

Prints one JSON object. Arguments: the name of the Dict, `first` or `second`, how many rounds.
"""

import concurrent.futures
import json
import os
import sys
import time

# With it the SDK takes the token of a function's container, which a sandbox has not.
os.environ.pop("MODAL_IS_REMOTE", None)

import modal

_CONTENDERS = 25
_KEYS = 4
_WAIT_S = 90.0


def _wait_for(shared: "modal.Dict", key: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while shared.get(key) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(key)


def _contend(shared: "modal.Dict", me: str) -> list[int]:
    """Put keys that the other sandbox puts at the same moment; count the wins on each."""
    wins = []
    with concurrent.futures.ThreadPoolExecutor(_CONTENDERS) as pool:
        for number in range(_KEYS):
            shared[f"ready-{me}-{number}"] = True
            _wait_for(shared, f"ready-{'second' if me == 'first' else 'first'}-{number}")
            puts = [
                pool.submit(shared.put, f"contended-{number}", f"{me}-{each}", skip_if_exists=True)
                for each in range(_CONTENDERS)
            ]
            wins.append(sum(put.result() for put in puts))
    return wins


def _exchange(shared: "modal.Dict", me: str, rounds: int) -> tuple[int, list[float]]:
    """Put a value and then a signal; whoever sees the signal has to see the value. Count what was not seen."""
    missed, took = 0, []
    for number in range(rounds):
        if me == "first":
            began = time.monotonic()
            shared[f"value-{number}"] = number
            took.append(time.monotonic() - began)
            shared[f"signal-{number}"] = True
            _wait_for(shared, f"answer-{number}")
        else:
            _wait_for(shared, f"signal-{number}")
            missed += shared.get(f"value-{number}") != number
            shared[f"answer-{number}"] = True
    return missed, took


def _builds() -> str:
    """Build and publish an image from here; say how that ended."""
    try:
        app = modal.App.lookup(os.environ["PROBE_APP"], create_if_missing=True)
        image = modal.Image.debian_slim(python_version="3.12").run_commands("echo modal-runner-probe").build(app)
        image.publish("modal-runner-probe:inside")
    except Exception as error:  # whatever it is, it is the answer
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "built"


def _main() -> None:
    name, me, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    shared = modal.Dict.from_name(name, create_if_missing=True)
    wins = _contend(shared, me)
    missed, took = _exchange(shared, me, rounds)
    milliseconds = sorted(round(each * 1000, 1) for each in took)
    told = {"wins": wins, "missed": missed, "milliseconds": milliseconds, "time": time.time()}
    if me == "second":
        told["builds"] = _builds()
    print(json.dumps(told), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    _main()
