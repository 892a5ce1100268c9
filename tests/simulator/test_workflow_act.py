import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from github_app.simulator.workflow import Given, JobOutcome, Run, environment_of, load, run_job

GITHUB: dict[str, Any] = {
    "event_name": "push",
    "repository": "octo/demo",
    "repository_owner": "octo",
    "ref": "refs/heads/main",
    "ref_name": "main",
    "sha": "c0ffee",
    "actor": "mona",
    "run_id": 42,
    "event": {"head_commit": {"message": "hello"}},
}
NASTY = "two\nlines ${{ github.sha }} $(id) `id` '\" \\ ü"


class Stage:
    """A home and a tree to run jobs in, and the log of what ran."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.tree = folder / "tree"
        self.home.mkdir()
        self.tree.mkdir()
        self.log: list[str] = []

    async def run(
        self, run: Run, key: str, github: Mapping[str, Any] = GITHUB, path: str = os.environ["PATH"]
    ) -> JobOutcome:
        return await run_job(
            run.standalone(key),
            job_id=key.partition(":")[0],
            workdir=self.tree,
            event=github["event"],
            env={"PATH": path, "HOME": str(self.home), **environment_of(github)},
            log=self.log.append,
            secrets=run.given_to(key).secrets,
            variables=run.given_to(key).variables,
        )

    async def only(
        self,
        steps: str,
        github: Mapping[str, Any] = GITHUB,
        on: str = "push",
        given: Given | None = None,
        path: str = os.environ["PATH"],
    ) -> JobOutcome:
        run = Run(load(f"on: {on}\njobs:\n  t:\n    runs-on: modal\n    steps:\n{steps}", "ci.yml"), github, given)
        run.ready()
        return await self.run(run, "t", github, path)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def test_a_job_runs_its_steps_and_gives_back_its_outputs(stage: Stage) -> None:
    run = Run(
        load(
            r"""
on: push
env: {TOP: top}
defaults: {run: {shell: sh}}
jobs:
  a:
    runs-on: modal
    outputs: {v: "${{ steps.s.outputs.v }}"}
    steps:
      - name: Speak
        run: echo "$TOP ${{ github.repository }} ${{ github.ref_name }} ${{ github.sha }} ${{ github.run_id }}"
      - run: echo "${{ github.actor }} ${{ github.event.head_commit.message }}"
      - id: s
        run: |
          printf 'v<<E\n%s\nE\n' "$SAID" >> "$GITHUB_OUTPUT"
        env: {SAID: "said ${{ job.status }}"}
""",
            "ci.yml",
        ),
        GITHUB,
    )
    run.ready()

    outcome = await stage.run(run, "a")

    assert outcome == JobOutcome("success", {"v": "said success"})
    assert stage.log[:2] == ["Run Speak", "top octo/demo main c0ffee 42"]
    assert "mona hello" in stage.log


async def test_needs_of_every_result_and_a_matrix_of_every_type_reach_the_job_as_data(stage: Stage) -> None:
    run = Run(
        load(
            """
on: push
jobs:
  good: {runs-on: x, steps: [{run: 'true'}]}
  bad: {runs-on: x, steps: [{run: 'true'}]}
  never: {runs-on: x, if: false, steps: [{run: 'true'}]}
  t:
    needs: [good, bad, never]
    if: always()
    runs-on: x
    strategy: {matrix: "${{ fromJSON(needs.good.outputs.m) }}"}
    outputs: {said: "${{ steps.s.outputs.said }}", m: "${{ toJSON(matrix.o) }}", n: "${{ matrix.n }}"}
    steps:
      - run: echo "${{ needs.good.result }} ${{ needs.bad.result }} ${{ needs.never.result }}"
      - run: echo ${{ needs.bad.outputs.p }}
      - id: s
        env: {SAID: "${{ needs.good.outputs.nasty }}"}
        run: printf 'said<<E\\n%s\\nE\\n' "$SAID" >> "$GITHUB_OUTPUT"
""",
            "ci.yml",
        ),
        GITHUB,
    )
    run.ready()
    matrix = '{"n": [3.10], "o": [{"t": true, "z": null, "x": "${{ github.sha }}"}]}'
    run.finish("good", "success", {"nasty": NASTY, "m": matrix})
    run.finish("bad", "failure", {"p": "partial"})
    run.ready()

    outcome = await stage.run(run, "t:0")

    assert outcome.outputs["said"] == NASTY
    assert outcome.outputs["n"] == "3.1"
    assert '"x": "${{ github.sha }}"' in outcome.outputs["m"]
    assert "success failure skipped" in stage.log
    assert "partial" in stage.log


async def test_a_failing_step_fails_the_job_and_later_steps_run_if_they_ask_to(stage: Stage) -> None:
    outcome = await stage.only(
        """
      - run: exit 3
      - run: echo not reached
      - if: failure()
        run: echo cleaning up
"""
    )

    assert outcome == JobOutcome("failure", {})
    assert stage.log == [
        "Run exit 3",
        "Error: Process completed with exit code 3.",
        "Run echo cleaning up",
        "cleaning up",
    ]


@pytest.mark.parametrize("shell", ["bash", "sh", "python", "perl {0}"])
async def test_the_log_of_a_failing_step_is_complete_to_its_last_line(stage: Stage, shell: str) -> None:
    if "sh" in shell:
        script = 'i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo line $i; done; printf %s "why: $PATH" >&2; exit 3'
    elif shell == "python":
        script = "import os, sys; print(*(f'line {i}' for i in range(1, 3001)), sep='\\n', flush=True); "
        script += "sys.exit('why: ' + os.environ['PATH'])"
    else:
        script = 'print("line $_\\n") for 1..3000; print STDERR "why: $ENV{PATH}"; exit 3'
    outcome = await stage.only(f"""
      - id: s
        shell: {shell}
        run: |
          {script}
""")

    assert outcome.conclusion == "failure"
    assert [line for line in stage.log if line.startswith("line")] == [f"line {i}" for i in range(1, 3001)]
    assert re.fullmatch(rf"why: (?!.*shells).*{re.escape(os.environ['PATH'])}", stage.log[-2])
    assert re.fullmatch(r"Error: Process completed with exit code [13]\.", stage.log[-1])


@pytest.mark.parametrize("git", [True, False])
async def test_checkout_copies_the_tree_and_nothing_is_left_behind(stage: Stage, *, git: bool) -> None:
    (stage.tree / "hello.txt").write_text("hello from the tree")
    (stage.tree / ".gitignore").write_text("hello.txt")
    (stage.tree / ".env").write_text("LEAK=leaked")
    (stage.tree / ".actrc").write_text("--no-such-option")
    if git:
        await (await asyncio.create_subprocess_exec("git", "init", "-q", stage.tree)).wait()
    before = sorted(stage.tree.rglob("*"))

    outcome = await stage.only(
        """
      - run: ls -A
      - uses: actions/checkout@v4
      - run: cat hello.txt; echo " [$LEAK]"; touch made-by-job
"""
    )

    # act gives steps a terminal; on a busy machine an empty line may come out of it at the end.
    written = [line for line in stage.log if line]

    assert outcome.conclusion == "success"
    assert written[-1] == "hello from the tree []"
    assert not [line for line in stage.log if "git" in line]
    assert sorted(stage.tree.rglob("*")) == before
    assert not [path for path in stage.home.rglob("*") if path.is_file()]


async def test_the_inputs_of_a_manual_run_are_known(stage: Stage) -> None:
    github = {**GITHUB, "event_name": "workflow_dispatch", "event": {"inputs": {"gpu": "a100"}}}
    on = "{push: null, workflow_dispatch: {inputs: {gpu: {type: string}}}}"

    await stage.only("      - run: echo ${{ inputs.gpu }} ${{ github.event_name }}\n", github, on)

    assert stage.log[-1] == "a100 workflow_dispatch"


async def test_what_act_does_not_know_reaches_the_steps_as_data(stage: Stage) -> None:
    (stage.tree / "own").mkdir()
    (stage.tree / "own/action.yml").write_text(
        "inputs: {a: {default: b}}\nruns: {using: composite, steps: [{run: 'echo own ${{ inputs.a }}', shell: bash}]}\n"
    )
    secret = "two: lines\n$(id) \\ =: # 'q'"
    outcome = await stage.only(
        """
      - if: case(inputs.flag, false, inputs.count == 3, true, false)
        env: {N: "${{ inputs.text }}", J: "${{ toJSON(inputs) }}", S: "${{ secrets.one }}", M: "${{ secrets.MORE }}"}
        run: |
          echo "${{ case(github.event_name == 'push', 'P', fromJSON('x')) }} ${{ strategy.job-total }} ${{ vars.V }}"
          echo "[${{ secrets.NONE }}] ${{ github.token == secrets.GITHUB_TOKEN && secrets.GITHUB_TOKEN != '' }}"
          [ "$N" = it\\'s ] && [ "$S" = hush ] && printf %s "$J" | grep -q '"flag": false'
          echo "the secret is $S, $(printf %s "$M" | tail -n 1)"
      - uses: $/own
        with: {a: "${{ inputs.count == 3 }}"}
      - uses: actions/checkout@v5
      - run: echo "hash=${{ hashFiles('own/*.yml') }}"
""",
        on="{push: null, workflow_dispatch: {inputs: {flag: {type: boolean}, count: {type: number, default: 3}, "
        'text: {default: "it\'s"}}}}',
        given=Given(secrets={"ONE": "hush", "MORE": secret}, variables={"V": 'v "1"'}),
    )

    assert outcome.conclusion == "success", stage.log
    assert "P 1 v 1" in stage.log
    assert "[] true" in stage.log
    assert {"Run $/own", "own true"} <= set(stage.log)
    assert not [line for line in stage.log if "hush" in line]
    assert any(re.fullmatch(r"hash=[0-9a-f]{64}", line) for line in stage.log)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("uses: no-such-host.invalid/action/x@v1", "no-such-host.invalid/action@v1 could not be fetched"),
        ("uses: docker://alpine:3", "'docker://alpine:3' needs Docker"),
        ("uses: ./missing", "The action ./missing is not there"),
        ("{run: pwd, working-directory: none/here}", "Error: The working directory none/here is not there."),
        ("run: echo ${{ fromJSON('{') }}", "Unable to interpolate"),
    ],
)
async def test_a_step_that_cannot_run_here_fails_the_job_with_a_sentence(
    stage: Stage, step: str, sentence: str
) -> None:
    outcome = await stage.only(f"      - {step}\n")

    assert outcome.conclusion == "failure"
    assert any(sentence in line for line in stage.log)


async def test_a_masked_value_does_not_show_in_the_log(stage: Stage) -> None:
    await stage.only("      - run: echo '::add-mask::hush'; echo \"it is hush\"; echo '::notice::seen'\n")

    assert stage.log[1:] == ["it is ***", "::notice::seen"]


async def test_a_cancelled_job_ends_its_step_and_still_runs_the_steps_that_ask_for_it(stage: Stage) -> None:
    mark = stage.home / "started"
    job = asyncio.create_task(
        stage.only(f"""
      - run: sleep 300 & echo $! > {mark}.tmp; mv {mark}.tmp {mark}; wait
      - if: cancelled()
        run: echo tidied up
""")
    )
    await eventually(mark.exists)

    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert "tidied up" in stage.log
    await eventually(lambda: not Path(f"/proc/{mark.read_text().strip()}").exists())


@pytest.mark.parametrize(
    "patterns",
    ["'**/*.lock'", "'a/**'", "'a/*'", "'a'", "'**/*.lock', '!a/**'", "'[ab]/?.lock', 'c.lock'", "'none'", "'**'"],
)
@pytest.mark.skipif(shutil.which("node") is None, reason="act hashes files with Node.js, which is not here")
async def test_files_are_hashed_without_nodejs_as_act_hashes_them_with_it(stage: Stage, patterns: str) -> None:
    for name in ("a/x.lock", "a/.b/y.lock", "a/z.txt", "b/x.lock", "c.lock", "b.lock"):
        (stage.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (stage.tree / name).write_text(name)
    tools = stage.home / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "sleep", "cat"):
        (tools / name).symlink_to(shutil.which(name) or "")
    steps = f'      - uses: actions/checkout@v5\n      - run: echo "[${{{{ hashFiles({patterns}) }}}}]"\n'

    await stage.only(steps)
    await stage.only(steps, path=str(tools))
    hashes = [line for line in stage.log if re.fullmatch(r"\[[0-9a-f]*\]", line)]

    assert len(hashes) == 2
    assert hashes[0] == hashes[1]
    assert (hashes[0] == "[]") is (patterns == "'none'")


def test_running_a_job_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import github_app.simulator.workflow.act; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603

    assert shown.stdout.strip() == "{'github_app'}"
