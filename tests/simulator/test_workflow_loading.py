import pytest

from github_app.simulator.workflow import WorkflowError, load

PATH = ".github/workflows/ci.yml"
STEPS = "    steps: [{run: 'true'}]\n"
JOB = "  a:\n    runs-on: x\n" + STEPS
HEAD = "on: push\njobs:\n"


def test_a_workflow_with_everything_we_know_is_read() -> None:
    workflow = load(
        """\
name: CI
run-name: by ${{ github.actor }}
on:
  push: {branches: [main]}
  workflow_dispatch:
permissions: {contents: read}
concurrency: {group: "${{ github.ref }}", cancel-in-progress: true}
env: {A: 1}
defaults: {run: {shell: bash}}
jobs:
  one:
    name: First
    runs-on: {group: big, labels: [modal]}
    permissions: read-all
    outputs: {v: "${{ steps.s.outputs.v }}"}
    steps:
      - {id: s, name: Say, if: always(), run: 'echo "${{ env.A }}"', shell: bash, working-directory: ., env: {B: b}}
      - {uses: actions/checkout@v4, with: {fetch-depth: 0}, continue-on-error: true, timeout-minutes: 2}
  two:
    needs: [one]
    if: needs.one.result == 'success'
    runs-on: [self-hosted, "${{ matrix.gpu }}"]
    continue-on-error: ${{ matrix.gpu == 'h100' }}
    timeout-minutes: 1.5
    strategy:
      fail-fast: false
      max-parallel: 2
      matrix: {gpu: "${{ fromJSON(needs.one.outputs.v) }}", exclude: [{gpu: t4}]}
    steps: [{run: 'true'}]
""",
        PATH,
    )

    assert (workflow.name, workflow.path, [*workflow.jobs]) == ("CI", PATH, ["one", "two"])
    assert [*workflow.events] == ["push", "workflow_dispatch"]
    assert workflow.jobs["two"].needs == ("one",)


@pytest.mark.parametrize("trigger", ["push", "[push, pull_request]", "{push: null}"])
def test_on_is_a_word_and_not_a_truth_value_in_any_of_its_forms(trigger: str) -> None:
    assert "push" in load(f"on: {trigger}\njobs:\n{JOB}", PATH).events


def test_anchors_may_be_used_as_github_allows_them() -> None:
    text = HEAD + "  a: &a\n    runs-on: x\n" + STEPS + "  b: *a\n"

    assert [*load(text, PATH).jobs] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "empty"),
        ("on: push\njobs: [", 2, "broken YAML"),
        ("just words", 1, "must be a mapping"),
        ("on: push\non: push\n", 2, "twice"),
        ("on: push\n", 1, "no 'jobs'"),
        ("jobs:\n" + JOB, 1, "no 'on'"),
        ("on: push\njobs: {}\n", 2, "no jobs"),
        ("on: 7\njobs:\n" + JOB, 1, "'on' must be"),
        ("on: push\nwhen: now\njobs:\n" + JOB, 2, "unknown key 'when'"),
        ("on: push\nx: !!binary aGk=\njobs:\n" + JOB, 2, "tag"),
        ("on: &a [*a]\njobs:\n" + JOB, 1, "without end"),
        ("on: push\nenv:\n  <<: {A: b}\njobs:\n" + JOB, 3, "merge key"),
        ("on: push\nenv: {A: [b]}\njobs:\n" + JOB, 2, "must hold text"),
        ("on: push\nenv: {A: '${{ needs.x }}'}\njobs:\n" + JOB, 2, "'needs' cannot be used"),
        (HEAD + "  1a:\n    runs-on: x\n" + STEPS, 3, "'1a' is no id"),
        (HEAD + "  a:\n" + STEPS, 3, "no 'runs-on'"),
        (HEAD + "  a:\n    runs-on: x\n", 3, "no 'steps'"),
        (HEAD + "  a:\n    runs-on: []\n" + STEPS, 4, "'runs-on' must be"),
        (HEAD + "  a:\n    runs-on: {pool: x}\n" + STEPS, 4, "unknown key 'pool'"),
        (HEAD + "  a:\n    runs-on: x\n    steps: []\n", 5, "at least one step"),
        (HEAD + "  a:\n    uses: ./x.yml\n", 4, "must name a file of .github/workflows/"),
        (HEAD + "  a:\n    uses: ./.github/workflows/x.yml@v1\n", 4, "without a ref"),
        (HEAD + "  a:\n    uses: ./.github/workflows/x.yml\n    runs-on: x\n", 5, "unknown key 'runs-on'"),
        (HEAD + JOB + "    secrets: inherit\n", 6, "unknown key 'secrets'"),
        (HEAD + JOB + "    if: secrets.T\n", 6, "'secrets' cannot be used"),
        (HEAD + JOB + "    environment: {url: x}\n", 6, "no 'name'"),
        (HEAD + JOB + "    concurrency: {cancel-in-progress: true}\n", 6, "no 'group'"),
        (HEAD + JOB + "    concurrency: {group: a, queue: many}\n", 6, "'queue' must be"),
        (HEAD + JOB + "    permissions: {contents: admin}\n", 6, "read, write or none"),
        (HEAD + JOB + "    if: case(true, 1)\n", 6, "case() does not take 2"),
        ("on: {workflow_dispatch: {inputs: {a: {type: list}}}}\njobs:\n" + JOB, 1, "'type' must be one of"),
        (HEAD + JOB + "    needs: b\n", 3, "needs 'b'"),
        (HEAD + JOB + "    needs: a\n", 3, "in a circle: a -> a"),
        (HEAD + JOB + "    needs: {b: c}\n", 6, "'needs' must be"),
        (HEAD + JOB + "    if: matrix.os\n", 6, "'matrix' cannot be used"),
        (HEAD + JOB + "    if: nope()\n", 6, "no function nope()"),
        (HEAD + JOB + "    name: '${{ 1 + }}'\n", 6, "unexpected '+'"),
        (HEAD + JOB + "    name: '${{ always() }}'\n", 6, "in an 'if' only"),
        (HEAD + JOB + "    timeout-minutes: 0\n", 6, "number above 0"),
        (HEAD + JOB + "    continue-on-error: maybe\n", 6, "true, false or an expression"),
        (HEAD + JOB + "    outputs: {'a b': c}\n", 6, "'a b' is no id"),
        (HEAD + JOB + "    strategy:\n      matrix:\n        a: 1\n", 7, "must be a list"),
        (HEAD + JOB + "    strategy:\n      matrix: {a: '${{ github.x }}', b: 1}\n", 7, "'b' must be a list"),
        (HEAD + JOB + "    strategy: {matrix: {exclude: [1], a: [1]}}\n", 6, "list of mappings"),
        (HEAD + JOB + f"    strategy: {{matrix: {{a: {[*range(257)]}}}}}\n", 6, "257 combinations"),
        (HEAD + "  a:\n    runs-on: x\n    steps:\n    - name: n\n", 6, "either 'run' or 'uses'"),
        (HEAD + "  a:\n    runs-on: x\n    steps:\n    - {run: a, uses: b}\n", 6, "either 'run' or 'uses'"),
        (HEAD + "  a:\n    runs-on: x\n    steps:\n    - {run: a, with: {b: c}}\n", 6, "'with' does not go"),
        (HEAD + "  a:\n    runs-on: x\n    steps:\n    - run: a\n      when: b\n", 7, "unknown key 'when'"),
        (HEAD + "  a:\n    runs-on: x\n    steps:\n    - {id: s, run: a}\n    - {id: s, run: b}\n", 7, "twice"),
        (HEAD + JOB + "    name: ${{ hashFiles('x') }}\n", 6, "hashFiles() may stand in a step only"),
    ],
)
def test_what_we_do_not_know_is_refused_with_file_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(text, PATH)

    assert str(caught.value).startswith(f"{PATH}:{line}: ")
    assert reason in caught.value.reason


def test_all_that_is_wrong_with_a_file_is_told_at_once_in_the_order_of_its_lines() -> None:
    text = "on: push\nwhen: now\njobs:\n" + JOB + "    if: nope()\n  b:\n    runs-on: x\n    steps:\n"
    text += "    - {run: a, with: {b: c}}\n    - {run: a, when: b}\n"
    with pytest.raises(WorkflowError) as caught:
        load(text, "ci.yml")

    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        *("ci.yml:2", "ci.yml:7", "ci.yml:11", "ci.yml:12")
    ]


def test_what_github_would_run_and_this_machine_cannot_is_a_refusal_of_its_job_alone() -> None:
    jobs = load(
        HEAD + JOB + "  far:\n    uses: o/r/.github/workflows/x.yml@v1\n"
        "  db:\n    runs-on: x\n    services: {db: {image: postgres}}\n" + STEPS + ""
        "  box:\n    runs-on: x\n    container: alpine\n" + STEPS,
        "ci.yml",
    ).jobs

    assert jobs["a"].refusals == jobs["a"].docker_refusals == ()
    assert jobs["far"].refusals == (
        "ci.yml:7: o/r/.github/workflows/x.yml@v1 is a workflow of another repository, which is not here",
    )
    assert jobs["db"].docker_refusals == ("ci.yml:10: 'services' needs Docker, which is not here",)
    assert jobs["box"].docker_refusals == ("ci.yml:14: 'container' needs Docker, which is not here",)
    assert jobs["box"].refusals == ()


def test_a_file_of_a_size_that_no_workflow_has_is_refused_for_that_before_it_is_read() -> None:
    with pytest.raises(WorkflowError, match="the file has 2,000,077 characters"):
        load(HEAD + JOB + "    env: {A: " + "x" * 2_000_000 + "}\n", "ci.yml")


@pytest.mark.parametrize(
    ("runs_on", "lines"),
    [
        ("[self-hosted, modal, gpu:h100]", [4]),
        ("{group: default, labels: gpu:h100}", [4]),
        ('[self-hosted, modal, "gpu:h100"]', []),
        ("[self-hosted, modal, 'gpu:h100']", []),
        ("\n      - modal\n      - gpu:h100", []),
        ("gpu:h100", []),
    ],
)
def test_a_colon_without_quotes_between_brackets_is_warned_of_for_github_refuses_it(
    runs_on: str, lines: list[int]
) -> None:
    text = f"on: push\njobs:\n  a:\n    runs-on: {runs_on}\n    steps:\n      - run: 'true'\n"
    warnings = load(text, "ci.yml").warnings

    assert [warning.split()[0] for warning in warnings] == [f"ci.yml:{line}:" for line in lines]
    assert all('write "gpu:h100"' in warning for warning in warnings)
