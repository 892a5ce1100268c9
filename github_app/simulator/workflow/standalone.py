"""One job of a workflow as a workflow file of its own, for act to run.

The jobs that it needs become stubs with the same result and outputs; a last job reports what came of it.
Everything is carried as data: no value of one job is ever pasted into the script of another.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from github_app.simulator.workflow.act import LABEL, OUTCOME_VARIABLE
from github_app.simulator.workflow.joblog import SAME_COMMIT
from github_app.simulator.workflow.model import Job, Workflow
from github_app.simulator.workflow.rewriting import Known, rewritten

# Overrides a file's own `defaults.run`, which is meant for its steps and not for ours.
_PLAIN_STEP = {"shell": "bash --noprofile --norc -e {0}", "working-directory": "."}
_DELIMITER = "modal-runner-output-end"


def standalone(
    workflow: Workflow,
    job: Job,
    *,
    combination: Mapping[str, Any],
    needs: Mapping[str, Mapping[str, Any]],
    known: Known,
    event_name: str,
) -> str:
    """The file's text; `known` holds what act cannot know, which is written into the expressions.

    It is JSON, which every YAML reader takes for the same values, whatever they hold.
    """
    jobs = {need: _stub(need_result["result"], need_result["outputs"]) for need, need_result in needs.items()}
    jobs[job.id] = _job(job, combination, known)
    jobs[_unused("outcome", jobs)] = _report(job.id)
    document = {
        "name": workflow.name,
        # act runs the file whatever the filters of its events say.
        "on": [event_name],
        "env": rewritten(workflow.env, known),
        "defaults": workflow.defaults,
        "jobs": jobs,
    }
    return json.dumps({key: value for key, value in document.items() if value}, indent=2, ensure_ascii=False)


def after_failure(text: str, job_id: str) -> str:
    """The same file with a first step that fails: what comes after a failed hook, which is but a job's first step.

    Later steps are still evaluated: those with `if: always()` or `failure()` run (actions/runner, JobExtension.cs).
    """
    document = json.loads(text)
    failed = {"name": "Set up runner", "run": "exit 1", **_PLAIN_STEP}
    document["jobs"][job_id]["steps"].insert(0, failed)
    return json.dumps(document, indent=2, ensure_ascii=False)


def _job(job: Job, combination: Mapping[str, Any], known: Known) -> dict[str, Any]:
    own = {
        "env": job.env,
        "defaults": job.defaults,
        "outputs": job.outputs,
        "container": job.container,
        "services": job.services,
        "steps": [_of_this_commit(step) for step in job.steps],
    }
    made: dict[str, Any] = {
        "name": job.id,
        "needs": list(job.needs),
        # The run has decided already that the job runs.
        "if": "always()",
        "runs-on": LABEL,
        **{key: rewritten(value, known) for key, value in own.items()},
    }
    if combination:
        strategy = {key: known.strategy[key] for key in ("fail-fast", "max-parallel")}
        made["strategy"] = {**strategy, "matrix": {"include": [_literal(combination)]}}
    return {key: value for key, value in made.items() if value}


def _of_this_commit(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """`$/path` is an action of this commit, whether or not it is checked out: for act, of a repository that it has."""
    uses = str(step.get("uses", ""))
    if not uses.startswith("$/"):
        return step
    return {**step, "uses": f"{SAME_COMMIT[0]}/{uses.removeprefix('$/')}@{SAME_COMMIT[1]}"}


def _literal(value: object) -> object:
    """The value, safe from a second evaluation: act evaluates the strings of a matrix."""
    match value:
        case str() if "${{" in value:
            return "${{ '" + value.replace("'", "''") + "' }}"
        case Mapping():
            return {key: _literal(item) for key, item in value.items()}
        case list():
            return [_literal(item) for item in value]
    return value


def _stub(result: str, outputs: Mapping[str, str]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"id": "stub", "run": _write_outputs(outputs), **_PLAIN_STEP}]
    if result in ("failure", "cancelled"):
        # act has no way to end one job as cancelled, so a cancelled need shows as a failed one.
        steps.append({"run": "exit 1", **_PLAIN_STEP})
    stub: dict[str, Any] = {"runs-on": LABEL, "steps": steps}
    if outputs:
        stub["outputs"] = {name: f"${{{{ steps.stub.outputs.{name} }}}}" for name in outputs}
    if result == "skipped":
        stub["if"] = "false"
    return stub


def _write_outputs(outputs: Mapping[str, str]) -> str:
    lines = [f"{name}<<{_delimiter(value)}\n{value}\n{_delimiter(value)}\n" for name, value in outputs.items()]
    encoded = base64.b64encode("".join(lines).encode()).decode()
    return f"printf %s '{encoded}' | base64 -d >> \"$GITHUB_OUTPUT\""


def _delimiter(value: str) -> str:
    delimiter = _DELIMITER
    while delimiter in value:
        delimiter += "-"
    return delimiter


def _report(job_id: str) -> dict[str, Any]:
    # The "script" is the outcome itself; its "shell" only copies the file. So nothing in it is run, and its size is
    # not bound by what one environment variable may hold (128 KiB on Linux).
    copy = f'sh -c \'cat "$0" > "${OUTCOME_VARIABLE}"\' {{0}}'
    step = {"run": f"${{{{ toJSON(needs.{job_id}) }}}}", "shell": copy, "working-directory": "."}
    return {"needs": [job_id], "if": "always()", "runs-on": LABEL, "steps": [step]}


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name
