"""What the log can say: each event once, in a sentence, and the page docs/log-events.md that is made from the code."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import github_app

# In the order in which they come in the life of a job; then of the sweep, of what was asked, and of the process.
EVENTS: dict[str, str] = {
    "delivery_answered": "A delivery of GitHub's was answered; `status` says with what.",
    "deliveries_ignored": "Deliveries were nothing to act on, `count` since the line before; the rest is of the last.",
    "delivery_rejected": "A request was refused before it was read as a delivery: its signature, its size, its form.",
    "delivery_left_to_sweep": "A delivery says nothing that can be acted on now; the sweep reads its job.",
    "delivery_failed": "A delivery could not be handled, and was answered 5xx: GitHub or the sweep brings it again.",
    "delivery_aborted": "GitHub hung up before it had its answer.",
    "delivery_not_parked": "A delivery that makes no sense could not be kept for a person to look at.",
    "installation_unknown": "A delivery names an installation that is none of the App's.",
    "labels_look_wrong": "A job is not ours, and looks as if it was meant to be.",
    "job_queued": "A job of ours is queued, and recorded.",
    "job_in_progress": "A job of ours runs.",
    "job_completed": "A job of ours is over.",
    "job_gated": "GitHub holds a job for an approval: a runner of its is taken back, until it is queued again.",
    "gate_unknown": "GitHub did not tell whether a job waits for an approval; its runner waits with it.",
    "job_refused": "A job asks for us and is not served; `reason` is what its author is told.",
    "job_not_vouched_for": "GitHub does not confirm a job whose machine is dear: nothing is started for it.",
    "foreign_job_took_runner": "A job that is none of ours runs on a runner of ours.",
    "launch_waits": "A launch waits for its turn, for GitHub or for a slot.",
    "launch_failed": "A launch came to nothing in a way that was not foreseen, or could not be recorded.",
    "launch_not_withdrawn": "A launch that was taken back left its claim or its slots, which the sweep finds.",
    "launches_stopped": "No runner is started at all; `reason` says what to do.",
    "claim_not_renewed": "A launch could not renew its claim, and may be taken for crashed.",
    "runner_started": "A runner's sandbox was created.",
    "sandbox_not_recorded": "A new sandbox could not be recorded; the sweep finds it by its name.",
    "secrets_kept_back": "A profile's secrets are not given, for they rest on nothing.",
    "runner_taken": "A runner is busy with a job that nobody told of.",
    "runner_runs_another_job": "The end of one job was told of a runner that runs another: the sweep asks GitHub.",
    "runner_left_alone": "A runner was not ended, for it works.",
    "runner_ended_by_hand": "An owner has asked on the dashboard that an idle runner be ended.",
    "launching_stopped": "Somebody has stopped launching; what is queued waits.",
    "launching_goes_on": "Somebody lets launching go on.",
    "signed_in": "Somebody has signed in to the dashboard.",
    "signed_out": "Somebody has signed out of the dashboard.",
    "sign_in_failed": "GitHub did not tell who wants to sign in.",
    "token_not_revoked": "GitHub was not told to forget the token of somebody who signed out; it ends by itself.",
    "runner_ended": "A runner was ended that did nothing.",
    "runner_gives_way": "A runner that waits for jobs goes, so that a job gets its slot.",
    "runner_not_ended": "A runner could not be ended; the next sweep tries again.",
    "runner_not_removed": "GitHub did not remove a runner that came to nothing; the sweep does.",
    "leftover_not_removed": "A runner of the same name from an earlier attempt could not be removed.",
    "runner_state_kept": "Two events crossed, and the later state stays.",
    "runner_died_during_job": "A runner's sandbox ended while its job ran.",
    "runner_version_refused": "GitHub refuses the version of actions/runner: nothing is started until it is changed.",
    "job_timed_out": "A job on a runner that had waited for jobs has had its time, and is ended.",
    "sandbox_kept": "A job has failed that asked for it by a label: its sandbox is kept so long for a look.",
    "sandbox_outlived_its_job": "A sandbox went on after GitHub had ended its job, and was terminated.",
    "slot_taken_again": "A slot was found free while its runner lives, and was taken again.",
    "slots_not_given_back": "Slots could not be given back; the sweep does.",
    "job_halted": "No more runners are started for a job; `reason` says why, and what brings it back.",
    "job_halt_lifted": "What kept a job from its runners has changed: it is tried again.",
    "job_not_found": "GitHub did not know a job, once; it is asked again.",
    "job_gone": "GitHub did not know a job, twice: it is waited for no longer.",
    "too_many_starts": "More launches are wanted than start in one round; the rest comes with the next.",
    "balance_unknown": "Whose runner was taken by whom could not be read; everything is balanced instead.",
    "reconcile_failed": "A round of balance could not be made; the sweep makes the next.",
    "swept": "A sweep has come to its end; its fields are what it found and did.",
    "runner_version_age_unknown": "GitHub did not say until when it takes the version of actions/runner; asked again.",
    "traces_not_sent": "OTEL_EXPORTER_OTLP_ENDPOINT did not take the traces of some jobs, which are lost.",
    "counts_not_written": "What was counted for /metrics could not be written; the next time all of it is.",
    "sweep_part_failed": "A part of a sweep failed; the other parts were done.",
    "demand_unreadable": "GitHub did not tell a repository's runs or jobs.",
    "read_budget_spent": "The sweep has read what it may of an installation; it goes on from there the next time.",
    "run_unreadable": "GitHub did not tell a run.",
    "runner_group_unreadable": "GitHub did not tell what keeps a runner group from a job.",
    "runner_groups_unreadable": "GitHub did not tell an organisation's groups: the first is taken for the default.",
    "installations_unreadable": "GitHub did not tell the App's installations: what is signed is believed.",
    "installations_of_others": "The App is installed on accounts that may not use it, and are not served.",
    "app_unreadable": "GitHub does not tell the App's own record, which names its owner.",
    "check_run_not_written": "The check run that tells a job's author could not be written.",
    "notice_not_written": "A job's author could not be told.",
    "record_unreadable": "A record in the store is not what this version reads; it is left as it is.",
    "image_build_started": "An image is built, which takes minutes.",
    "image_built": "An image is there.",
    "image_builder_refused": "Modal refuses the pinned version of its image builder; its environment's builds.",
    "configuration": "A setting is allowed, and may not be meant.",
    "serving": "`modal-runner serve` listens.",
    "few_descriptors": "The process may open few files, so that few connections are taken at once.",
    "too_many_connections": "Connections are refused, for too many are open; told once a minute.",
    "request_too_slow": "Whoever connected did not send or read in time, and was cut off; told once a minute.",
    "accept_failed": "A connection could not be accepted, as for want of descriptors; told once a minute.",
}
_NOT_THE_APPS = {"simulator", "demo", "simulate", "soak"}
# Made of parts in the code: the event of GitHub's, or what is told seldom.
_MADE = {
    "'job_' + event.action.value": ("job_in_progress", "job_completed"),
    "'job_' + record.event.action.value": ("job_queued",),
}
_EXAMPLES: dict[str, object] = {
    "job": 41230001,
    "repo": "octo-org/train",
    "runner": "modal-41230001-1",
    "sandbox": "sb-Q91TNVtou1ci4UBx1pc6kh",
    "installation": 5501,
    "duration_ms": 48.2,
    "duration_s": 1.3,
    "count": 3,
    "cost_usd": 1.2,
    "port": 8000,
    "http_status": 401,
    "labels": ["self-hosted", "modal"],
    "accounts": ["mallory"],
    "timeout_s": 22500,
    "limit": 256,
    "most": 200,
    "wanted": 240,
    "group": 7,
    "runs": 41230002,
}


@dataclass
class Event:
    """One event as the code writes it: its levels and its fields."""

    levels: set[str]
    fields: set[str]


def written() -> dict[str, Event]:
    """Every event that the app's own code writes."""
    found: dict[str, Event] = {}
    for name, level, fields in _calls():
        for each in _MADE.get(name, (name,)):
            event = found.setdefault(each, Event(set(), set()))
            event.levels.add("error" if level == "exception" else level)
            event.fields |= fields
    return found


def page() -> str:
    """docs/log-events.md, in Markdown."""
    found = written()
    lines = [
        "# What the log says",
        "",
        "This page lists every event of the app's own log, each with an example line. It is made from the code.",
        "",
        "The log goes to stderr: one JSON object a line, or coloured words where that is a terminal. `event` names the",
        "fact and stays; other keys may be added. Beside an event's own fields a line has `level`, `logger` and",
        "`timestamp`, and what is written for a delivery has its `delivery`, `job`, `repo` and `action`. No line holds",
        "a secret.",
        "",
    ]
    for name, sentence in EVENTS.items():
        fields = sorted(found[name].fields) if name in found else []
        example = {"event": name, **{field: _EXAMPLES.get(field, "...") for field in fields}}
        example["level"] = min(found[name].levels) if name in found else "info"
        lines += [f"**`{name}`**: {sentence}", "", "```json", json.dumps(example), "```", ""]
    return "\n".join(lines)


def _calls() -> Iterator[tuple[str, str, set[str]]]:
    root = Path(github_app.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if _NOT_THE_APPS.isdisjoint(path.relative_to(root).parts):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "_log"
                ):
                    first = node.args[0]
                    name = str(first.value) if isinstance(first, ast.Constant) else ast.unparse(first)
                    yield name, node.func.attr, {each.arg for each in node.keywords if each.arg}
