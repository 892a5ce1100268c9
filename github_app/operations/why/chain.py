"""The chain of one job, link by link, from what is known of it. Pure."""

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from github_app.lifecycle import GATED
from github_app.model import RUNNER_NAME, Action, JobEvent, JobRecord, JobState, RunnerRecord, RunnerState
from github_app.operations.why.facts import AtGitHub, Facts
from github_app.routing.catalog import usd_per_minute
from github_app.routing.route import route
from github_app.routing.rules import Admit, Ignore, Refuse, Rules
from github_app.routing.units import as_span
from github_app.views.waits import APPROVAL

# GitHub hands a job to a runner that waits within a few seconds.
_HANDED_OVER_S = 30.0
# A sandbox of a plain image is online within half a minute; one of a docker job takes up to a minute more.
_ONLINE_S = 60.0
_GROUP = (
    "the job may name another runner group (`runs-on: group:`), wait for its concurrency group, or GitHub holds it back"
)
_CANCEL = "cancel it and run it again"
State = Literal["ok", "waiting", "wrong", "unknown"]


class Link(msgspec.Struct, frozen=True):
    """One link: `ok`, `waiting` for something that comes by itself, `wrong`, or `unknown`; and what there is to say."""

    name: str
    state: State
    told: str


class Answer(msgspec.Struct, frozen=True):
    """The fields are what `modal-runner why --json` prints. `reason` is the first link that is not ok, if any."""

    job: int
    repository: str | None
    state: str
    reason: str | None
    chain: tuple[Link, ...]

    @property
    def wrong(self) -> bool:
        """Something does not come right by itself, or nothing is known."""
        return any(link.state == "wrong" for link in self.chain) or self.state == "unknown"


def answer(facts: Facts, rules: Rules) -> Answer:
    """Go along the chain until something is wrong: what comes after it says nothing."""
    links: list[Link] = []
    for link in _links(facts, rules):
        links.append(link)
        if link.state == "wrong":
            break
    bad = next((link for state in ("wrong", "waiting") for link in links if link.state == state), None)
    return Answer(
        job=facts.job_id,
        repository=_repository(facts),
        state=_state(facts, rules),
        reason=bad.told if bad else None,
        chain=tuple(links),
    )


def _repository(facts: Facts) -> str | None:
    if facts.event is not None:
        return facts.event.repository
    return facts.refusal.repository if facts.refusal else None


def _state(facts: Facts, rules: Rules) -> str:
    if _refused(facts):
        return "refused"
    if facts.record is not None:
        return GATED if facts.record.conclusion == GATED else facts.record.state.value
    if (event := facts.event) is None:
        return "unknown"
    return {Ignore: "not-ours", Refuse: "refused", Admit: "unheard"}[type(route(event, rules))]


def _refused(facts: Facts) -> bool:
    """It was refused, and has not been admitted since: rules may have changed."""
    record, refusal = facts.record, facts.refusal
    return refusal is not None and (record is None or record.changed_at <= refusal.at)


def _links(facts: Facts, rules: Rules) -> Iterator[Link]:
    yield _delivery(facts)
    if facts.refusal is not None and _refused(facts):
        yield Link("admitted", "wrong", f"refused: {facts.refusal.sentence}")
    if facts.record is not None and facts.record.state.over:
        yield _over(facts.record)
        if (runner := facts.runner) is not None and runner.debug_until and runner.ended_at is None:
            left = as_span(runner.debug_until - facts.now)
            yield Link("sandbox", "ok", f"kept for debugging, {left} more: `modal-runner shell {facts.job_id}`")
    elif facts.event is not None:
        yield _admitted(facts.event, rules)
        yield _at_github(facts)
        if facts.record is not None and not _is_done_or_held(facts.github):
            yield from _to_its_runner(facts, facts.record)


def _is_done_or_held(github: AtGitHub | None) -> bool:
    """GitHub says that it is over, or that it waits for an approval."""
    return github is not None and (
        github.gated or (github.event is not None and github.event.action is Action.COMPLETED)
    )


def _over(record: JobRecord) -> Link:
    """What today's rules say, and whether GitHub still knows it, counts for nothing any more."""
    if record.conclusion == GATED:
        return Link("github", "waiting", f"it waits for {APPROVAL}")
    return Link("github", "ok", f"over: {record.conclusion or record.state}")


def _to_its_runner(facts: Facts, record: JobRecord) -> Iterator[Link]:
    if record.state is JobState.QUEUED:
        yield _swept(facts)
    yield _launched(facts)
    if facts.runner is not None:
        yield _sandbox(facts, facts.runner)
        if facts.sandbox is not None:
            yield _online(facts, facts.runner)
            yield _given(facts, facts.runner)


def _delivery(facts: Facts) -> Link:
    if facts.record is not None:
        queued = facts.record.event.queued_at
        late = "" if queued is None else f", {as_span(facts.record.recorded_at - queued)} after GitHub queued it"
        return Link("delivery", "ok", f"arrived {_ago(facts, facts.record.recorded_at)} ago{late}")
    if facts.refusal is not None:
        return Link("delivery", "ok", f"arrived {_ago(facts, facts.refusal.at)} ago")
    if facts.event is not None and facts.event.action is not Action.QUEUED:
        return Link(
            "delivery", "ok", "nothing is recorded of it (any more): jobs are forgotten seven days after their end"
        )
    if facts.event is not None:
        return Link(
            "delivery",
            "waiting",
            "none has arrived; a sweep finds the job within some minutes. If none ever comes: `modal-runner doctor`, "
            "and the App's Recent deliveries at GitHub",
        )
    asked = f" (GitHub was not asked: {facts.github_says})" if facts.github_says else ", and GitHub knows no such job"
    return Link(
        "delivery",
        "wrong" if facts.github_says is None else "unknown",
        f"nothing is recorded of job {facts.job_id}{asked}. Give the address of its page, which names its repository",
    )


def _admitted(event: JobEvent, rules: Rules) -> Link:
    match route(event, rules):
        case Ignore(reason):
            return Link("admitted", "wrong", f"it is not ours: {reason}")
        case Refuse(_, sentence):
            return Link("admitted", "wrong", f"refused: {sentence}")
        case Admit(shape, written, _):
            by = f" by route {written}" if written else ""
            machine = f"{shape.cpu[0] * 2:g} vCPU, {shape.gpu or 'no GPU'}"
            return Link("admitted", "ok", f"{machine}{by}, ${usd_per_minute(shape) * 60:.2f} an hour")


def _at_github(facts: Facts) -> Link:
    record, github = facts.record, facts.github
    if github is None:
        known = f"{record.state} by what was delivered" if record else "not asked"
        return Link("github", "unknown", f"{known} ({facts.github_says})")
    event = github.event
    if event is None:
        if github.gated:
            return Link("github", "waiting", f"it waits for {APPROVAL}")
        return Link("github", "wrong", f"GitHub does not know this job (any more); {_CANCEL}")
    if event.action is Action.COMPLETED:
        return Link("github", "ok", f"over: {event.conclusion}")
    if event.action is Action.IN_PROGRESS:
        return Link("github", "ok", f"runs on {event.runner_name or 'a runner'}")
    return Link("github", "ok", "queued")


def _swept(facts: Facts) -> Link:
    if facts.sweep_late is not None:
        return Link("sweep", "wrong", f"{facts.sweep_late}: `modal-runner doctor`")
    if facts.swept_at is None:
        return Link("sweep", "unknown", "none has come to its end yet")
    return Link("sweep", "ok", f"the last one ended {_ago(facts, facts.swept_at)} ago")


def _launched(facts: Facts) -> Link:
    record, wait = facts.record, facts.wait
    if facts.stopped is not None and record is not None and record.state is JobState.QUEUED:
        return Link("launch", "wrong", facts.stopped)
    if wait is not None and wait.halted:
        return Link("launch", "wrong", wait.reason)
    if wait is not None:
        until = f"; tried again in {as_span(wait.until - facts.now)}" if wait.until else ""
        # A launch that is under way comes to its end by itself; what failed before says what is wrong.
        return Link("launch", "wrong" if wait.until else "waiting", f"{wait.reason}{until}")
    if facts.runner is None:
        return _without_a_runner(facts, record)
    made = "made for it" if facts.runner.started_for == facts.job_id else f"made for job {facts.runner.started_for}"
    again = f"; the one before came to nothing: {facts.failed}" if facts.failed else ""
    return Link("launch", "ok", f"runner {facts.runner.name}, {made} {_ago(facts, facts.runner.started_at)} ago{again}")


def _without_a_runner(facts: Facts, record: JobRecord | None) -> Link:
    """No record of a runner is there that has the job, or is to get it."""
    if record is None or record.state is not JobState.RUNNING:
        return Link("launch", "waiting", facts.waits_for or "its launch comes with the next event or sweep")
    if RUNNER_NAME.fullmatch(record.runner_name or ""):
        said = f"its runner {record.runner_name} is gone, and nobody has told of the job's end"
        return Link("launch", "wrong", f"{said}; if GitHub still shows it as running, {_CANCEL}")
    return Link("launch", "ok", f"runs on {record.runner_name}, which is none of ours")


def _sandbox(facts: Facts, runner: RunnerRecord) -> Link:
    if facts.modal_says is not None:
        return Link("sandbox", "unknown", facts.modal_says)
    if facts.sandbox is None:
        return Link("sandbox", "waiting", "Modal has not answered yet; a GPU may take minutes to be free")
    where = runner.sandbox_id or "a sandbox"
    code = facts.sandbox.exit_code
    if code is None:
        return Link("sandbox", "ok", f"{where} runs{_last_line(facts.printed)}")
    said = f"{where} has ended with {code}{_last_line(facts.printed)}"
    if facts.record is not None and facts.record.state is JobState.RUNNING and facts.github is None:
        return Link("sandbox", "wrong", f"{said}; if GitHub still shows the job as running, {_CANCEL}")
    if facts.github and facts.github.event and facts.github.event.action is Action.IN_PROGRESS:
        return Link("sandbox", "wrong", f"{said}, and GitHub still holds the job for running there: {_CANCEL}")
    return Link("sandbox", "wrong", f"{said}; the next sweep starts another runner")


def _online(facts: Facts, runner: RunnerRecord) -> Link:
    if facts.github is None:
        since = runner.online_since
        told = f"seen online {_ago(facts, since)} ago" if since else "not seen online yet"
        return Link("online", "unknown", f"{told} ({facts.github_says})")
    listed = facts.github.listed
    if listed is not None and (listed.status == "online" or listed.busy):
        return Link("online", "ok", "GitHub lists it as busy" if listed.busy else "GitHub lists it as online")
    if runner.state is RunnerState.BUSY:
        return Link("online", "ok", "it has its job")
    age = facts.now - (runner.created_at or runner.started_at)
    if listed is None and runner.github_id and age > _ONLINE_S:
        return Link(
            "online", "wrong", "GitHub does not list this runner any more; the sweep ends it and starts another"
        )
    state: State = "wrong" if age > _ONLINE_S else "waiting"
    return Link("online", state, f"not yet, {as_span(age)} after its start{_last_line(facts.printed)}")


def _given(facts: Facts, runner: RunnerRecord) -> Link:
    github = facts.github
    if facts.record is not None and facts.record.state is JobState.RUNNING:
        return Link("job", "ok", f"runs on {facts.record.runner_name}")
    if github and github.event and github.event.action is Action.IN_PROGRESS:
        return Link("job", "ok", f"runs on {github.event.runner_name}; its delivery is late")
    if runner.state is RunnerState.BUSY or (github and github.listed and github.listed.busy):
        other = f"job {runner.runs_job}" if runner.runs_job else "another job"
        return Link("job", "waiting", f"its runner has taken {other}, as GitHub may; this one gets another runner")
    if github is None:
        return Link("job", "unknown", f"GitHub has not told that it gave the job to {runner.name}")
    barrier = _barrier(facts, runner, github)
    return Link("job", "wrong" if barrier else "waiting", barrier or "GitHub has yet to give it to the runner")


def _barrier(facts: Facts, runner: RunnerRecord, github: AtGitHub) -> str | None:
    """What keeps GitHub from giving the job to a runner that is online and idle."""
    if github.barriers:
        return "; ".join(github.barriers)
    has = {label.lower() for label in runner.labels}
    if missing := [label for label in (facts.event.labels if facts.event else ()) if label.lower() not in has]:
        return f"its runner has not the labels {', '.join(missing)}"
    idle_for = facts.now - (runner.online_since or runner.started_at)
    if idle_for <= _HANDED_OVER_S or github.listed is None or github.listed.status != "online":
        return None
    idle = f"its runner is online and idle, and GitHub has not given it the job for {as_span(idle_for)}"
    return f"{idle}: {_GROUP}"


def _last_line(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.strip()]
    return f"; it printed last: {re.sub(r'^[0-9-]{10} [0-9:]{8}Z: ', '', lines[-1])[:300]}" if lines else ""


def _ago(facts: Facts, since: float) -> str:
    return as_span(facts.now - since)
