"""The values that travel between the layers: what a delivery says, what is recorded, what is asked of Modal.

Records are stored as JSON. A new field needs a default, so that a record of an older version can still be read.
"""

import re
from enum import StrEnum

import msgspec
from pydantic import SecretStr

# The ids of seats (routing/warm.py) begin here; GitHub's ids of jobs have eleven digits today.
FIRST_SEAT = 1 << 62
# A sandbox that is kept ends by itself, by a clock of its own that has begun a little later.
KEPT_LONGER_S = 60.0
RUNNER_NAME = re.compile(r"modal-(?P<job_id>\d+)-(?P<attempt>\d+)")


class Scope(msgspec.Struct, frozen=True):
    """Where runners are registered: an organisation, or one repository of a personal account (`repo` is set)."""

    owner: str
    repo: str | None = None

    def __str__(self) -> str:
        return f"{self.owner}/{self.repo}" if self.repo else self.owner


class Place(msgspec.Struct, frozen=True):
    """A scope, and as which installation to speak of it. `repository_id` is 0 for an organisation."""

    scope: Scope
    installation_id: int
    repository_id: int = 0


class Action(StrEnum):
    """The `action` of a `workflow_job` event. Actions that GitHub may add are not ours to act on."""

    QUEUED = "queued"
    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class RunFacts(msgspec.Struct, frozen=True):
    """What a delivery does not say of a job's run: the event that started it, and whether its code is a fork's.

    `path` is that of its workflow's file; `over` is how it ended (`completed` if GitHub does not say), once it has.
    """

    event: str
    from_fork: bool
    path: str = ""
    over: str | None = None


class JobEvent(msgspec.Struct, frozen=True):
    """What one `workflow_job` delivery says, cut to what is used. `queued_at` is Unix seconds.

    `forked`: the repository has forks. `run` is there only where a rule needs it, which costs a call to GitHub.
    """

    action: Action
    job_id: int
    run_id: int
    run_attempt: int
    job_name: str
    labels: tuple[str, ...]
    repository: str
    repository_id: int
    private: bool
    scope: Scope
    installation_id: int
    queued_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    runner_name: str | None = None
    runner_id: int | None = None
    conclusion: str | None = None
    workflow: str | None = None
    branch: str | None = None
    sha: str | None = None
    default_branch: str | None = None
    forked: bool = False
    run: RunFacts | None = None

    @property
    def place(self) -> Place:
        """Where its runner is registered."""
        return Place(self.scope, self.installation_id, self.repository_id if self.scope.repo else 0)


class JobState(StrEnum):
    """How far a job has come at GitHub, as far as we were told."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    # GitHub did not know it twice. That may pass: what is seen again is served again.
    GONE = "gone"

    @property
    def over(self) -> bool:
        """Nothing is to be done for it."""
        return self in {JobState.DONE, JobState.GONE}


class Waited(msgspec.Struct, frozen=True):
    """A span in which a launch was put off: why (a Hold's word), from when until when it was tried again."""

    reason: str
    since: float
    until: float


class Ran(msgspec.Struct, frozen=True):
    """On what a job ran that is over. Times are Unix seconds, `usd_per_hour` is what the machine costs at least.

    `jit_at`: when GitHub had registered its runner; `created_at`: when Modal had made its sandbox; `ended_at`: when
    that had ended, where it was kept after the job, or had died before its end was told.
    """

    runner: str
    started_for: int
    sandbox_id: str | None
    vcpu: float
    memory_mib: int
    gpu: str | None
    region: str | None
    profile: str | None
    usd_per_hour: float
    jit_at: float
    created_at: float | None
    ended_at: float | None = None
    # Since when it was no longer held up by caps and limits, and what had put off its launch before.
    admitted_at: float | None = None
    waited: tuple[Waited, ...] = ()


class JobRecord(msgspec.Struct, frozen=True):
    """A job of ours. Written by the intake alone, but for the end of a sandbox that was kept.

    Times are Unix seconds; `started_at` and `completed_at` are GitHub's.
    `queued_since`: when it last became queued, or was announced anew. What failed before `urged_at` counts for nothing:
    something has changed since. `heard`: digests of the deliveries that announced it, the last few.
    """

    event: JobEvent
    state: JobState
    recorded_at: float
    changed_at: float = 0.0
    runner_name: str | None = None
    conclusion: str | None = None
    queued_since: float = 0.0
    urged_at: float = 0.0
    heard: tuple[str, ...] = ()
    started_at: float | None = None
    completed_at: float | None = None
    ran: Ran | None = None


class Hold(StrEnum):
    """Why a launch is put off. The words are what `status` and the log show."""

    GITHUB_UNREACHABLE = "github-unreachable"
    GITHUB_LIMIT = "github-limit"
    GITHUB_REFUSES = "github-refuses"
    GITHUB_NOT_FOUND = "github-not-found"
    NAME_TAKEN = "name-taken"
    SUPERSEDED = "superseded"
    NOT_RECORDED = "not-recorded"
    MODAL_CAPACITY = "modal-capacity"
    MODAL_REFUSES = "modal-refuses"
    RUNNER_DIED = "runner-died"
    NEVER_ONLINE = "never-online"
    NOT_PICKED_UP = "not-picked-up"
    WAITED_IN_VAIN = "waited-in-vain"


class Claim(msgspec.Struct, frozen=True):
    """The right to make one attempt at a launch: put once under `<job id>-<attempt>`; `owner` is unique.

    While the launch lives it renews its claim. One that came to nothing is overwritten, by the launch or by the sweep
    that found its runner dead, with why and until when (`not_before`).
    `failures` counts the attempts in a row that came to nothing, this one included once it has.
    """

    owner: str
    renewed_at: float
    failures: int = 0
    hold: Hold | None = None
    reason: str | None = None
    not_before: float | None = None
    # Why the attempt before this one came to nothing.
    last_hold: Hold | None = None
    # Of the runners for this job so far: how many were online for their whole deadline and not given it, and what those
    # that came to nothing have cost.
    unused: int = 0
    cost_usd: float = 0.0
    # What has put off the launches before, the last few.
    waited: tuple[Waited, ...] = ()


class Halt(msgspec.Struct, frozen=True):
    """No more runners are started for a job, under its id: GitHub cannot give it to any. `reason` says why.

    `seen` is what the answer hung on when GitHub was last asked, at `looked_at`; a change of it lifts the halt.
    `runner_group` is the one that the runners were in, as in Shape.
    """

    at: float
    reason: str
    runner_group: int | None = None
    seen: str = ""
    looked_at: float = 0.0


class Slot(msgspec.Struct, frozen=True):
    """One unit of a concurrency cap, held by a runner from before its launch to its proven end.

    `owner` is unique to whoever took it, and the same for all that were taken with it.
    """

    owner: str
    runner: str
    taken_at: float


class Gpu(msgspec.Struct, frozen=True):
    """A GPU type by Modal's name, and how many."""

    type: str
    count: int = 1

    def __str__(self) -> str:
        return self.type if self.count == 1 else f"{self.type}:{self.count}"


class Network(msgspec.Struct, frozen=True):
    """Where a sandbox may connect to: anywhere, or the `domains` (TLS on port 443) and `cidrs` that are listed."""

    mode: str = "open"
    domains: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()


class MadeFor(msgspec.Struct, frozen=True):
    """Which jobs may have what a sandbox is given: all globs, without regard to case; None and () are any.

    `branch` is that of the code; `only_branches` and `not_branches` are branches on which the workflow itself runs.
    """

    repositories: tuple[str, ...]
    branch: str | None = None
    workflow: str | None = None
    events: tuple[str, ...] = ()
    only_branches: tuple[str, ...] = ()
    not_branches: tuple[str, ...] = ()


class Shape(msgspec.Struct, frozen=True):
    """A machine, and all that one job's may differ from another's in.

    `cpu` in physical cores (one is 2 vCPU) and `memory_mib`: (requested, limit) each. `volumes`: (path, Modal Volume).
    `profile` stands for its environment variables and secrets, which are nowhere recorded. `made_for` says which jobs
    may have what it is given; None: nothing is given that others may not have. `forks` are globs of the repositories
    (lower case) of which the code of forks may run here. `bare`: what the profile gives is kept back, for it rests on
    nothing. `debug_s`: for so long it is kept after a job that has failed.
    """

    cpu: tuple[float, float]
    memory_mib: tuple[int, int]
    timeout_s: int
    gpu: Gpu | None = None
    region: str | None = None
    image: str = "default"
    network: Network = Network()
    volumes: tuple[tuple[str, str], ...] = ()
    docker: bool = False
    profile: str | None = None
    runner_group: int | None = None
    made_for: MadeFor | None = None
    forks: tuple[str, ...] = ()
    bare: bool = False
    # Modal's Proxy, by name, from whose fixed address it reaches others.
    proxy: str | None = None
    debug_s: int = 0


class RunnerState(StrEnum):
    """How far a runner of ours has come."""

    STARTING = "starting"
    STARTED = "started"
    BUSY = "busy"
    FINISHED = "finished"


class RunnerRecord(msgspec.Struct, frozen=True):
    """A runner, and the job that it was started *for*, which need not be the job it runs.

    Recorded before its sandbox is asked for: a crash in between leaves a trace to follow. `github_id` is known since
    GitHub's answer, `sandbox_id` since Modal's.
    """

    name: str
    started_for: int
    place: Place
    labels: tuple[str, ...]
    shape: Shape
    github_id: int
    started_at: float
    sandbox_id: str | None = None
    # When Modal had made it.
    created_at: float | None = None
    state: RunnerState = RunnerState.STARTING
    runs_job: int | None = None
    slots: tuple[str, ...] = ()
    # The owner of these, where it is known.
    slots_owner: str = ""
    online_since: float | None = None
    # Since when GitHub does not list it, and Modal does not know its sandbox.
    missing_since: float | None = None
    vanished_since: float | None = None
    # When its job was over, and when its sandbox was known to have ended.
    finished_at: float | None = None
    ended_at: float | None = None
    # Someone looks into its sandbox until then, which may outlive its job.
    held_until: float | None = None
    # It is kept until then, for its job has failed and asked for that.
    debug_until: float | None = None
    # Of one that waits for jobs: what it was made by, so that another deployment replaces it.
    release: str = ""
    # As in Ran.
    admitted_at: float | None = None
    waited: tuple[Waited, ...] = ()

    @property
    def idle(self) -> bool:
        """It can still take a job, as far as we were told."""
        return self.state in {RunnerState.STARTING, RunnerState.STARTED}

    def is_kept(self, now: float) -> bool:
        """Its sandbox is not to be ended, though it does nothing: someone looks into it, or may."""
        debug_until = 0.0 if self.debug_until is None else self.debug_until + KEPT_LONGER_S
        return now < max(self.held_until or 0.0, debug_until)


class Witness(StrEnum):
    """What is seen inside a sandbox."""

    IDLE = "idle"
    WORKING = "working"
    GONE = "gone"


class JitConfig(msgspec.Struct, frozen=True):
    """GitHub's answer to a JIT request. The encoded config holds a private key: a secret until the sandbox has it."""

    runner_id: int
    encoded: SecretStr


class SandboxSpec(msgspec.Struct, frozen=True):
    """One sandbox to create, made for a job of `repository` with these `labels`. `name` is the runner's name too.

    `private`: the repository is, by GitHub's own word. `waits_s`: for so long it may wait for a job.
    `known_private`: other repositories of which GitHub has said so, whose jobs it may get.
    """

    name: str
    shape: Shape
    tags: dict[str, str]
    jit_config: SecretStr
    repository: str = ""
    private: bool = False
    labels: tuple[str, ...] = ()
    waits_s: int = 0
    known_private: tuple[str, ...] = ()


# The exit code of a sandbox that Modal does not know: an absence, and no proof of an end.
UNKNOWN_TO_MODAL = -1


class SandboxStatus(msgspec.Struct, frozen=True):
    """A sandbox that has ended (`exit_code` is set) or runs. `output` is the end of what it printed."""

    exit_code: int | None = None
    output: str = ""


class RunnerRelease(msgspec.Struct, frozen=True):
    """A version of actions/runner, and the SHA-256 of its archive for Linux on x64."""

    version: str
    sha256: str | None


class RunnerStatus(msgspec.Struct, frozen=True):
    """What GitHub says of a runner. `busy` may lag by minutes."""

    id: int
    name: str
    status: str = "offline"
    busy: bool = False


def runner_name(job_id: int, attempt: int) -> str:
    """Name the runner of one attempt: unique at GitHub (409) and among Modal's running sandboxes."""
    return f"modal-{job_id}-{attempt}"
