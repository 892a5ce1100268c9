"""What becomes of a job, in words and numbers: what `modal-runner explain` prints."""

from typing import Any

import msgspec

from github_app.model import JobEvent, Shape
from github_app.routing.catalog import usd_per_minute
from github_app.routing.route import route
from github_app.routing.rules import Admit, Ignore, Refuse, Rules


class Explanation(msgspec.Struct, frozen=True):
    """The fields are what `--json` prints."""

    decision: str
    reason: str | None
    route: str | None
    profile: str | None
    sandbox: dict[str, Any] | None
    price_usd_per_minute: float | None


def explain(event: JobEvent, rules: Rules) -> Explanation:
    """Say what the rules make of a job."""
    match route(event, rules):
        case Ignore(reason):
            return Explanation("ignore", reason, None, None, None, None)
        case Refuse(_, sentence, written):
            return Explanation("refuse", sentence, written, None, None, None)
        case Admit(shape, written, profile):
            return Explanation("run", None, written, profile, _sandbox(shape), usd_per_minute(shape))


def _sandbox(shape: Shape) -> dict[str, Any]:
    return {
        "gpu": {"type": shape.gpu.type, "count": shape.gpu.count} if shape.gpu else None,
        "cpu": shape.cpu[0] * 2,
        "memory_mib": shape.memory_mib[0],
        "timeout_s": shape.timeout_s,
        "region": shape.region,
        "image": shape.image,
        "network": {
            "mode": shape.network.mode,
            "domains": list(shape.network.domains),
            "cidrs": list(shape.network.cidrs),
        },
        "volumes": dict(shape.volumes),
        "docker": shape.docker,
        "runtime": "vm" if shape.docker and shape.gpu is None else "gvisor",
    }
