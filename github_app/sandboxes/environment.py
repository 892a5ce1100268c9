"""What a sandbox is told through its environment: never argv, which every process of the machine can read."""

import re
from collections.abc import Iterable

from github_app.model import SandboxSpec, Shape
from github_app.routing.catalog import PRICES_OF, github_runner, requested, usd_per_minute
from github_app.routing.machine import CACHE_PATH
from github_app.routing.provisions import Provisions
from github_app.routing.units import as_machine, as_size

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|PASS$|KEY|CREDENTIAL|_PAT$|AUTH", re.IGNORECASE)
_LONG = 24


def runner_variables(
    spec: SandboxSpec, provisions: Provisions, secret_names: Iterable[str], rules: str, *, sudo_fails: bool = False
) -> dict[str, str]:
    """The variables that start.sh and the hooks read.

    `secret_names` are the variables that Modal Secrets bring; `rules` are for admission.jq; `sudo_fails`: it is known
    not to work under gVisor.
    """
    shape = spec.shape
    secret_names = sorted(secret_names)
    own = list(dict.fromkeys([*provisions.own, *secret_names]))
    plain = [
        name for name in provisions.own if name not in provisions.secret and _reads_secret(name, provisions.env[name])
    ]
    return {
        "ACTIONS_RUNNER_INPUT_JITCONFIG": spec.jit_config.get_secret_value(),
        "MODAL_RUNNER_RULES": rules,
        "MODAL_RUNNER_MACHINE": machine(shape),
        # Variables that are for the jobs that it was made for, and those that are for every job.
        "MODAL_RUNNER_OWN_ENV": " ".join(own),
        "MODAL_RUNNER_SECRET_ENV": " ".join([*provisions.secret, *secret_names, *plain]),
        "MODAL_RUNNER_COMMON_ENV": " ".join(name for name in provisions.env if name not in own),
        "MODAL_RUNNER_KEPT_BACK": provisions.kept_back or "",
        # What is mounted cannot be taken away from a job that takes another's runner; it is told of.
        "MODAL_RUNNER_MOUNTS": " ".join(path for path, _ in shape.volumes) if shape.made_for else "",
        "MODAL_RUNNER_THREADS": str(max(1, int(shape.cpu[1] * 2))),
        "MODAL_RUNNER_CACHE": CACHE_PATH if CACHE_PATH in dict(shape.volumes) else "",
        "MODAL_RUNNER_DOCKER": _docker(shape),
        "MODAL_RUNNER_SUDO": "no" if sudo_fails and _docker(shape) != "vm" else "try",
        **_prices(shape),
        **({"MODAL_RUNNER_NAME": spec.name, "MODAL_RUNNER_DEBUG": str(shape.debug_s)} if shape.debug_s else {}),
    }


def _reads_secret(name: str, value: str) -> bool:
    """Tell whether a variable that is not marked as secret looks like one: only then it is masked in the job's log.

    The runner drops every output of a job that contains a masked word, so that not all can be.
    """
    return bool(_SECRET_NAME.search(name)) or len(value) >= _LONG


def machine(shape: Shape) -> str:
    """A machine in words, for the job's log."""
    parts = [f"{shape.cpu[0] * 2:g} vCPU", f"{as_size(shape.memory_mib[0])} of memory"]
    parts += [f"GPU {shape.gpu}"] if shape.gpu else []
    parts += [f"region {shape.region}"] if shape.region else []
    parts += [f"image {shape.image}", f"network {shape.network.mode}"]
    return ", ".join(parts)


def _prices(shape: Shape) -> dict[str, str]:
    """What the job-completed hook reckons with: prices of a minute in millionths of a dollar, as a shell can."""
    vcpu, memory_mib, gpu = requested(shape)
    theirs = github_runner(vcpu, memory_mib, gpu)
    return {
        "MODAL_RUNNER_PRICED": as_machine(gpu, vcpu, memory_mib, shape.region),
        "MODAL_RUNNER_PRICE": str(round(usd_per_minute(shape) * 1e6)),
        "MODAL_RUNNER_PRICES_OF": PRICES_OF,
        "MODAL_RUNNER_GITHUB_PRICE": str(round(theirs.usd_per_minute * 1e6)) if theirs else "",
    }


def _docker(shape: Shape) -> str:
    if not shape.docker:
        return "no"
    return "vm" if shape.gpu is None else "gvisor"
