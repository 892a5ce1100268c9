"""The docs say what the code does."""

import re
from pathlib import Path

import pytest

from github_app.catalog import usd_per_minute
from github_app.cli.main import app
from github_app.model import Shape
from github_app.routing import PLAIN_CPU, PLAIN_MEMORY_MIB
from github_app.tables import labels_table, settings_table

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("page", "table"), [("labels.md", labels_table), ("settings.md", settings_table)])
def test_a_table_is_the_one_that_the_code_makes(page: str, table: object) -> None:
    assert callable(table)
    assert table() in (DOCS / page).read_text(encoding="utf-8")


def test_the_price_of_a_plain_runner_is_right() -> None:
    price = usd_per_minute(Shape(PLAIN_CPU, PLAIN_MEMORY_MIB, 0))

    assert f"${price:.4f} a minute" in (DOCS / "labels.md").read_text(encoding="utf-8").replace("\n", " ")


def test_every_command_that_is_named_exists() -> None:
    named = {
        found
        for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
        for found in re.findall(r"modal-runner ([a-z]+)", page.read_text(encoding="utf-8"))
    }
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}

    assert named <= known | {group.name for group in app.registered_groups}
