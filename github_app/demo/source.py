"""What the demo runs: the sample, one workflow file, or a repository."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from github_app.errors import InputError
from github_app.simulator.workflow import Workflow, WorkflowError, load

_FOLDER = ".github/workflows"


@dataclass(frozen=True)
class Source:
    """A commit: its files, the workflows of it that a push runs, and the jobs' names that are expected to fail.

    `warnings`: what runs here and would not at GitHub, with file and line.
    """

    name: str
    files: Mapping[str, bytes]
    workflows: tuple[str, ...]
    expected_failures: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def sample() -> Source:
    """The workflow that ships with the project."""
    root = Path(str(files("github_app.demo").joinpath("sample")))
    return Source("sample", _read(root, _walk(root)), (f"{_FOLDER}/ci.yml",), frozenset({"fails, as expected"}))


def from_workflow(file: Path) -> Source:
    """One workflow file, whatever event it is for.

    Raises:
        InputError: it cannot be read, or is not a workflow that is known here (file, line, reason).
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"--workflow {file}: {error.strerror}") from None
    workflow = _parse(content, str(file))
    path = f"{_FOLDER}/{file.name}"
    return Source(file.stem, {path: content}, (path,), warnings=workflow.warnings)


def from_repository(root: Path) -> Source:
    """A repository's files as they are on disk, and those of its workflows that a push runs.

    Raises:
        InputError: there is none, or one of them is not known here (file, line, reason).
    """
    folder = root / _FOLDER
    found = sorted(path for path in folder.glob("*") if path.suffix in {".yml", ".yaml"})
    pushed: list[str] = []
    warnings: list[str] = []
    for path in found:
        content = path.read_bytes()
        workflow = _parse(content, str(path))
        warnings += workflow.warnings
        if "push" in workflow.events:
            pushed.append(str(path.relative_to(root)))
    if not pushed:
        raise InputError(f"--repo {root}: no workflow in {folder} runs on push")
    return Source(
        root.resolve().name, _read(root, _tracked(root) or _walk(root)), tuple(pushed), warnings=tuple(warnings)
    )


def _parse(content: bytes, shown_path: str) -> Workflow:
    try:
        return load(content.decode("utf-8", "replace"), shown_path)
    except WorkflowError as error:
        raise InputError(str(error)) from None


def _tracked(root: Path) -> list[Path]:
    """The files that git would commit; none when this is no git repository."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root / name for name in listed.decode().split("\0") if name]


def _walk(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if ".git" not in path.relative_to(root).parts)


def _read(root: Path, paths: Iterable[Path]) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}
