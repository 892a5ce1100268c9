"""What the demo runs: the sample, one workflow file, or a repository."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path

from github_app.errors import InputError
from github_app.simulator.github.events import EVENTS, MAIN, Event, on_branch
from github_app.simulator.workflow import Workflow, WorkflowError, load
from github_app.simulator.workflow.triggers import not_started

_FOLDER = ".github/workflows"
# GitHub reads these endings, and no folder below.
_ENDINGS = {".yml", ".yaml"}


@dataclass(frozen=True)
class Start:
    """A workflow file of the commit, and the event that starts it."""

    path: str
    event: Event


@dataclass(frozen=True)
class Source:
    """A commit: its files, what of it is started, and the jobs' names that are expected to fail.

    `warnings`: what runs here and would not at GitHub, with file and line. `notes`: what of it is not run, and why.
    `once` is started once, and `again` again and again, while a demo stays up.
    """

    name: str
    files: Mapping[str, bytes]
    starts: tuple[Start, ...]
    expected_failures: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    once: Start | None = None
    again: Start | None = None


@dataclass
class _Found:
    """The workflow files that were looked at."""

    starts: list[Start] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def sample() -> Source:
    """The workflow that ships with the project."""
    root = Path(str(files("github_app.demo").joinpath("sample")))
    start = Start(f"{_FOLDER}/ci.yml", EVENTS["push"])
    once = Start(f"{_FOLDER}/refused.yml", EVENTS["workflow_dispatch"])
    again = Start(f"{_FOLDER}/live.yml", EVENTS["workflow_dispatch"])
    return Source(
        "sample", _read(root, _walk(root)), (start,), frozenset({"fails, as expected"}), once=once, again=again
    )


def from_workflow(file: Path, event: str | None = None, branch: str = MAIN) -> Source:
    """One workflow file, and those beside it that it may call.

    Without `event` a push starts it; where it is not for pushes, the first event of it that is known here.

    Raises:
        InputError: it cannot be read, is not a workflow (file, line, reason), or the event does not start it.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"--workflow {file}: {error.strerror}") from None
    try:
        workflow = _load(content, str(file))
    except WorkflowError as error:
        raise InputError(str(error)) from None
    found, path = _Found(warnings=list(workflow.warnings)), f"{_FOLDER}/{file.name}"
    beside = _workflow_files(file.parent) if file.resolve().parent.as_posix().endswith(_FOLDER) else []
    commit = {path: content, **{f"{_FOLDER}/{each.name}": each.read_bytes() for each in beside}}
    known = next((name for name in EVENTS if EVENTS[name].name in workflow.events), None)
    if event is None and known is None:
        found.notes.append(f"{file}: it runs on {', '.join(workflow.events)}, which is not simulated; run as on a push")
        found.starts.append(Start(path, on_branch(EVENTS["push"], branch)))
    else:
        _look(found, workflow, path, (event or str(known), branch), commit)
    if not found.starts:
        raise InputError(f"--workflow {found.notes[0]}; choose otherwise with --event or --branch")
    return Source(file.stem, commit, tuple(found.starts), warnings=tuple(found.warnings), notes=tuple(found.notes))


def from_repository(root: Path, event: str | None = None, branch: str = MAIN) -> Source:
    """A repository's files as they are on disk, and those of its workflows that the event starts; by default a push.

    Raises:
        InputError: none is started; with the reason of each.
    """
    if not root.is_dir():
        raise InputError(f"--repo {root}: there is no such directory")
    commit = _read(root, _tracked(root) or _walk(root))
    found = _Found()
    for file in _workflow_files(root / _FOLDER):
        try:
            workflow = _load(file.read_bytes(), str(file))
        except (OSError, WorkflowError) as error:
            found.notes += [f"not run: {line}" for line in str(error).splitlines()]
            continue
        found.warnings += workflow.warnings
        _look(found, workflow, str(file.relative_to(root)), (event or "push", branch), commit)
    if not found.starts:
        reasons = "".join(f"\n  {note}" for note in found.notes)
        raise InputError(f"--repo {root}: no workflow in {root / _FOLDER} runs on {event or 'push'}{reasons}")
    name = root.resolve().name
    return Source(name, commit, tuple(found.starts), warnings=tuple(found.warnings), notes=tuple(found.notes))


def _look(found: _Found, workflow: Workflow, path: str, of: tuple[str, str], commit: Mapping[str, bytes]) -> None:
    """Start a workflow by an event of a branch, or note why that does not start it."""
    name, branch = of
    event = on_branch(EVENTS[name], branch)
    # A pull request is looked at by the branch that it is to be merged into.
    ref = f"refs/heads/{branch}" if name == "pull_request" else event.ref
    if reason := not_started(workflow, event.name, ref, commit):
        found.notes.append(f"{workflow.path}: not started by {_said(name, branch)}: {reason}")
        return
    found.starts.append(Start(path, replace(event, schedule=_schedule(workflow))))


def _said(name: str, branch: str) -> str:
    return {"push": f"a push to {branch}", "tag": "the push of the tag v1.0.0"}.get(name, f"the event {name}")


def _schedule(workflow: Workflow) -> str:
    match workflow.events.get("schedule"):
        case [{"cron": str() as cron}, *_]:
            return cron
    return ""


def _load(content: bytes, shown_path: str) -> Workflow:
    return load(content.decode("utf-8", "replace"), shown_path)


def _workflow_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in _ENDINGS and path.is_file())


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
