"""The docs say what the code does."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer
from modal.cli.entry_point import entrypoint_cli
from typer.testing import CliRunner

from github_app.cli.main import COMMANDS, application
from github_app.model import Shape
from github_app.operations.log_events import EVENTS, written
from github_app.operations.log_events import page as page_of_events
from github_app.operations.tables import domains_table, labels_table, licences_table, settings_table
from github_app.routing.catalog import usd_per_minute
from github_app.routing.machine import PLAIN_CPU, PLAIN_MEMORY_MIB

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("labels.md", labels_table),
        ("settings.md", settings_table),
        ("settings.md", domains_table),
        ("licences.md", licences_table),
    ],
)
def test_a_table_is_the_one_that_the_code_makes(page: str, table: object) -> None:
    assert callable(table)
    assert table() in (DOCS / page).read_text(encoding="utf-8")


def test_each_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`((?:[a-z]+/|test_)[a-z_]+\.py)`", (DOCS / "security.md").read_text(encoding="utf-8")))

    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).exists()] == []


def _named_files(page: str) -> list[str]:
    """What a page has between backticks, and looks like a file or folder of ours."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"`((?:[a-z_]+/)+|(?:[a-z_-]+/)*[a-z_-]+\.(?:py|sh|toml|yml|md))`", text)


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_each_file_on_the_map_is_where_the_map_says(page: str) -> None:
    named = _named_files(page)

    assert len(named) > 20
    # The administrator's file is no file of this repository.
    ours = [name for name in named if name != "modal-runner.toml"]
    places = (ROOT, ROOT / "github_app", ROOT / "github_app" / "operations" / "doctor")
    assert [name for name in ours if not any((place / name).exists() for place in places)] == []


def test_each_room_is_on_the_map() -> None:
    package = ROOT / "github_app"
    rooms = {f"{each.parent.name}/" for each in package.glob("*/__init__.py")}
    modules = {each.name for each in package.glob("*.py") if not each.name.startswith("__")}

    assert sorted((rooms | modules) - set(_named_files("ARCHITECTURE.md"))) == []


def test_each_make_target_in_the_docs_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8"))}

    assert len(named) > 8
    assert named <= targets


def test_the_price_of_a_plain_runner_is_right() -> None:
    price = usd_per_minute(Shape(PLAIN_CPU, PLAIN_MEMORY_MIB, 0))

    assert f"${price:.4f} a minute" in (DOCS / "labels.md").read_text(encoding="utf-8").replace("\n", " ")


def _lines(text: str) -> list[str]:
    """The lines of a page that a shell would run: those of shell blocks, and the steps of workflows."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    steps = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("   #")[0].strip() for block in blocks for line in block.splitlines()]
    return lines + [line.strip().removeprefix("- run: ") for step in steps for line in step.splitlines()]


def _commands(program: str = "modal-runner") -> list[str]:
    """Every command line of ours in the docs: lines of blocks, and what the text has between backticks."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = _lines(text) + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        parts = [part.strip() for line in lines for part in line.split("&&")]
        found += [re.sub(r"^(\w+=\S+ )*(\.\w+/bin/)?", "", part) for part in parts]
    return sorted({each for each in found if each.startswith(f"{program} ")})


def _words(command: str) -> list[str]:
    return [word for word in shlex.split(command.partition(" ;")[0]) if word != "..."][1:]


@pytest.mark.parametrize("command", _commands())
def test_a_command_in_the_docs_is_one_that_there_is_with_its_options(command: str) -> None:
    """It is parsed as it would be, up to where it would begin to run."""
    words = _words(command)
    group = typer.main.get_command(application(None))
    if words[0].startswith("--"):
        return
    context = group.make_context("modal-runner", words[:1], resilient_parsing=True)
    while True:
        name, found, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
        if not hasattr(found, "resolve_command") or not rest:
            break
        group, words = found, rest

    problem = ""
    try:
        found.make_context(name, list(rest), parent=context)
    except Exception as error:  # whichever of typer's
        problem = str(error)

    # An argument that the text leaves out is no mistake of the options.
    assert problem.startswith(("Missing argument", "Missing parameter")) or not problem or not rest


@pytest.mark.parametrize("command", _commands("modal"))
def test_a_command_of_modals_in_the_docs_is_one_that_its_own_command_line_has(command: str) -> None:
    group: click.Command = entrypoint_cli
    words = _words(command)
    context = group.make_context("modal", [], resilient_parsing=True)
    while isinstance(group, click.Group):
        name, found, words = group.resolve_command(context, words)
        assert found is not None
        context = found.make_context(name, list(words), parent=context, resilient_parsing=True)
        options = {option for each in found.params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= options or isinstance(found, click.Group)
        group = found


@pytest.mark.parametrize(
    "command",
    [
        each
        for each in _commands()
        if each.startswith(("modal-runner explain '", "modal-runner config ")) and "--deployed" not in each
    ],
)
def test_a_command_that_needs_no_account_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if command == "modal-runner config":
        return
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(DOCS)
    (tmp_path / "modal-runner.toml").write_text((DOCS / "modal-runner.example.toml").read_text())
    run = CliRunner().invoke(application(None), _words(command), catch_exceptions=False)

    assert run.exit_code in ({0, 1} if "owner/name" in command else {0}), run.output


def test_every_link_between_the_pages_leads_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            file = page if not path else page.parent / path

            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_what_idle_costs_is_reckoned_right() -> None:
    guide = (DOCS / "operating.md").read_text(encoding="utf-8")
    core, gib = (float(each) for each in re.findall(r"\$(0\.0000\d+) a (?:core|GiB)", guide))
    minutes, cores, gibs = (
        float(each.replace(",", ""))
        for each in re.findall(r"([\d,]+) sweeps in 30 days . \(([\d.]+) core-seconds \+ ([\d.]+)", guide)[0]
    )
    once = cores * core + gibs * gib

    assert f"**${minutes * once:.2f} a month**" in guide
    assert f"for ${minutes / 5 * once:.2f}" in guide
    assert f"for ${minutes * 60 * 0.125 * (core + gib):.2f} a month" in guide
    assert f"${minutes * once:.2f} a month" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_every_event_of_the_log_is_on_its_page_and_none_besides() -> None:
    assert set(EVENTS) == set(written())
    # Made by: python -c 'from github_app.operations.log_events import page; print(page(), end="")' > docs/log-events.md
    assert (DOCS / "log-events.md").read_text(encoding="utf-8") == page_of_events()


def test_what_is_listed_of_a_command_is_the_first_sentence_of_its_help() -> None:
    listed = {name: summary for commands in COMMANDS.values() for name, summary in commands.items()}
    group = typer.main.get_group(application(None))
    shown = {name: " ".join((found.help or "").split("\n\n")[0].split()) for name, found in group.commands.items()}

    assert shown == listed


def test_every_command_has_help_with_an_example_and_its_exit_codes() -> None:
    for command in application(None).registered_commands:
        text = (command.callback.__doc__ or "") if command.callback else ""

        assert "Example" in text, command.callback
        assert "modal-runner " in text
