"""The command line, as a process: what it prints, how it exits, and that nothing is left when it has."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from rich.console import Console

from github_app.cli.main import COMMANDS, main
from github_app.demo.report import JobReport
from github_app.demo.show import showing
from tests.demo.conftest import CommandLine

SLEEPY = """
on: push
jobs:
  sleeps:
    runs-on: [self-hosted, modal]
    steps:
      - run: sleep 100
  waits:
    runs-on: [self-hosted, modal, "gpu:t4"]
    steps:
      - run: sleep 100
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `modal-runner` in this process: exit code, stdout, stderr. An error that it lets through fails the test."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["modal-runner", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def written(folder: Path, text: str, name: str = "fresh.yml") -> str:
    """A workflow file."""
    file = folder / name
    file.write_text(text)
    return str(file)


# The sample


def test_the_sample_runs_and_json_prints_one_object_and_nothing_else(command_line: CommandLine) -> None:
    ran = command_line.run("demo", "--json")
    report = json.loads(ran.stdout)
    jobs = {job["name"]: job for job in report["jobs"]}

    assert ran.returncode == 0
    assert ran.stdout.count("\n") == 1
    assert report.keys() == {
        *("jobs", "ignored", "lost", "leaked_sandboxes", "leaked_runners", "github_calls", "modal_calls"),
        *("failed", "refused", "waiting", "others", "notes"),
    }
    assert all(
        job.keys()
        == {
            *("name", "labels", "conclusion", "runner_name", "sandbox_id", "queued_to_running_ms", "duration_ms"),
            *("workflow", "reason", "log"),
        }
        for job in report["jobs"]
    )
    assert (report["failed"], report["refused"]) == (1, 0)
    assert {name for name, job in jobs.items() if job["log"]} == {"fails, as expected"}
    assert (report["ignored"], report["lost"], report["leaked_sandboxes"], report["leaked_runners"]) == (1, 0, 0, 0)
    assert len(jobs) >= 6
    # Well under a minute: no job waits for the sweep to find it.
    assert all(job["sandbox_id"] and 0 <= job["queued_to_running_ms"] < 30_000 for job in jobs.values())
    assert all(re.fullmatch(r"modal-\d+-\d+", job["runner_name"]) for job in jobs.values())
    assert len({job["sandbox_id"] for job in jobs.values()}) == len(jobs)
    assert [job["conclusion"] for job in jobs.values() if any("gpu:" in label for label in job["labels"])] == [
        "success"
    ]
    assert {name for name, job in jobs.items() if job["conclusion"] != "success"} == {"fails, as expected"}
    assert jobs["fails, as expected"]["conclusion"] == "failure"
    assert report["github_calls"] > len(jobs)
    assert report["modal_calls"] > len(jobs)


# Workflows that we did not write

_FRESH = """
name: Fresh
on: workflow_dispatch
env:
  COLOUR: green
defaults:
  run:
    shell: bash
jobs:
  first:
    runs-on: [self-hosted, modal]
    outputs:
      word: ${{ steps.say.outputs.word }}
    steps:
      - id: say
        run: echo "word=$COLOUR $((40 + 2))" >> "$GITHUB_OUTPUT"
  each:
    name: each ${{ matrix.fruit }} on ${{ matrix.os }}
    needs: first
    strategy:
      matrix:
        fruit: [apple, pear]
        os: [one, two]
        exclude:
          - {fruit: pear, os: two}
        include:
          - {fruit: kiwi, os: three}
    runs-on: [self-hosted, linux, x64, modal]
    steps:
      - name: the word of the first job, and the environment
        env:
          WORD: ${{ needs.first.outputs.word }}
        run: '[ "$WORD" = "green 42" ] && [ "$COLOUR" = green ] && [ -n "${{ matrix.fruit }}" ]'
  skipped:
    needs: first
    if: needs.first.outputs.word == 'red'
    runs-on: [self-hosted, modal]
    steps:
      - run: exit 1
  breaks:
    runs-on: [self-hosted, MODAL]
    steps:
      - run: exit 7
  after:
    needs: [breaks, each]
    runs-on: [self-hosted, modal]
    steps:
      - run: exit 1
  cleanup:
    if: always()
    needs: [breaks]
    runs-on: [self-hosted, modal]
    steps:
      - run: '[ "${{ needs.breaks.result }}" = failure ]'
  hosted:
    needs: first
    runs-on: ubuntu-latest
    steps:
      - run: echo hello
"""


def test_a_workflow_of_ones_own_runs_by_its_needs_outputs_matrix_and_conditions(
    command_line: CommandLine, tmp_path: Path
) -> None:
    ran = command_line.run("demo", "--json", "--workflow", written(tmp_path, _FRESH))
    report = json.loads(ran.stdout)
    conclusions = {job["name"]: job["conclusion"] for job in report["jobs"]}
    skipped = next(job for job in report["jobs"] if job["name"] == "skipped")

    assert conclusions == {
        "first": "success",
        "each apple on one": "success",
        "each apple on two": "success",
        "each pear on one": "success",
        "each kiwi on three": "success",
        "skipped": "skipped",
        "breaks": "failure",
        "after": "skipped",
        "cleanup": "success",
    }
    assert (skipped["runner_name"], skipped["sandbox_id"]) == (None, None)
    assert [job["name"] for job in report["jobs"] if (job["queued_to_running_ms"] or 0) >= 30_000] == []
    assert (ran.returncode, report["ignored"], report["lost"]) == (0, 1, 0)
    assert (report["leaked_sandboxes"], report["leaked_runners"]) == (0, 0)


def test_an_action_that_cannot_be_fetched_fails_its_job_with_a_sentence(
    command_line: CommandLine, tmp_path: Path
) -> None:
    workflow = """
    on: push
    jobs:
      uses:
        runs-on: [self-hosted, modal]
        steps:
          - uses: some/action@v1
      plain:
        runs-on: [self-hosted, modal]
        steps:
          - run: echo fine
    """
    ran = command_line.run("demo", "--workflow", written(tmp_path, workflow))

    assert ran.returncode == 0
    assert re.search(r"^failure +fresh.yml / uses  on modal-", ran.stdout, re.MULTILINE)
    assert re.search(r"^success +fresh.yml / plain  on modal-", ran.stdout, re.MULTILINE)
    [sentence] = [line for line in ran.stdout.splitlines() if "some/action@v1" in line and "fetched" in line]
    assert len(sentence.split()) > 5
    assert "Traceback" not in ran.stdout + ran.stderr


# Mistakes


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("on: push\njobs:\n  a:\n   runs-on: [modal\n    steps: []\n", r"\d+"),
        ("on: push\njobs:\n  a:\n    runs-on: modal\n    step: []\n", "5"),
        ("on: push\njobs:\n  a:\n    runs-on: modal\n    needs: b\n    steps:\n      - run: x\n", "[35]"),
        ("", r"\d+"),
        ("- a\n", "1"),
        ("on: push\njobs: {}\n", r"\d+"),
    ],
    ids=["yaml", "key", "needs", "empty", "list", "no jobs"],
)
def test_a_broken_workflow_is_told_by_file_line_and_reason(
    here: Callable[..., tuple[int, str, str]], tmp_path: Path, text: str, line: str
) -> None:
    file = written(tmp_path, text, "broken.yml")
    code, printed, complained = here("demo", "--json", "--workflow", file)

    assert (code, printed) == (2, "")
    assert re.search(rf"{re.escape(file)}:{line}: \w", complained)


def test_a_label_that_github_would_refuse_is_warned_of_with_file_and_line(
    command_line: CommandLine, tmp_path: Path
) -> None:
    workflow = "on: push\njobs:\n  a:\n    runs-on: [self-hosted, modal, gpu:t4]\n    steps:\n      - run: echo hi\n"
    file = written(tmp_path, workflow)
    ran = command_line.run("demo", "--json", "--workflow", file)

    assert ran.returncode == 0, ran.stderr
    assert f"warning: {file}:4: GitHub refuses gpu:t4 between brackets without quotes" in ran.stderr
    assert 'write "gpu:t4"' in ran.stderr
    assert json.loads(ran.stdout)["jobs"][0]["conclusion"] == "success"


def test_a_broken_workflow_ends_the_process_without_a_traceback(command_line: CommandLine, tmp_path: Path) -> None:
    ran = command_line.run("demo", "--json", "--workflow", written(tmp_path, "on: [push\njobs:\n"))

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workflow", "none.yml"),
        ("--workflow", "."),
        ("--repo", "none"),
        ("--repo", ".", "--workflow", "none.yml"),
        ("--event=tag",),
        ("--secret-file", "none"),
        ("--nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_arguments_of_the_demo_are_told_in_a_sentence(
    here: Callable[..., tuple[int, str, str]], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    there = [str(tmp_path / argument) if not argument.startswith("--") else argument for argument in arguments]
    code, _, complained = here("demo", *there)

    assert code == 2
    assert complained.strip()


def test_serve_without_settings_lists_all_that_are_missing(command_line: CommandLine) -> None:
    ran = command_line.run("serve")

    assert ran.returncode == 2
    assert all(name in ran.stderr for name in ("WEBHOOK_SECRET", "GITHUB_APP_ID", "GITHUB_PRIVATE_KEY"))
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_serve_at_a_port_that_is_taken_says_so(command_line: CommandLine, pem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = {"WEBHOOK_SECRET": "x", "GITHUB_APP_ID": "1", "GITHUB_PRIVATE_KEY": pem}
        ran = command_line.run("serve", "--port", port, **settings)

    assert ran.returncode == 2
    assert port in ran.stderr
    assert "Traceback" not in ran.stderr


def test_serve_that_cannot_reach_modal_ends_with_a_sentence(command_line: CommandLine, pem: str) -> None:
    settings = {"WEBHOOK_SECRET": "x", "GITHUB_APP_ID": "1", "GITHUB_PRIVATE_KEY": pem}
    nowhere = {"MODAL_CONFIG_PATH": str(command_line.scratch / "none")}
    ran = command_line.run("serve", "--port", "0", **settings, **nowhere)

    assert ran.returncode == 1
    assert "oken" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", sorted(name for commands in COMMANDS.values() for name in commands))
def test_the_help_of_each_command_says_what_it_does_and_gives_an_example(
    here: Callable[..., tuple[int, str, str]], command: str
) -> None:
    code, printed, _ = here(command, "--help")

    assert code == 0
    assert "Example" in printed
    assert f"modal-runner {command}" in printed


def test_no_command_at_all_shows_the_commands(here: Callable[..., tuple[int, str, str]]) -> None:
    _, printed, complained = here()

    assert all(command in printed + complained for command in ("demo", "serve"))


# The end


def _read_until(process: "subprocess.Popen[str]", holds: Callable[[str], Any]) -> str:
    """Read what a process prints until it says something."""
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        if holds(printed):
            return printed
    raise AssertionError(f"it ended with {process.wait()}:\n{printed}\n{process.stderr and process.stderr.read()}")


def _end(process: "subprocess.Popen[str]", *signals: signal.Signals) -> tuple[int, str]:
    """Send signals as they come from outside: Ctrl-C goes to the whole group, `kill` to the process."""
    for number in signals:
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        time.sleep(0.1)
    printed, complained = process.communicate(timeout=30)
    return process.returncode, printed + complained


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ((signal.SIGINT,), 130),
        ((signal.SIGTERM,), 143),
        ((signal.SIGINT, signal.SIGINT, signal.SIGINT), 130),
    ],
    ids=["ctrl-c", "kill", "ctrl-c, impatiently"],
)
def test_a_demo_that_is_stopped_while_jobs_run_leaves_nothing(
    command_line: CommandLine, tmp_path: Path, signals: tuple[signal.Signals, ...], code: int
) -> None:
    with command_line.start("demo", "--workflow", written(tmp_path, SLEEPY), PYTHONUNBUFFERED="1") as process:
        _read_until(process, lambda printed: printed.count("running") == 2)
        assert command_line._processes()
        ended, printed = _end(process, *signals)

    assert ended == code
    assert "Traceback" not in printed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "kill"])
def test_a_demo_that_is_stopped_while_it_starts_leaves_nothing(
    command_line: CommandLine, number: signal.Signals, code: int
) -> None:
    with command_line.start("demo") as process:
        deadline = time.monotonic() + 20
        while not list(command_line.scratch.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.005)
        ended, printed = _end(process, number)

    assert ended == code
    assert "Traceback" not in printed


def test_a_demo_that_serves_tells_where_and_stays_until_it_is_stopped(
    command_line: CommandLine, tmp_path: Path
) -> None:
    workflow = written(
        tmp_path,
        "on: push\njobs:\n  a: {name: <b>bold</b>, runs-on: [modal], steps: [{run: \"echo 'hello <i>'\"}]}\n",
    )
    with command_line.start("demo", "--serve", "--workflow", workflow, PYTHONUNBUFFERED="1") as process:
        printed = _read_until(process, lambda printed: "Ctrl-C" in printed)
        first = printed[: printed.index("queued ")]
        ports = [urlsplit(url).port for url in re.findall(r"http://127\.0\.0\.1:\d+", first)]
        given = dict(re.findall(r"^export (\w+)=(.*)$", first, re.MULTILINE))
        assert len(set(ports)) == 3
        assert "BEGIN" not in printed
        assert "BEGIN RSA PRIVATE KEY" in Path(given["GITHUB_PRIVATE_KEY_PATH"]).read_text()
        doctor = command_line.run("doctor", "--json", **given)
        assert process.poll() is None
        assert all(map(_listens, ports))
        app, github = (
            urlsplit(url) for url in re.findall(r"^(?:dashboard|simulated GitHub) +(\S+)", first, re.MULTILINE)
        )
        front = httpx.get(f"http://{app.netloc}/", trust_env=False).text
        runs = httpx.get(f"http://{github.netloc}/", trust_env=False).text
        [job] = re.findall('<a href="(.*?)"', runs)
        log = httpx.get(f"http://{github.netloc}{job}", trust_env=False).text
        ended, said = _end(process, signal.SIGINT)

    assert {check["name"]: check["status"] for check in json.loads(doctor.stdout)["checks"]} == dict.fromkeys(
        [check["name"] for check in json.loads(doctor.stdout)["checks"]], "ok"
    )
    assert json.loads(doctor.stdout)["warnings"] == []
    assert "Modal Runner" in front
    assert "fresh" not in front
    assert "&lt;b&gt;bold&lt;/b&gt;" in runs
    assert "<b>" not in runs + log
    assert "hello &lt;i&gt;" in log
    assert ended == 130
    assert "stopped; nothing left" in said
    assert not any(map(_listens, ports))


def _listens(port: int | None) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port or 0)) == 0


def test_a_job_in_the_one_label_form_is_ours_and_a_refused_one_is_told_at_once(
    command_line: CommandLine, tmp_path: Path
) -> None:
    workflow = written(
        tmp_path,
        "on: push\njobs:\n"
        "  one:\n    runs-on: modal/gpu=t4/run=1\n    steps: [{run: 'true'}]\n"
        "  refused:\n    runs-on: [modal, 'gpu:h1000']\n    steps: [{run: 'true'}]\n",
    )
    began = time.monotonic()
    done = command_line.run("demo", "--workflow", workflow)

    assert "2 jobs of ours, 0 not ours, 0 lost, 0 failed, 1 refused" in done.stdout
    assert "refused    fresh.yml / refused: The label 'gpu:h1000' names no GPU of Modal. Nearest: 'gpu:h100'" in (
        done.stdout
    )
    assert done.returncode == 1
    assert time.monotonic() - began < 60


def test_a_demo_whose_reader_goes_away_ends_quietly(command_line: CommandLine) -> None:
    with command_line.start("demo", PYTHONUNBUFFERED="1") as process:
        assert process.stdout is not None
        assert [process.stdout.readline()[:6] for _ in range(3)] == ["queued"] * 3
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        ended = process.wait(timeout=60)

    assert (ended, said) == (128 + signal.SIGPIPE, "")


def test_a_ctrl_c_while_it_still_loads_shows_no_traceback(command_line: CommandLine, tmp_path: Path) -> None:
    # In the place of a library that is loaded first, one that says so and takes its time.
    loading = tmp_path / "loading"
    (tmp_path / "typer.py").write_text(f"import time\nopen({str(loading)!r}, 'w').close()\ntime.sleep(60)\n")
    with command_line.start("demo", PYTHONPATH=str(tmp_path)) as process:
        deadline = time.monotonic() + 20
        while not loading.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        ended, said = _end(process, signal.SIGINT)

    assert ended in {-signal.SIGINT, 130}
    assert "Traceback" not in said


def test_json_is_printed_when_the_jobs_are_done_though_the_demo_stays(
    command_line: CommandLine, tmp_path: Path
) -> None:
    workflow = written(tmp_path, "on: push\njobs: {a: {runs-on: modal, steps: [{run: 'true'}]}}\n")
    arguments = ("demo", "--json", "--serve", "--workflow", workflow)
    with command_line.start(*arguments, PYTHONUNBUFFERED="1") as process:
        report = json.loads(_read_until(process, lambda printed: printed.endswith("\n")))
        assert process.poll() is None
        ended, said = _end(process, signal.SIGINT)

    assert (ended, report["jobs"][0]["conclusion"]) == (130, "success")
    assert "export GITHUB_APP_ID=" in said


@pytest.mark.parametrize("width", [50, 80])
def test_the_table_fits_a_narrow_terminal_and_breaks_no_id(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None)
    job = JobReport(
        "a job with a name that is long enough to break [red]",
        ("modal",),
        None,
        "modal-1000018-1",
        "sb-1",
        300,
        400,
    )
    with showing(console, wide=False) as show:
        show([("running", job), ("waiting for approval of production", job)])
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()]

    assert max(map(len, lines)) <= width
    assert "0.4 s" in screen.getvalue()
    assert "[red]" in screen.getvalue()
    assert ("modal-1000018-1" in screen.getvalue()) is (width == 80)


def test_without_a_table_the_ids_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    job = JobReport("a" * 60, ("modal",), None, "modal-1000018-1", "sb-IWTGXHJXF6FAWEH9YYZ6VJ6ERN", 300, None, "CI")
    with showing(Console(width=50, force_terminal=True), wide=True) as show:
        show([("running", job)])

    assert capsys.readouterr().out.count("modal-1000018-1 in sb-IWTGXHJXF6FAWEH9YYZ6VJ6ERN\n") == 1
