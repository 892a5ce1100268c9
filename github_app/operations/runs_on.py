"""A job's `runs-on` as people have it at hand: one label, JSON, or YAML as it stands in a workflow. Pure."""

import re
from dataclasses import dataclass
from typing import Any

from github_app.errors import InputError

_FORMS = (
    'give one label, a list ["self-hosted", "modal", "gpu:h100"], the line as it stands in the workflow, or its file '
    "with --workflow"
)


@dataclass(frozen=True)
class RunsOn:
    """The labels, the runner group that is asked for, and what GitHub would not take."""

    labels: tuple[str, ...]
    group: str | None = None
    warnings: tuple[str, ...] = ()


def read(text: str) -> RunsOn:
    """Read what stands after `runs-on:`, or that whole line.

    Raises:
        InputError: it is none of the forms.
    """
    text = text.strip()
    if "${{" in text:
        raise InputError(
            "runs-on: an expression is decided by the run; --workflow FILE resolves what can be known before"
        )
    plain = not any(character in text for character in "{}[],\"'\n") and not re.search(r": | #|^[-&*!|>%@`]", text)
    if text and plain:
        # A single label may hold what YAML would take for something else.
        return RunsOn((text,))
    root = _parsed(text)
    value = _plain(root)
    if isinstance(value, dict) and set(value) == {"runs-on"}:
        value = value["runs-on"]
    group: object = None
    if isinstance(value, dict) and value and set(value) <= {"group", "labels"}:
        group, value = value.get("group"), value.get("labels", [])
    labels = [value] if isinstance(value, str) else value
    if (
        not isinstance(labels, list)
        or not all(isinstance(each, str) and each for each in labels)
        or not (group is None or isinstance(group, str))
        or not (labels or group)
    ):
        raise InputError(f"runs-on {text[:80]!r}: {_FORMS}")
    if isinstance(value, str) and "," in value:
        raise InputError(f"runs-on {text[:80]!r} is one label with a comma in it; {_FORMS}")
    return RunsOn(tuple(labels), group, tuple(_unquoted(root, in_flow=False)))


def _parsed(text: str) -> Any:
    """The tree of a YAML text, without anchors, which could make it grow without end."""
    # Only a list needs the parser.
    import yaml

    try:
        if any(isinstance(each, yaml.AliasEvent) for each in yaml.parse(text, Loader=yaml.BaseLoader)):
            raise InputError(f"runs-on {text[:80]!r}: without anchors, please; {_FORMS}")
        return yaml.compose(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        said = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InputError(f"runs-on {text[:80]!r}: {said}; {_FORMS}") from None


def _plain(node: Any) -> object:
    """The value of a tree in which all scalars are text."""
    if node is None or isinstance(node.value, str):
        return node and node.value
    if node.id == "mapping":
        return {_plain(key): _plain(value) for key, value in node.value if isinstance(key.value, str)}
    return [_plain(each) for each in node.value]


def _unquoted(node: Any, *, in_flow: bool) -> list[str]:
    """Labels that GitHub's parser does not take between brackets, though others do."""
    if isinstance(node.value, str):
        if in_flow and node.style is None and ":" in node.value:
            return [f'GitHub refuses {node.value} between brackets without quotes; write "{node.value}"']
        return []
    in_flow = in_flow or bool(node.flow_style)
    if node.id == "mapping":
        return [each for pair in node.value for part in pair for each in _unquoted(part, in_flow=in_flow)]
    return [each for part in node.value for each in _unquoted(part, in_flow=in_flow)]
