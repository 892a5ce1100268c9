"""Workflows that call workflows: what they are given, what they are called, and what comes back."""

import pytest

from github_app.simulator.workflow import Given, JobInstance, Run, library, load

GITHUB = {"event_name": "push", "ref": "refs/heads/main", "event": {}}
STEPS = "steps: [{run: 'true'}]"
CALLEE = ".github/workflows/callee.yml"


def start(jobs: str, secrets: dict[str, str] | None = None, **files: str) -> Run:
    commit = {f".github/workflows/{name}.yml": text.replace("STEPS", STEPS).encode() for name, text in files.items()}
    workflow = load("on: push\njobs:\n" + jobs.replace("STEPS", STEPS), "ci.yml")
    return Run(workflow, GITHUB, Given(secrets=secrets or {}, library=library(workflow, commit)))


def named(instances: list[JobInstance]) -> list[str]:
    return [each.name for each in instances]


CALLED = """
on:
  workflow_call:
    inputs:
      gpu: {type: string, default: t4}
      fast: {type: boolean}
      count: {type: number, default: 2}
    secrets: {TOKEN: {required: true}}
    outputs: {wheel: {value: "${{ jobs.build.outputs.wheel }}-${{ inputs.gpu }}"}}
jobs:
  build: {runs-on: ["modal", "gpu:${{ inputs.gpu }}"], if: "!inputs.fast && inputs.count == 2", STEPS}
  publish: {needs: build, runs-on: modal, STEPS}
"""


def test_a_called_workflow_runs_within_its_caller_and_what_needs_the_call_waits_for_all_of_it() -> None:
    run = start(
        f"""
  plan: {{runs-on: modal, STEPS}}
  call:
    name: Wheels
    needs: plan
    uses: ./{CALLEE}
    with: {{gpu: "${{{{ needs.plan.outputs.gpu }}}}"}}
    secrets: {{token: "${{{{ secrets.PYPI }}}}"}}
  after: {{needs: call, runs-on: "${{{{ needs.call.outputs.wheel }}}}", STEPS}}
""",
        {"PYPI": "hush", "OTHER": "x"},
        callee=CALLED,
    )

    assert named(run.ready()) == ["plan"]
    run.finish("plan", "success", {"gpu": "h100"})
    (build,) = run.ready()
    assert (build.key, build.name, build.labels) == ("call/build", "Wheels / build", ("modal", "gpu:h100"))
    secrets = run.given_to("call/build").secrets
    assert (secrets["TOKEN"], set(secrets)) == ("hush", {"TOKEN", "GITHUB_TOKEN"})

    run.finish("call/build", "success", {"wheel": "w"})
    assert named(run.ready()) == ["Wheels / publish"]
    run.finish("call/publish", "success", {})
    (after,) = run.ready()

    assert after.labels == ("w-h100",)
    run.finish("after", "success", {})
    assert run.conclusion == "success"


def test_calls_are_nested_and_multiplied_and_fail_fast_reaches_into_them() -> None:
    outer = "on: workflow_call\njobs:\n  in: {uses: $/.github/workflows/inner.yml, secrets: inherit}\n"
    inner = "on: workflow_call\njobs:\n  one: {runs-on: x, STEPS}\n  two: {needs: one, runs-on: x, STEPS}\n"
    run = start(
        "  m:\n    strategy: {matrix: {n: [1, 2]}}\n    uses: ./.github/workflows/outer.yml\n    secrets: inherit\n",
        {"S": "s"},
        outer=outer,
        inner=inner,
    )

    assert named(run.ready()) == ["m (1) / in / one", "m (2) / in / one"]
    assert run.given_to("m:1/in/one").secrets["S"] == "s"
    run.finish("m:0/in/one", "failure", {})

    assert [(each.name, each.skipped) for each in run.ready()] == [("m (1) / in / two", True)]
    assert run.to_cancel() == ["m:1/in/one"]
    assert run.to_cancel() == []
    run.finish("m:1/in/one", "cancelled", {})
    assert [(each.name, each.skipped) for each in run.ready()] == [("m (2) / in / two", True)]
    assert run.conclusion == "failure"


def test_a_skipped_call_is_one_skipped_job_and_one_of_skipped_jobs_is_over_at_once() -> None:
    idle = "on: workflow_call\njobs:\n  a: {if: false, runs-on: x, STEPS}\n"
    run = start(
        "  never: {if: false, uses: ./.github/workflows/idle.yml}\n"
        "  idle: {uses: ./.github/workflows/idle.yml}\n"
        "  after: {needs: idle, if: needs.idle.result == 'skipped' && always(), runs-on: x, STEPS}\n",
        idle=idle,
    )

    assert [(each.name, each.skipped) for each in run.ready()] == [
        *(("never", True), ("idle / a", True), ("after", False)),
    ]


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ("uses: ./.github/workflows/none.yml", "none.yml is not in this repository"),
        ("uses: ./.github/workflows/broken.yml", "broken.yml:1: the workflow has no 'jobs'"),
        ("uses: ./.github/workflows/plain.yml", "no `on: workflow_call`"),
        (f"uses: ./{CALLEE}", "requires the secret 'TOKEN'"),
        (f"uses: ./{CALLEE}\n    secrets: {{token: x}}\n    with: {{cpu: 1}}", "has no input 'cpu'"),
        (f"uses: ./{CALLEE}\n    secrets: {{token: x}}\n    with: {{count: many}}", "'count' must be a number"),
        (f"uses: ./{CALLEE}\n    secrets: {{token: x}}\n    with: {{fast: maybe}}", "'fast' must be true or false"),
        (f"uses: ./{CALLEE}\n    secrets: {{token: x, b: y}}", "has no secret 'B'"),
        ("uses: ./.github/workflows/loop.yml", "at most 10 levels deep"),
        ("uses: o/r/.github/workflows/x.yml@v1", "ci.yml:4: o/r/.github/workflows/x.yml@v1 is a workflow of another"),
    ],
)
def test_a_call_that_cannot_be_made_is_refused_with_its_reason(job: str, reason: str) -> None:
    run = start(
        f"  c:\n    {job}\n",
        callee=CALLED,
        broken="on: workflow_call\n",
        plain="on: push\njobs:\n  a: {runs-on: x, STEPS}\n",
        loop="on: workflow_call\njobs:\n  l: {uses: ./.github/workflows/loop.yml}\n",
    )
    (refused,) = run.ready()

    assert refused.refused
    assert reason in str(refused.error)
    assert run.conclusion == "failure"
