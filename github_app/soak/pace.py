"""How fast the soak's time may run: what the app waits for is real, and has to fit into the time that it waits."""

import subprocess
import time

from github_app.runners.ending import WORKER_APPEARS_S

FASTEST = 20.0
_SLOWEST = 2.0
_SAMPLES = 20
# Between a job's assignment and its Worker lie a message and a fork; between two looks inside, a process each.
_STEPS = 4


def time_scale() -> float:
    """How many virtual seconds pass in a real one, so that a Worker appears within the app's grace on this machine."""
    return scale_for(max(_one_process() for _ in range(_SAMPLES)))


def scale_for(process_s: float) -> float:
    """The same for a machine on which a process begins and is read of within `process_s` real seconds."""
    return min(FASTEST, max(_SLOWEST, WORKER_APPEARS_S / (_STEPS * process_s)))


def _one_process() -> float:
    began = time.monotonic()
    subprocess.run(["/bin/cat", "/proc/self/comm"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began
