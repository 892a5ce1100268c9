import json
from collections.abc import Mapping
from typing import Any

import pytest

from github_app.simulator.workflow import JobInstance, Run, load
from github_app.simulator.workflow.matrix import MatrixError, combinations

GITHUB = {"event_name": "push", "ref": "refs/heads/main", "event": {"inputs": {"gpu": "t4"}}}
STEPS = "steps: [{run: 'true'}]"


def start(jobs: str) -> Run:
    lines = [line.replace("STEPS", STEPS) for line in jobs.strip("\n").splitlines()]
    return Run(load("on: push\njobs:\n" + "\n".join(lines) + "\n", "ci.yml"), GITHUB)


def keys(instances: list[JobInstance]) -> list[str]:
    return [each.key for each in instances]


def skipped(instances: list[JobInstance]) -> list[str]:
    return [each.key for each in instances if each.skipped]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ({"a": [1, 2], "b": ["x", "y"]}, ["1x", "1y", "2x", "2y"]),
        ({"a": [1, 2], "b": ["x", "y"], "exclude": [{"a": 1, "b": "X"}, {"a": 2}]}, ["1y"]),
        ({"a": [1, 2], "exclude": [{"c": 1}]}, ["1", "2"]),
        ({"a": [{"n": 1}, {"n": 2}], "exclude": [{"a": {"n": 2}}]}, ["{'n': 1}"]),
        ({"include": [{"a": 1}, {"b": 2}]}, ["1", "2"]),
        ({"a": [1, 2], "include": [{"a": 1, "c": "+"}]}, ["1+", "2"]),
        ({"a": [1, 2], "include": [{"c": "+"}, {"c": "-", "a": 2}]}, ["1+", "2-"]),
        ({"a": [1], "include": [{"a": 3}, {"a": 3, "c": 4}]}, ["1", "3", "34"]),
    ],
)
def test_a_matrix_has_the_combinations_that_github_makes(matrix: Mapping[str, Any], expected: list[str]) -> None:
    assert ["".join(map(str, each.values())) for each in combinations(matrix)] == expected


@pytest.mark.parametrize(
    "matrix",
    [[], {}, {"a": []}, {"a": 1}, {"a": [1], "exclude": [{"a": 1}]}, {"include": [1]}, {"a": [0] * 17, "b": [0] * 17}],
)
def test_a_matrix_without_jobs_or_with_too_many_is_refused(matrix: object) -> None:
    with pytest.raises(MatrixError):
        combinations(matrix)


def test_a_job_starts_once_its_needs_have_finished_and_sees_their_outputs() -> None:
    run = start("""
  a: {runs-on: x, STEPS}
  b: {needs: a, if: "needs.a.outputs.go == 'yes'", runs-on: ["${{ needs.a.outputs.l }}", "${{ inputs.gpu }}"], STEPS}
""")

    assert keys(run.ready()) == ["a"]
    assert run.ready() == []

    run.finish("a", "success", {"go": "yes", "l": "modal"})
    (b,) = run.ready()

    assert (b.labels, b.skipped, b.timeout_minutes) == (("modal", "t4"), False, 360)

    run.finish("b", "success", {})

    assert (run.done, run.conclusion) == (True, "success")


@pytest.mark.parametrize(
    ("runs_on", "labels", "group"),
    [
        ("modal", ("modal",), None),
        ("[self-hosted, modal]", ("self-hosted", "modal"), None),
        ('${{ fromJSON(\'["a", "b"]\') }}', ("a", "b"), None),
        ("{group: big, labels: [a]}", ("a",), "big"),
        ("{group: big}", (), "big"),
    ],
)
def test_labels_and_group_are_read_from_every_form_of_runs_on(
    runs_on: str, labels: tuple[str, ...], group: str | None
) -> None:
    (job,) = start(f"  a:\n    runs-on: {runs_on}\n    STEPS").ready()

    assert (job.labels, job.group) == (labels, group)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "a (3.1, ubuntu, true, u, 2)"),
        ("name: Test", "Test (3.1, ubuntu, true, u, 2)"),
        ("name: 'on ${{ matrix.os }}'", "on ubuntu"),
    ],
)
def test_a_matrix_job_is_called_what_github_calls_it(name: str, shown: str) -> None:
    (job,) = start(f"""
  a:
    {name}
    runs-on: x
    strategy: {{matrix: {{v: [3.10], os: [ubuntu], on: [true], o: [{{k: u, z: null, l: [2]}}]}}}}
    STEPS
""").ready()

    assert job.name == shown


def test_a_skipped_need_skips_all_that_follow_even_past_a_job_that_ran() -> None:
    run = start("""
  a: {runs-on: x, if: false, STEPS}
  b: {runs-on: x, needs: a, if: always(), STEPS}
  c: {runs-on: x, needs: b, STEPS}
""")

    assert skipped(run.ready()) == ["a"]
    run.finish("b", "success", {})

    assert skipped(run.ready()) == ["c"]
    assert run.conclusion == "success"


def test_a_failure_is_seen_by_every_later_job_that_asks_for_it() -> None:
    run = start("""
  a: {runs-on: x, STEPS}
  b: {runs-on: x, needs: a, STEPS}
  c: {runs-on: x, needs: b, if: failure(), STEPS}
""")
    run.ready()
    run.finish("a", "failure", {})

    ready = run.ready()

    assert (keys(ready), skipped(ready)) == (["b", "c"], ["b"])

    run.finish("c", "success", {})

    assert run.conclusion == "failure"


def test_a_run_whose_jobs_were_all_skipped_is_skipped() -> None:
    run = start("  a: {runs-on: x, if: false, STEPS}\n  b: {runs-on: x, needs: a, STEPS}")

    assert skipped(run.ready()) == ["a", "b"]
    assert run.conclusion == "skipped"


def test_a_failed_job_that_may_fail_counts_as_a_success() -> None:
    run = start("""
  a: {runs-on: x, continue-on-error: true, strategy: {matrix: {n: [1, 2]}}, STEPS}
  b: {runs-on: x, needs: a, if: needs.a.result == 'success', STEPS}
""")
    run.ready()
    run.finish("a:0", "failure", {})

    assert run.to_cancel() == []

    run.finish("a:1", "success", {})

    assert skipped(run.ready()) == []


def test_an_expression_that_fails_makes_a_failed_job_with_the_reason() -> None:
    run = start("""
  a: {runs-on: x, STEPS}
  b: {runs-on: x, needs: a, strategy: {matrix: "${{ fromJSON(needs.a.outputs.m) }}"}, STEPS}
""")
    run.ready()
    run.finish("a", "success", {"m": "{"})

    (b,) = run.ready()

    assert b.error is not None
    assert "not JSON" in b.error
    assert run.conclusion == "failure"


def test_a_matrix_may_come_from_another_jobs_output_and_its_last_outputs_win() -> None:
    run = start("""
  a: {runs-on: x, STEPS}
  b: {runs-on: x, needs: a, strategy: {matrix: {n: "${{ fromJSON(needs.a.outputs.m) }}"}}, STEPS}
  c: {runs-on: "${{ needs.b.outputs.o }}", needs: b, STEPS}
""")
    run.ready()
    run.finish("a", "success", {"m": '["p", "q"]'})

    assert [each.matrix for each in run.ready()] == [{"n": "p"}, {"n": "q"}]

    run.finish("b:1", "success", {"o": "from-q"})
    run.finish("b:0", "success", {"o": ""})

    assert run.ready()[0].labels == ("from-q",)


def test_fail_fast_cancels_the_other_instances_and_tells_each_once() -> None:
    run = start("  a: {runs-on: x, strategy: {max-parallel: 2, matrix: {n: [1, 2, 3]}}, STEPS}")

    assert keys(run.ready()) == ["a:0", "a:1"]

    run.finish("a:0", "failure", {})
    late = run.ready()

    assert [(each.key, each.skipped, each.cancelled) for each in late] == [("a:2", True, True)]
    assert (run.to_cancel(), run.to_cancel()) == (["a:1"], [])

    run.finish("a:1", "cancelled", {})

    assert run.conclusion == "failure"


def test_without_fail_fast_no_more_than_max_parallel_run_at_once() -> None:
    run = start("  a: {runs-on: x, strategy: {fail-fast: false, max-parallel: 1, matrix: {n: [1, 2]}}, STEPS}")

    assert keys(run.ready()) == ["a:0"]
    run.finish("a:0", "failure", {})

    assert run.to_cancel() == []
    assert keys(run.ready()) == ["a:1"]


def test_cancelling_a_run_leaves_only_the_jobs_whose_if_still_holds() -> None:
    run = start("""
  a: {runs-on: x, STEPS}
  b: {runs-on: x, if: always(), STEPS}
  c: {runs-on: x, needs: a, STEPS}
  d: {runs-on: x, needs: a, if: cancelled(), STEPS}
  e: {runs-on: x, needs: a, if: failure(), STEPS}
""")
    run.ready()
    run.cancel()

    assert run.to_cancel() == ["a"]

    run.finish("a", "cancelled", {})
    ready = run.ready()

    assert (keys(ready), skipped(ready)) == (["c", "d", "e"], ["c", "e"])

    run.finish("b", "success", {})
    run.finish("d", "success", {})

    assert run.conclusion == "cancelled"


def test_cancelling_a_finished_run_changes_nothing() -> None:
    run = start("  a: {runs-on: x, STEPS}")
    run.ready()
    run.finish("a", "success", {})
    run.cancel()

    assert run.conclusion == "success"


def test_an_instance_that_does_not_run_cannot_finish() -> None:
    run = start("  a: {runs-on: x, if: false, STEPS}")
    run.ready()

    with pytest.raises(ValueError, match="a is not running"):
        run.finish("a", "success", {})


def test_a_standalone_file_holds_the_job_its_needs_and_a_last_job_of_another_name() -> None:
    run = start("""
  outcome: {runs-on: x, STEPS}
  b: {runs-on: x, needs: outcome, strategy: {matrix: {n: ["${{ 'a' }}", 2]}}, STEPS}
""")
    run.ready()
    run.finish("outcome", "success", {"o": "${{ github.token }} $(id)"})
    run.ready()

    text = run.standalone("b:0")
    jobs = json.loads(text)["jobs"]

    assert [*jobs] == ["outcome", "b", "outcome_"]
    assert jobs["b"]["strategy"] == {"fail-fast": True, "max-parallel": 2, "matrix": {"include": [{"n": "a"}]}}
    assert "github.token" not in text
    assert "$(id)" not in text
