"""From a job's labels to the machine it gets, or to the reason why it gets none."""

from dataclasses import dataclass, field

from github_app import labels
from github_app.model import RUNNER_NAME, JobEvent, Shape
from github_app.policy import Policy

_HOURS = 3600
# GitHub re-queues an assigned job that is not picked up at once; a runner that waits this long waits for nobody.
PICKUP_DEADLINE_S = 300
# The job's own six hours (as on GitHub's runners), the time to be picked up, and ten minutes to report and end.
SANDBOX_TIMEOUT_S = 6 * _HOURS + PICKUP_DEADLINE_S + 600
# Two vCPU are one physical core of Modal's. Modal bills the larger of request and use, so the limit may be generous.
PLAIN_CPU = (1.0, 8.0)
PLAIN_MEMORY_MIB = (2048, 32768)


@dataclass(frozen=True)
class Ignore:
    """Not a job of ours: costs no store access and no call."""

    reason: str


@dataclass(frozen=True)
class Refuse:
    """A job of ours that is not served. `sentence` tells its author what to change."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Admit:
    """A job of ours, and the machine that it gets."""

    shape: Shape


@dataclass(frozen=True)
class Rules:
    """What decides: the label that selects us, and who may use us."""

    label: str = "modal"
    policy: Policy = field(default_factory=Policy)


def route(event: JobEvent, rules: Rules) -> Ignore | Refuse | Admit:
    """Decide on a job by its labels and its repository."""
    match labels.parse(event.labels, rules.label):
        case labels.NotOurs(reason):
            return Ignore(reason)
        case labels.Rejected(code, sentence):
            return Refuse(code, sentence)
        case labels.Wanted(gpu):
            if refusal := rules.policy.refusal(event.repository, private=event.private):
                return Refuse("repository", refusal)
            return Admit(Shape(cpu=PLAIN_CPU, memory_mib=PLAIN_MEMORY_MIB, timeout_s=SANDBOX_TIMEOUT_S, gpu=gpu))


def took_our_runner(event: JobEvent) -> bool:
    """Tell whether a runner of ours runs the job, whatever the job asked for."""
    return bool(event.runner_name and RUNNER_NAME.fullmatch(event.runner_name))
