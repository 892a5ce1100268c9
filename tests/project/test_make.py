"""The Makefile: what its targets are, and that a fresh environment is not set up again."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make looks at, with an environment that is newer than all of it."""
    for name in ("Makefile", "pyproject.toml", "requirements/dev.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (time.time() - 100,) * 2)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.packages").touch()
    os.utime(tmp_path / ".venv/.packages", (time.time() - 50,) * 2)
    (tmp_path / ".venv/.complete").touch()
    return tmp_path


def make(directory: Path, *arguments: str) -> str:
    """What make prints."""
    # A make that runs these tests hands its flags down by the environment.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-C", str(directory), "--no-print-directory", *arguments]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout  # noqa: S603


def test_make_alone_lists_the_targets_with_a_line_each() -> None:
    lines = make(ROOT).splitlines()
    targets = {line.split()[1]: line.split()[2:] for line in lines if line.strip().startswith("make ")}

    assert targets.keys() >= {"demo", "test", "check", "bench", "clean"}
    assert all(targets.values())


@pytest.mark.parametrize("target", ["demo", "test"])
def test_a_fresh_environment_is_used_as_it_is(checkout: Path, target: str) -> None:
    plan = make(checkout, "-n", target)

    assert "pip" not in plan
    assert ".venv/bin/" in plan


def test_arguments_are_passed_on(checkout: Path) -> None:
    assert "modal-runner demo --json" in make(checkout, "-n", "demo", "ARGS=--json")


def test_a_missing_environment_is_set_up(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    plan = make(checkout, "-n", "demo")

    assert "-m venv" in plan
    assert "--require-hashes" in plan


def test_an_environment_older_than_its_lock_is_set_up_again(checkout: Path) -> None:
    (checkout / "requirements/dev.txt").touch()
    os.utime(checkout / "requirements/dev.txt", (time.time() + 10,) * 2)

    assert "--require-hashes" in make(checkout, "-n", "test")


def test_every_locked_package_has_a_hash_and_no_index_is_named() -> None:
    lock = (ROOT / "requirements/dev.txt").read_text()
    packages = lock.replace("\\\n", " ").splitlines()

    assert "://" not in lock
    assert [line for line in packages if line.strip() and "--hash=sha256:" not in line] == []
