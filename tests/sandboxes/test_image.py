"""The runner's image: built by every version of Modal's builder, on both bases, with what workflows lean on."""

import re
from pathlib import Path
from typing import get_args

import modal
import pytest
from modal import _environments
from modal._image import ImageBuilderVersion
from structlog.testing import capture_logs

from github_app.sandboxes import ImageRecipe, ModalSandboxes, runner_image
from github_app.sandboxes.image import BUILDER_VARIABLE, BUILDER_VERSION, PACKAGES, pin_builder
from github_app.simulator.modal import Limits, SimulatedModal
from tests.worlds.modal_workshop import IMAGE, connect

DOCS = Path(__file__).parents[2] / "docs" / "image.md"
# Those that the SDK knows.
VERSIONS = [version for version in get_args(ImageBuilderVersion) if version != "PREVIEW"]


async def _prepare(limits: Limits, recipe: ImageRecipe) -> list[str]:
    """Build the image of a deployment; return which of its images are missing afterwards."""
    # The SDK keeps what it was told of an environment for the whole process, whoever told it.
    _environments.ENVIRONMENT_CACHE.clear()
    async with SimulatedModal(image=IMAGE, limits=limits) as simulated, connect(simulated) as client:
        sandboxes = ModalSandboxes("app", {"default": recipe}, client)
        await sandboxes.prepare()
        return await sandboxes.missing_images()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("base", [None, "ubuntu:22.04", "nvidia/cuda:12.8.0-devel-ubuntu24.04"])
async def test_the_image_builds_by_every_version_of_the_builder(
    monkeypatch: pytest.MonkeyPatch, version: str, base: str | None
) -> None:
    monkeypatch.setenv(BUILDER_VARIABLE, version)

    assert await _prepare(Limits(), runner_image("2.336.0", base=base, apt=["cmake"], pip=["torch"])) == []


async def test_a_build_without_python_fails_by_an_old_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the simulated Modal has to see for the test above to mean anything."""
    monkeypatch.setenv(BUILDER_VARIABLE, "2024.10")
    async with SimulatedModal(image=IMAGE) as simulated, connect(simulated) as client:
        app = await modal.App.lookup.aio("app", create_if_missing=True, client=client)
        with pytest.raises(modal.exception.Error, match="python: not found"):
            await modal.Image.from_registry("ubuntu:24.04").dockerfile_commands("RUN true").build.aio(app)


async def test_the_builders_version_is_pinned_whatever_the_environments_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BUILDER_VARIABLE, raising=False)
    pin_builder()
    only_ours = frozenset({BUILDER_VERSION})

    assert await _prepare(Limits(builder="2024.04", builders=only_ours), runner_image("2.336.0")) == []


async def test_where_modal_refuses_the_pin_its_environments_own_version_builds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BUILDER_VARIABLE, BUILDER_VERSION)
    with capture_logs() as lines:
        missing = await _prepare(Limits(builder="2026.10", builders=frozenset({"2026.10"})), runner_image("2.336.0"))

    assert missing == []
    assert "image_builder_refused" in [line["event"] for line in lines]


async def test_a_version_that_an_administrator_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUILDER_VARIABLE, "2024.10")
    pin_builder()
    with pytest.raises(Exception, match=r"Image builder version '2024\.10' is not available"):
        await _prepare(Limits(builder="2026.10", builders=frozenset({"2026.10"})), runner_image("2.336.0"))


def test_what_changes_every_month_comes_after_everything_else() -> None:
    old, new = runner_image("2.336.0", apt=["cmake"]), runner_image("2.337.0", apt=["cmake"])
    changed = [number for number, (a, b) in enumerate(zip(old.lines, new.lines, strict=True)) if a != b]

    assert old.first == new.first
    assert changed == [len(old.lines) - 2]
    assert old.name != new.name


def test_no_package_has_a_name_of_one_release_alone() -> None:
    assert not {"netcat", "libssl3t64", "libicu74", "docker-buildx-plugin"} & set(PACKAGES)
    assert sorted(PACKAGES) == list(PACKAGES)


def test_the_page_on_the_image_names_what_the_recipe_has() -> None:
    text = DOCS.read_text(encoding="utf-8")
    ours = set(re.findall(r"`apt: ([a-z0-9.+-]+)`", text))

    assert ours <= set(PACKAGES)
    assert {"gnupg", "python-is-python3", "wget", "file", "lsb-release", "pipx", "sqlite3", "docker.io"} <= ours
    assert len(re.findall(r"^\| \d+ \|", text, re.MULTILINE)) >= 40
