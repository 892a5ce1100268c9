"""What goes on in a sandbox before its runner's first call: the start script, and all of it in the simulated world."""

import base64
import json
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.delays import SlowModal
from benchmarks.rows import Row, median
from github_app.sandboxes.scripts import START
from tests.worlds.control_plane import ControlPlane, running, until

_TIMES = 20
_JOBS = 5
# Of the size that GitHub's have: three files, of which one holds an RSA key.
_JIT_CONFIG = {".runner": "x" * 600, ".credentials": "x" * 300, ".credentials_rsaparams": "x" * 1800}


async def inside() -> list[Row]:
    """The script against starting the runner directly; and from `SandboxCreate` to a runner that is online."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "bin").mkdir()
        (home / "bin" / "Runner.Listener").touch()
        (home / "run.sh").write_text("#!/bin/sh\nexec date +%s%N > began\n")
        (home / "run.sh").chmod(0o755)
        script = median([_began_after(home, START) for _ in range(_TIMES)])
        directly = median([_began_after(home, "exec ./run.sh") for _ in range(_TIMES)])
    online = await _online()
    return [
        Row("sandbox: its start to the runner's, with our script", script * 1e3, "ms", directly * 1e3),
        Row("sandbox: SandboxCreate to online, simulated machine and runner", online * 1e3, "ms"),
    ]


def _began_after(home: Path, script: str) -> float:
    """Seconds until `run.sh` runs."""
    files = {name: base64.b64encode(text.encode()).decode() for name, text in _JIT_CONFIG.items()}
    config = base64.b64encode(json.dumps(files).encode()).decode()
    environment = {"PATH": "/usr/bin:/bin", "RUNNER_HOME": str(home), "ACTIONS_RUNNER_INPUT_JITCONFIG": config}
    began = time.time_ns()
    subprocess.run(["/bin/sh", "-euc", script], cwd=home, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (int((home / "began").read_text()) - began) / 1e9


async def _online() -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), settings={"SWEEP_INTERVAL_SECONDS": "0"}) as plane:
            plane.modal.interceptor = slow = SlowModal(0.0)
            return median([await _online_after(plane, slow, number) for number in range(1, _JOBS + 1)])


async def _online_after(plane: ControlPlane, slow: SlowModal, number: int) -> float:
    name = f"modal-{number}-1"
    await plane.deliver(plane.queued("self-hosted", "modal", job_id=number))
    await until(lambda: any(each.name == name and each.online for each in plane.github.world.runners.values()))
    return time.perf_counter() - slow.created[name]
