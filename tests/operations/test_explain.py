"""`modal-runner explain` and `modal-runner config`, as a person or a program uses them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from github_app.cli.main import application
from github_app.errors import ConfigError, InputError
from github_app.operations.explain import explain
from github_app.routing.profiles import Profile
from github_app.routing.rules import Rules
from tests.worlds.records import PERSONAL, event

EXAMPLE = Path(__file__).parents[2] / "docs" / "modal-runner.example.toml"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODAL_RUNNER_CONFIG", raising=False)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(application(None), arguments)


def test_a_job_that_runs_is_explained_to_a_program() -> None:
    done = _run("explain", '["self-hosted", "modal", "gpu:h100:2", "cpu:8"]', "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 0
    assert list(told) == [
        *("decision", "reason", "route", "profile", "sandbox", "price_usd_per_minute"),
        *("price_usd_per_hour", "most_usd", "passes_through", "notes", "github_runner", "github_usd_per_minute"),
        "caps",
    ]
    assert list(told["sandbox"]) == [
        *("gpu", "cpu", "memory_mib", "timeout_s", "region", "image", "network", "volumes", "docker", "runtime"),
        *("cpu_limit", "memory_limit_mib", "disk_gib", "job_timeout_s", "runner_group", "proxy", "docker_limits"),
        "debug_s",
    ]
    assert told["decision"] == "run"
    assert told["sandbox"]["gpu"] == {"type": "H100", "count": 2}
    assert told["sandbox"]["cpu"] == told["sandbox"]["cpu_limit"] == 8
    assert (told["sandbox"]["memory_mib"], told["sandbox"]["memory_limit_mib"]) == (2048, 32768)
    assert told["sandbox"]["network"] == {"mode": "open", "domains": [], "cidrs": []}
    # Two H100 at $0.001097 a second, four cores and two GiB.
    assert told["price_usd_per_minute"] == pytest.approx(
        60 * (2 * 0.001097 + 4 * 0.00003942 + 2 * 0.00000667), abs=1e-6
    )
    # GitHub has none with such a GPU.
    assert told["github_runner"] is told["github_usd_per_minute"] is None
    # Until its time-out it may use 32 GiB.
    assert told["most_usd"] == pytest.approx(
        (6 * 3600 + 900) * (2 * 0.001097 + 4 * 0.00003942 + 32 * 0.00000667), abs=0.01
    )


def test_beside_the_price_stands_that_of_githubs_own_runner() -> None:
    told = json.loads(_run("explain", "[modal, cpu:4, memory:30g]", "--json").stdout)
    shown = _run("explain", "[modal, cpu:4, memory:30g]").stdout

    assert (told["github_runner"], told["github_usd_per_minute"]) == ("8 vCPU, 32g", 0.022)
    assert "github   $0.022 for each minute begun on a runner of its own, 8 vCPU, 32g" in shown
    assert "github   has no runner of its own like this one" in _run("explain", "modal/gpu=h100").stdout


@pytest.mark.parametrize(
    ("runs_on", "decision"),
    [("ubuntu-latest", "ignore"), ('["modal", "gpu:h1000"]', "refuse"), ("modal/disk=1", "refuse")],
)
def test_a_job_that_does_not_run_is_explained_with_the_reason(runs_on: str, decision: str) -> None:
    done = _run("explain", runs_on, "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 1
    assert told["decision"] == decision
    assert told["reason"]
    assert told["sandbox"] is told["price_usd_per_minute"] is None


def test_the_file_of_this_directory_decides(tmp_path: Path) -> None:
    (tmp_path / "modal-runner.toml").write_text(EXAMPLE.read_text())
    done = _run("explain", "modal", "--repo", "octo-org/train-x", "--branch", "main", "--json")
    told = json.loads(done.stdout)

    assert (told["route"], told["profile"]) == ("training", "train")
    assert told["sandbox"]["volumes"] == {"/data": "datasets"}


def test_a_person_reads_words(tmp_path: Path) -> None:
    done = _run("explain", "modal/gpu=t4")

    assert "T4" in done.stdout
    assert "a minute" in done.stdout


@pytest.mark.parametrize(
    "runs_on",
    [
        "modal/gpu=t4",
        '["self-hosted", "modal", "gpu:t4"]',
        '[self-hosted, modal, "gpu:t4"]',
        "[self-hosted, modal, 'gpu:t4']",
        'runs-on:\n  - self-hosted\n  - modal\n  - "gpu:t4"',
        'runs-on: [modal, "gpu:t4"]',
        '{group: gpus, labels: [modal, "gpu:t4"]}',
    ],
)
def test_what_people_have_at_hand_is_taken(runs_on: str) -> None:
    done = _run("explain", runs_on, "--json")

    assert json.loads(done.stdout)["sandbox"]["gpu"] == {"type": "T4", "count": 1}
    assert done.stderr == ""


def test_a_label_that_github_refuses_between_brackets_is_told_with_its_quotes() -> None:
    done = _run("explain", "[self-hosted, modal, gpu:t4]")

    assert done.exit_code == 0
    assert 'write "gpu:t4"' in done.stderr


def test_a_job_of_a_runner_group_that_its_runner_is_not_in_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "{group: gpus, labels: [modal]}"
    done, default = _run("explain", asked, "--json"), _run("explain", "{group: Default, labels: [modal]}")
    told, shown = json.loads(done.stdout), _run("explain", asked).stdout
    monkeypatch.setenv("RUNNER_GROUP_ID", "7")
    perhaps = _run("explain", asked, "--json")

    assert (done.exit_code, told["decision"], default.exit_code) == (1, "wait", 0)
    assert "asks for the runner group 'gpus'" in told["reason"]
    assert "the organisation's default group" in told["reason"]
    assert told["sandbox"]["runner_group"] is None
    assert shown.startswith("wait: the job asks for the runner group 'gpus'")
    # Which name that group has, GitHub knows.
    assert (perhaps.exit_code, json.loads(perhaps.stdout)["decision"]) == (0, "run")
    assert "the group of id 7" in json.loads(perhaps.stdout)["notes"][0]


@pytest.mark.parametrize(("group", "given"), [("gpus", None), (None, 7)])
def test_a_personal_account_has_no_runner_groups(group: str | None, given: int | None) -> None:
    rules = Rules(defaults=Profile(runner_group=given))
    here = explain(event(scope=PERSONAL, repository="octocat/tools"), rules, group=group)
    default = explain(event(scope=PERSONAL, repository="octocat/tools"), Rules(), group="Default")

    assert here.decision == "wait"
    assert "personal account's repositories have only 'Default'" in (here.reason or "")
    assert default.decision == "run"


def test_the_caps_over_which_a_job_waits_are_named_by_their_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modal-runner.toml").write_text("[profiles.train]\ngpu = 't4'\nmax_concurrent = 2\n")
    monkeypatch.setenv("MAX_CONCURRENT_PER_REPO", "5")
    monkeypatch.setenv("MAX_CONCURRENT", "9")
    train, plain = _run("explain", "modal/profile=train", "--json"), _run("explain", "modal")

    assert json.loads(train.stdout)["caps"] == {
        "MAX_CONCURRENT_PER_REPO": 5,
        "[profiles.train] max_concurrent": 2,
        "MAX_CONCURRENT": 9,
    }
    assert "caps     MAX_CONCURRENT_PER_REPO 5, MAX_CONCURRENT 9\n" in plain.stdout


def test_a_time_out_that_is_longer_than_the_sandboxs_is_told(tmp_path: Path) -> None:
    job = "    steps: [{run: 'true'}]\n"
    (tmp_path / "ci.yml").write_text(
        "on: push\njobs:\n"
        f"  long:\n    runs-on: modal\n    timeout-minutes: 600\n{job}"
        f"  odd:\n    runs-on: modal\n    timeout-minutes: 435\n{job}"
        f"  days:\n    runs-on: modal\n    timeout-minutes: 2880\n{job}"
        f"  most:\n    runs-on: [modal, 'timeout:1425m']\n    timeout-minutes: 2880\n{job}"
        f"  same:\n    runs-on: [modal, 'timeout:10h']\n    timeout-minutes: 600\n{job}"
    )
    done = _run("explain", "--workflow", "ci.yml", "--json")
    notes = {job["job"]: job["explanation"]["notes"] for job in json.loads(done.stdout)["jobs"]}
    over = "timeout-minutes: {} is more than the {} that its sandbox has; "

    assert done.exit_code == 0
    assert notes["long"] == [over.format(600, "6h") + "ask for more with the label timeout:10h"]
    assert notes["odd"] == [over.format(435, "6h") + "ask for more with the label timeout:435m"]
    assert notes["days"] == [
        over.format(2880, "6h") + "ask for more with the label timeout:1425m, the most that may be asked for"
    ]
    assert notes["most"] == [over.format(2880, "23h45m") + "no label may ask for more"]
    assert notes["same"] == []


def test_every_job_of_a_file_is_explained_as_far_as_the_file_tells(tmp_path: Path) -> None:
    (tmp_path / "ci.yml").write_text(
        "on: push\njobs:\n"
        "  train:\n    strategy: {matrix: {gpu: ['gpu:t4', h100]}}\n    runs-on: [modal, '${{ matrix.gpu }}']\n"
        "    steps: [{run: 'true'}]\n"
        "  lint:\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n"
        "  late:\n    needs: lint\n    runs-on: ${{ fromJSON(needs.lint.outputs.where) }}\n    steps: [{run: 'true'}]\n"
        "  quoted:\n    runs-on: [modal, gpu:l4]\n    if: false\n    timeout-minutes: 30\n    steps: [{run: 'true'}]\n"
    )
    done = _run("explain", "--workflow", "ci.yml", "--json")
    jobs = {job["job"]: job for job in json.loads(done.stdout)["jobs"]}

    assert done.exit_code == 1
    assert {name: (job["explanation"] or {}).get("decision") for name, job in jobs.items()} == {
        "train (gpu:t4)": "run",
        "train (h100)": "refuse",
        "lint": "ignore",
        "late": None,
        "quoted": "run",
    }
    assert "decided when it runs" in jobs["late"]["why"]
    assert "ci.yml:15: GitHub refuses gpu:l4" in done.stderr
    assert isinstance(_run("explain", "--workflow", "none.yml").exception, InputError)
    assert isinstance(_run("explain").exception, InputError)


@pytest.mark.parametrize(
    "runs_on",
    [
        '["modal"',
        '{"a": 1}',
        "",
        "modal, gpu:h100",
        "${{ matrix.gpu }}",
        "[]",
        "[[modal]]",
        "&a [*a]",
        "{group: [x], labels: modal}",
        "[" * 5000,
    ],
)
def test_what_is_no_list_of_labels_is_told(runs_on: str) -> None:
    assert isinstance(_run("explain", runs_on).exception, InputError)


def test_labels_that_mean_nothing_here_are_named() -> None:
    assert "as they are: team-a, zone:blue" in _run("explain", '["modal", "team-a", "zone:blue", "gpu:t4"]').stdout


def test_config_check_says_ok_and_warns() -> None:
    done = _run("config", "check", str(EXAMPLE))

    assert done.exit_code == 0
    assert done.stdout.endswith("ok\n")


def test_config_check_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[defaults]\nmemory = 'x'\n")
    error = _run("config", "check", "bad.toml").exception

    assert isinstance(error, ConfigError)
    assert "bad.toml:2" in error.problems[0]
    assert isinstance(_run("config", "check", "none.toml").exception, InputError)


def test_config_check_suggests_what_was_meant_and_warns_of_what_is_never_reached(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        "[profils.p]\ngpu = 'h100'\n[profiles.q]\ngpuu = 'h100'\n[limits]\ngpu = ['t4']\n"
    )
    (tmp_path / "never.toml").write_text(
        '[profiles.p]\nenv = {A = "b"}\n[profiles.asked]\ngpu = "t4"\n'
        '[[routes]]\nname = "wide"\nlabels = ["gpu:*"]\nrefuse = "No."\n'
        '[[routes]]\nname = "narrow"\nlabels = ["gpu:*", "team"]\nbranch = "main"\nrefuse = "No."\n'
        '[[routes]]\nname = "other"\nlabels = ["team"]\nrefuse = "No."\n'
    )
    error = _run("config", "check", "bad.toml").exception
    never = _run("config", "check", "never.toml").stdout

    assert isinstance(error, ConfigError)
    told = "\n".join(error.problems)
    assert "bad.toml:1: profils: there is no such key; 'profiles' was meant" in told
    assert "bad.toml:4: profiles.q.gpuu: there is no such key; 'gpu' was meant" in told
    assert "'gpus' was meant" in told
    (tmp_path / "unsound.toml").write_text(
        "[limits]\ncpu = 2\n[profiles.s]\nsecrets = ['x']\n[profile.x]\ngpu = 't4'\n"
    )
    typo = _run("config", "check", "unsound.toml").exception
    (tmp_path / "unsound.toml").write_text("[limits]\ncpu = 2\n[profiles.s]\nsecrets = ['x']\n")
    unsound = _run("config", "check", "unsound.toml").exception
    assert isinstance(typo, ConfigError)
    assert isinstance(unsound, ConfigError)
    assert typo.problems[0] == unsound.problems[0]
    assert typo.problems[1] == "unsound.toml:5: profile: there is no such key; 'profiles' was meant"
    assert unsound.problems[0].startswith("unsound.toml:3: profiles.s: it gives secrets")
    assert "routes.narrow: no job comes to it, for routes.wide before it takes them all" in never
    assert "routes.other" not in never
    assert "profiles.p: no route leads to it" in never
    assert "profiles.asked" not in never


def test_config_check_tells_of_secrets_without_a_boundary_beside_what_else_is_wrong_in_the_order_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_CONCURRENT", "many")
    file = tmp_path / "bad.toml"

    def lines() -> list[str]:
        error = _run("config", "check", "bad.toml").exception
        assert isinstance(error, ConfigError)
        return [problem.split(": ")[0] for problem in error.problems]

    bare, half = "[profiles.s]\nsecrets = ['x']\n", "[profiles.h]\nsecrets = ['x']\nrunner_groop = 7\n"
    file.write_text(f"[[routes]]\nname = 'r'\nprofile = 'none'\n{half}[profiles.a]\nimage = 'none'\n")
    with_environment = lines()
    monkeypatch.delenv("MAX_CONCURRENT")
    # What is not known yet is not held against a profile.
    mistyped = lines()
    file.write_text(f"{bare}[profiles.a]\nimage = 'none'\ncpu = -1\n[profile.b]\n[[routes]]\nlabel = 'x'\n")
    beside = lines()
    file.write_text(f"[profiles.a]\nimage = 'none'\n{bare}")
    last = lines()
    file.write_text(f"{bare}[[route]]\nname = 'r'\nprofile = 's'\nrunner_group = 7\n")
    for_all = lines()

    assert with_environment == ["MAX_CONCURRENT", "bad.toml:3", "bad.toml:6", "bad.toml:8"]
    assert mistyped == with_environment[1:]
    assert beside == ["bad.toml:1", "bad.toml:4", "bad.toml:5", "bad.toml:6", "bad.toml:7", "bad.toml:8"]
    assert last == ["bad.toml:2", "bad.toml:3"]
    assert for_all == ["bad.toml:3"]


def test_config_show_masks_every_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modal-runner.toml").write_text(
        '[defaults.env]\nTOKEN = "ca\\u006eary-in-file"\nP = "1"\n[profiles.p]\ngpu = "h100"\n'
    )
    monkeypatch.setenv("WEBHOOK_SECRET", "canary-webhook")
    monkeypatch.setenv("GITHUB_PRIVATE_KEY", "canary-key")
    monkeypatch.setenv("SANDBOX_EXTRA_ENV", "A=canary-extra")
    monkeypatch.setenv("MAX_CONCURRENT", "7")
    done = _run("config", "show")

    assert done.exit_code == 0
    assert "canary" not in done.stdout
    assert "MAX_CONCURRENT=7" in done.stdout
    assert "SWEEP_INTERVAL_SECONDS=60" in done.stdout
    assert "H100" in done.stdout


def test_a_files_inputs_have_their_defaults_and_its_time_out_bounds_the_cost(tmp_path: Path) -> None:
    (tmp_path / "run.yml").write_text(
        "on: {workflow_dispatch: {inputs: {gpu: {default: t4}, size: {required: true}}}}\njobs:\n"
        "  short:\n    runs-on: [modal, 'gpu:${{ inputs.gpu }}']\n    timeout-minutes: 45\n    steps: [{run: 'true'}]\n"
        "  long:\n    runs-on: [modal, 'gpu:${{ inputs.gpu }}']\n    steps: [{run: 'true'}]\n"
        "  asked:\n    runs-on: [modal, 'cpu:${{ inputs.size }}']\n    steps: [{run: 'true'}]\n"
    )
    done = _run("explain", "--workflow", "run.yml", "--json")
    jobs = {job["job"]: job for job in json.loads(done.stdout)["jobs"]}
    short, long = jobs["short"]["explanation"], jobs["long"]["explanation"]

    assert done.exit_code == 0
    assert short["sandbox"]["gpu"]["type"] == long["sandbox"]["gpu"]["type"] == "T4"
    # An hour, with what is around the job, of six and a quarter.
    assert short["most_usd"] == pytest.approx(long["most_usd"] / 6.25, abs=0.02)
    assert "timeout-minutes: 45" in short["notes"][0]
    assert "by the input 'size'" in jobs["asked"]["why"]
    (tmp_path / "docker.yml").write_text(
        "on: push\njobs:\n  db:\n    runs-on: modal\n    services: {db: {image: x}}\n    steps: [{run: 'true'}]\n"
    )
    noted = json.loads(_run("explain", "--workflow", "docker.yml", "--json").stdout)["jobs"][0]["explanation"]["notes"]
    assert noted == ["it has services: or container:, add the label docker"]
