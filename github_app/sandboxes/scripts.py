"""The scripts of a sandbox, put together: its command, and the hooks that the command writes."""

from importlib.resources import files

_HERE = files("github_app.sandboxes")


def _text(name: str) -> str:
    return _HERE.joinpath(name).read_text(encoding="utf-8")


ADMISSION = _text("admission.jq")
JOB_STARTED = _text("job-started.sh").replace("@ADMISSION@", ADMISSION)
# Variables that stay in the environment, as patterns of a shell: the runner itself goes by them, or GITHUB_ENV does not
# take them (actions/runner, FileCommandManager.cs).
KEPT = (
    *("PATH", "HOME", "LD_*", "NODE_OPTIONS", "*_NUM_THREADS", "*_proxy", "*_PROXY", "SSL_CERT_*"),
    *("NODE_EXTRA_CA_CERTS", "ACTIONS_RUNNER_*", "GITHUB_ACTIONS_RUNNER_*", "RUNNER_HOME", "RUNNER_ALLOW_RUNASROOT"),
    *("RUNNER_MANUALLY_TRAP_SIG", "RUNNER_TOOL_CACHE"),
)
START = (
    _text("start.sh")
    .replace("@KEPT@", "|".join(KEPT))
    .replace("@JOB-STARTED@", JOB_STARTED)
    .replace("@JOB-COMPLETED@", _text("job-completed.sh"))
)
