"""Whether an event starts a workflow, by the filters of its `on`.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#onpushbranchestagsbranches-ignoretags-ignore
and the filter pattern cheat sheet there.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from github_app.simulator.workflow.model import Workflow

# What a pull request that is opened is, for a workflow that names no `types`.
_OPENED = "opened"
_PART = re.compile(r"\*\*/?|\*|\?|\+|\[[^\]]+\]|\\.|.", re.DOTALL)


def not_started(workflow: Workflow, event: str, ref: str, files: Iterable[str]) -> str | None:
    """Why an event does not start a workflow; None where it does.

    `ref`: the pushed branch or tag (`refs/heads/main`), or what a pull request is to be merged into. `files`: what the
    commit changes.
    """
    if event not in workflow.events:
        return f"it runs on {', '.join(workflow.events)}"
    settings = workflow.events[event]
    if not isinstance(settings, Mapping) or event not in ("push", "pull_request"):
        return None
    types = _listed(settings.get("types"))
    if event == "pull_request" and types and _OPENED not in types:
        return f"of a pull request it runs on {', '.join(types)}"
    if reason := _wrong_ref(settings, ref):
        return reason
    return None if ref.startswith("refs/tags/") else _wrong_files(settings, files)


def _wrong_ref(settings: Mapping[str, Any], ref: str) -> str | None:
    kind, name = ("tags", "branches") if ref.startswith("refs/tags/") else ("branches", "tags")
    short = ref.split("/", 2)[2]
    if not settings.keys() & {kind, f"{kind}-ignore"}:
        # A file that speaks of tags alone is for tags alone, and the other way round.
        return f"it is for {name} alone" if settings.keys() & {name, f"{name}-ignore"} else None
    wanted, ignored = _listed(settings.get(kind)), _listed(settings.get(f"{kind}-ignore"))
    if (kind in settings and not matches(wanted, short)) or matches(ignored, short):
        return f"its {kind} leave out {short}"
    return None


def _wrong_files(settings: Mapping[str, Any], files: Iterable[str]) -> str | None:
    paths, ignored = _listed(settings.get("paths")), _listed(settings.get("paths-ignore"))
    if "paths" in settings and not any(matches(paths, file) for file in files):
        return "its paths name no file of the commit"
    if "paths-ignore" in settings and all(matches(ignored, file) for file in files):
        return "its paths-ignore names every file of the commit"
    return None


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [] if value is None else [str(value)]


def matches(patterns: list[str], text: str) -> bool:
    """Whether the last pattern that matches is one without `!`."""
    found = False
    for pattern in patterns:
        if _fits(pattern.removeprefix("!"), text):
            found = not pattern.startswith("!")
    return found


def _fits(pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(_regular(pattern), text, re.DOTALL) is not None
    except re.error:
        return False


def _regular(pattern: str) -> str:
    """A regular expression: `*` without slashes, `**` with them, `?` and `+` of what stands before them."""
    parts: list[str] = []
    for part in _PART.findall(pattern):
        if part == "**/":
            parts.append("(?:.*/)?")
        elif part == "**":
            parts.append(".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part in "?+":
            parts.append(part if parts else re.escape(part))
        elif part.startswith("[") and len(part) > 1:
            parts.append(part)
        else:
            parts.append(re.escape(part.removeprefix("\\") or part))
    return "".join(parts)
