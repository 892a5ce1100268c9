"""The scripts of a sandbox, put together: its command, and the hooks that the command writes."""

from importlib.resources import files

from github_app.routing.admission import KEPT

_HERE = files("github_app.sandboxes")


def _text(name: str) -> str:
    return _HERE.joinpath(name).read_text(encoding="utf-8")


ADMISSION = _text("admission.jq")
JOB_STARTED = _text("job-started.sh").replace("@ADMISSION@", ADMISSION)
JOB_COMPLETED = _text("job-completed.sh")
SHELL = _text("shell.sh").replace("@KEPT@", "|".join(KEPT))
START = (
    _text("start.sh")
    .replace("@KEPT@", "|".join(KEPT))
    .replace("@JOB-STARTED@", JOB_STARTED)
    .replace("@JOB-COMPLETED@", JOB_COMPLETED)
)
