"""What the simulated runner image holds: the stand-in for actions/runner, and programs that a machine may lack.

A sandbox is a process of this machine, so what the real image has for sure is brought along: a user `runner`, who is
one in name alone, `sudo`, which has no effect without setuid, and `jq`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from github_app.simulator import jq_command, runner
from github_app.simulator.modal.sandbox import RunnerImage

_ID = """#!/bin/sh
case "$*" in
    -u) [ -z "${SIMULATED_USER:-}" ] || exec echo 1001 ;;
    -un) [ -z "${SIMULATED_USER:-}" ] || exec echo "$SIMULATED_USER" ;;
    runner | "-u runner") exec echo 1001 ;;
esac
PATH=${PATH#*:} exec id "$@"
"""
_SETPRIV = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
SIMULATED_USER=runner exec "$@"
"""
# The kernel's own flag for processes for which setuid has no effect.
_SUDO = """#!/bin/sh
if grep -q '^NoNewPrivs:.*1' /proc/self/status; then
    echo "sudo: effective uid is not 0, is sudo installed setuid root?" >&2
    exit 1
fi
while [ "${1#-}" != "$1" ]; do shift; done
unset SIMULATED_USER
exec "$@"
"""
# Root in a namespace owns no other user's files.
_CHOWN = """#!/bin/sh
[ "$1" = runner:runner ] || PATH=${PATH#*:} exec chown "$@"
"""
# What only some simulated machines have is told by variables of the simulated Modal: SIMULATED_DOCKER, SIMULATED_GPU,
# SIMULATED_DOMAINS, SIMULATED_ONE_LEVEL. dockerd and update-alternatives would change the machine that the simulation
# runs on.
_DOCKERD = """#!/bin/sh
[ -z "${SIMULATED_DOCKER:-}" ] || exec sleep 3600
echo "there is no dockerd in the simulated image" >&2
exit 1
"""
_ALTERNATIVES = "#!/bin/sh\n"
_DOCKER = """#!/bin/sh
[ -n "${SIMULATED_DOCKER:-}" ] || PATH=${PATH#*:} exec docker "$@"
case "$*" in
    info) ;;
    pull*) [ "$SIMULATED_DOCKER" != "no pulls" ] || { echo "toomanyrequests: pull rate limit" >&2; exit 1; } ;;
    *--publish*) python -m http.server --bind 127.0.0.1 "$(echo "$*" | sed 's/.*--publish \\([0-9]*\\):.*/\\1/')" & ;;
    *echo*) echo "${*##*echo }" ;;
esac
"""
_NVIDIA_SMI = """#!/bin/sh
[ -n "${SIMULATED_GPU:-}" ] || PATH=${PATH#*:} exec nvidia-smi "$@"
echo "GPU 0: NVIDIA $SIMULATED_GPU (UUID: GPU-simulated)"
"""
_LDCONFIG = """#!/bin/sh
[ -n "${SIMULATED_GPU:-}" ] || PATH=${PATH#*:} exec ldconfig "$@"
echo "libcuda.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so.1"
"""
_LS = """#!/bin/sh
[ -n "${SIMULATED_GPU:-}" ] && [ "$*" = /dev ] && exec echo nvidia0
PATH=${PATH#*:} exec ls "$@"
"""
# A closed network decides by the name; what it lets through here is answered, for there is no network at all.
_CURL = """#!/bin/sh
url= ; for url; do :; done
host=${url#https://}
[ -n "${SIMULATED_DOMAINS:-}" ] && [ "$host" != "$url" ] || PATH=${PATH#*:} exec curl "$@"
host=${host%%/*}
set -f
for pattern in $SIMULATED_DOMAINS; do
    case "$host" in
        $pattern)
            below=${host%"${pattern#\\*}"}
            [ -n "${SIMULATED_ONE_LEVEL:-}" ] && [ "$below" != "${below#*.}" ] || { printf 200; exit 0; } ;;
    esac
done
printf 000
exit 28
"""
_PROGRAMS = {
    "id": _ID,
    "setpriv": _SETPRIV,
    "sudo": _SUDO,
    "chown": _CHOWN,
    "curl": _CURL,
    "ls": _LS,
    "docker": _DOCKER,
    "dockerd": _DOCKERD,
    "update-alternatives": _ALTERNATIVES,
    "nvidia-smi": _NVIDIA_SMI,
    "ldconfig": _LDCONFIG,
}


def light_stand_in_image() -> RunnerImage:
    """The same with a stand-in runner that starts without the search for packages: its jobs only take time."""
    here = Path(runner.__file__)
    return stand_in_image(f'#!/bin/sh\nPYTHONPATH="{here.parents[2]}" exec "{sys.executable}" -S -P "{here}"\n')


def stand_in_image(run: str | None = None, *, env: Mapping[str, str] | None = None) -> RunnerImage:
    """The image; `run` is the text of its run.sh, by default the stand-in runner."""
    # Without the search for packages (-S), which takes longer than the work.
    packages = Path(jq_command.library()).parent
    jq = f'#!/bin/sh\nPYTHONPATH="{packages}" exec "{sys.executable}" -S "{jq_command.__file__}" "$@"\n'
    stand_in = f'#!/bin/sh\nexec "{sys.executable}" -I -m github_app.simulator.runner\n'
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    programs = {f"bin/{name}": text for name, text in (_PROGRAMS | {"jq": jq, "python": python}).items()}
    return RunnerImage(
        env={"RUNNER_HOME": "{root}/runner", "PATH": "{root}/bin:/usr/local/bin:/usr/bin:/bin", **(env or {})},
        # As actions/runner has it: its configuration is read from files beside it.
        files={"runner/run.sh": run or stand_in, "runner/bin/Runner.Listener": "#!/bin/sh\n", **programs},
    )
