"""What a sandbox is told through its environment: never argv, which every process of the machine can read."""

from github_app.model import MadeFor, SandboxSpec, Shape
from github_app.routing import CACHE_PATH, Gift
from github_app.units import as_size


def settings_of(spec: SandboxSpec, gift: Gift, admitted: str) -> dict[str, str]:
    """The variables that start.sh and the hooks read; `admitted` are the policy's globs."""
    shape = spec.shape
    return {
        "ACTIONS_RUNNER_INPUT_JITCONFIG": spec.jit_config.get_secret_value(),
        "MODAL_RUNNER_ALLOWED_REPOS": admitted,
        "MODAL_RUNNER_FORKS": " ".join(shape.forks),
        "MODAL_RUNNER_MACHINE": machine(shape),
        # Who may have what this sandbox was given, and which variables that is.
        **_made_for(shape.made_for),
        "MODAL_RUNNER_OWN_ENV": " ".join(gift.own),
        "MODAL_RUNNER_COMMON_ENV": " ".join(name for name in gift.env if name not in gift.own),
        "MODAL_RUNNER_SECRETS": "yes" if gift.secrets else "no",
        "MODAL_RUNNER_CACHE": CACHE_PATH if CACHE_PATH in dict(shape.volumes) else "",
        "MODAL_RUNNER_DOCKER": _docker(shape),
    }


def machine(shape: Shape) -> str:
    """A machine in words, for the job's log."""
    parts = [f"{shape.cpu[0] * 2:g} vCPU", f"{as_size(shape.memory_mib[0])} of memory"]
    parts += [f"GPU {shape.gpu}"] if shape.gpu else []
    parts += [f"region {shape.region}"] if shape.region else []
    parts += [f"image {shape.image}", f"network {shape.network.mode}"]
    return ", ".join(parts)


def _made_for(made_for: MadeFor | None) -> dict[str, str]:
    return {
        "MODAL_RUNNER_MADE_FOR": " ".join(made_for.repositories) if made_for else "",
        "MODAL_RUNNER_BRANCH": (made_for.branch or "").lower() if made_for else "",
        "MODAL_RUNNER_WORKFLOW": (made_for.workflow or "").lower() if made_for else "",
        "MODAL_RUNNER_EVENTS": " ".join(made_for.events) if made_for else "",
    }


def _docker(shape: Shape) -> str:
    if not shape.docker:
        return "no"
    return "vm" if shape.gpu is None else "gvisor"
