"""A repository of everything that real ones do, in one demo: what runs, what is refused, and what is said of it."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.demo.conftest import CommandLine

_CI = """
name: CI
on:
  push: {branches: [main]}
  workflow_dispatch: {inputs: {size: {default: small}}}
permissions: {contents: read}
env: {TOKEN: "${{ secrets.TOKEN }}", PLACE: "${{ vars.PLACE || 'nowhere' }}"}
jobs:
  plan:
    runs-on: ${{ case(github.event_name == 'push', 'modal', 'ubuntu-latest') }}
    outputs: {sha: "${{ steps.s.outputs.sha }}"}
    steps:
      - uses: actions/checkout@v5
      - id: s
        env: {COMMITS: "${{ join(github.event.commits.*.id, ' ') }}"}
        run: |
          [ "$(git rev-parse HEAD)" = "$GITHUB_SHA" ] && [ "$COMMITS" = "$GITHUB_SHA" ]
          [ -z "$(git status --porcelain)" ] && [ "$(git branch --show-current)" = main ]
          git config user.name x && git config user.email x@y && git commit -q --allow-empty -m more
          [ "$TOKEN" = 'a "b" c' ] && [ "$PLACE" = here ] && [ "${{ inputs.size }}" = small ]
          echo "sha=${{ hashFiles('**/*.yml') }}" >> "$GITHUB_OUTPUT"
          echo "the secret is $TOKEN"
          exit "${{ case(github.ref_name == 'main', 0, 1) }}"
  wheels:
    needs: plan
    strategy: {matrix: {gpu: [t4]}}
    uses: ./.github/workflows/_wheels.yml
    with: {gpu: "${{ matrix.gpu }}", sha: "${{ needs.plan.outputs.sha }}"}
    secrets: {key: "${{ secrets.TOKEN }}"}
  deploy:
    needs: wheels
    runs-on: modal
    environment: {name: production, url: "https://example.com"}
    concurrency: deploy-${{ github.ref }}
    steps:
      - run: '[ "${{ needs.wheels.outputs.wheel }}" = wheel-t4 ]'
  chatty:
    runs-on: modal
    steps:
      - run: |
          i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo line $i; done
          echo the error itself >&2
          exit 3
  box: {runs-on: modal, container: alpine, steps: [{run: 'true'}]}
  far: {uses: o/r/.github/workflows/x.yml@v1}
  after: {needs: box, runs-on: modal, steps: [{run: 'true'}]}
  windows: {runs-on: windows-latest, steps: [{run: 'true'}]}
  group: {runs-on: {group: big}, steps: [{run: 'true'}]}
  ours_of_a_group: {runs-on: {group: big, labels: modal}, steps: [{run: 'true'}]}
"""
_WHEELS = """
on:
  workflow_call:
    inputs: {gpu: {type: string}, sha: {type: string}, fast: {type: boolean, default: true}}
    secrets: {key: {required: true}}
    outputs: {wheel: {value: "${{ jobs.build.outputs.wheel }}"}}
jobs:
  build:
    runs-on: [self-hosted, modal, "gpu:${{ inputs.gpu }}"]
    outputs: {wheel: "wheel-${{ inputs.gpu }}"}
    steps:
      - if: inputs.fast
        env: {KEY: "${{ secrets.key }}"}
        run: '[ "${{ github.workflow }}" = CI ] && [ "${{ github.workflow_ref }}" = "$GITHUB_WORKFLOW_REF" ] &&
          [ -n "$GITHUB_WORKFLOW_REF" ] && [ "$KEY" = ''a "b" c'' ] && [ -n "${{ inputs.sha }}" ] && [ -z "$TOKEN" ]'
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project/.github/workflows"
    folder.mkdir(parents=True)
    texts = {
        "ci.yml": _CI,
        "_wheels.yml": _WHEELS,
        "tags.yml": "on: {push: {tags: ['v*']}}\njobs: {a: {runs-on: modal, steps: [{run: 'true'}]}}\n",
        "broken.yml": "on: push\njobs: [\n",
        **{
            f"line{number}.yml": f"name: line {number}\non: push\nconcurrency: one\n"
            f"jobs: {{line{number}: {{runs-on: modal, steps: [{{run: 'true'}}]}}}}\n"
            for number in (1, 2, 3)
        },
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (tmp_path / "secrets").write_text("# of a test\nTOKEN='a \"b\" c'\n\n")
    (tmp_path / "variables").write_text("place=here\n")
    return tmp_path / "project"


def ran(command_line: CommandLine, repository: Path, *arguments: str, **environment: str) -> tuple[int, Any, str]:
    files = [f"--secret-file={repository.parent / 'secrets'}", f"--var-file={repository.parent / 'variables'}"]
    done = command_line.run("demo", "--json", "--repo", str(repository), *files, *arguments, **environment)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_what_real_repositories_do_runs_and_the_rest_is_refused_job_by_job(
    command_line: CommandLine, repository: Path
) -> None:
    code, report, said = ran(command_line, repository, DOCKER_HOST="unix:///nowhere.sock")
    jobs = {job["name"]: job for job in report["jobs"]}
    others = {job["name"]: job["reason"] for job in report["others"]}
    file = ".github/workflows/ci.yml"

    assert {name: job["conclusion"] for name, job in jobs.items()} == {
        **dict.fromkeys(("plan", "wheels (t4) / build", "deploy", "line1", "line3"), "success"),
        "chatty": "failure",
        "box": "failure",
        "after": "skipped",
        "ours_of_a_group": "cancelled",
    }, jobs
    assert (report["lost"], report["failed"], report["refused"], report["ignored"], code) == (0, 1, 2, 3, 1)
    assert jobs["box"]["reason"].startswith(f"{file}:44: 'container' needs Docker")
    assert jobs["ours_of_a_group"]["reason"] == "there is no runner group 'big' here; there is Default"
    assert jobs["plan"]["workflow"] == "CI"
    log = jobs["chatty"]["log"]
    assert [line for line in log if line.startswith("line")] == [f"line {i}" for i in range(1, 3001)]
    assert log[-3:-1] == ["the error itself", "Error: Process completed with exit code 3."]
    assert others == {
        "far": f"{file}:45: o/r/.github/workflows/x.yml@v1 is a workflow of another repository, which is not here",
        "windows": "no runner here serves the labels windows-latest",
        "group": "there is no runner group 'big' here; there is Default",
    }
    assert any("broken.yml:3: broken YAML" in note or "broken.yml:2: broken YAML" in note for note in report["notes"])
    assert any("tags.yml: not started by a push to main: it is for tags alone" in note for note in report["notes"])
    assert any(note.startswith("line 2: cancelled: Canceling since a higher priority") for note in report["notes"])
    assert len([line for line in said.splitlines() if "run on this machine as" in line]) == 1


def test_an_event_is_chosen_an_environment_held_and_the_folders_policy_honoured_and_said(
    command_line: CommandLine, tmp_path: Path
) -> None:
    workflow = tmp_path / "w.yml"
    workflow.write_text(
        "name: W\non: {push: {tags: ['v*']}}\njobs:\n"
        "  one: {runs-on: hpc, steps: [{run: '[ \"$GITHUB_REF\" = refs/tags/v1.0.0 ]'}]}\n"
        "  held: {runs-on: hpc, environment: prod, steps: [{run: 'true'}]}\n"
        "  dear: {runs-on: [hpc, 'gpu:h100'], steps: [{run: 'true'}]}\n"
    )
    policy = tmp_path / "policy.toml"
    policy.write_text("[limits]\ngpus = []\n")
    settings = {"MODAL_RUNNER_CONFIG": str(policy), "RUNNER_LABEL": "hpc", "MAX_CONCURRENT": "1"}
    not_started = command_line.run("demo", "--workflow", str(workflow), **settings)
    done = command_line.run("demo", "--workflow", str(workflow), "--event", "tag", "--hold-environments", **settings)

    elsewhere = command_line.run("demo", "--workflow", str(workflow), "--branch", "dev")

    assert "not started by a push to dev" in elsewhere.stderr
    assert (not_started.returncode, not_started.stdout) == (2, "")
    assert "it is for tags alone; choose otherwise with --event or --branch" in not_started.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("honoured")] == [
        *(f"honoured: {policy}", "honoured: RUNNER_LABEL=hpc", "honoured: MAX_CONCURRENT=1"),
    ]
    assert "waiting for approval of prod W / held" in done.stdout
    assert re.search(r"^success +W / one ", done.stdout, re.MULTILINE)
    assert re.search(r"^refused +W / dear: ", done.stdout, re.MULTILINE)
    assert "3 jobs of ours, 0 not ours, 0 lost, 0 failed, 1 refused, 1 held" in done.stdout


def test_on_a_terminal_it_asks_before_the_steps_of_a_repository_run(
    command_line: CommandLine, repository: Path
) -> None:
    shown, typed = pty.openpty()
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "github_app", "demo", "--repo", str(repository)],
        env=command_line.environment,
        stdin=typed,
        stdout=typed,
        stderr=typed,
    ) as process:
        os.write(shown, b"n\n")
        os.close(typed)
        printed = b""
        while chunk := _read(shown):
            printed += chunk
    os.close(shown)

    assert b"run on this machine as" in printed
    assert b"Go on? [y/N]" in printed
    assert b"queued" not in printed
    assert process.returncode == 1


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
