"""A job's `runs-on` as people have it at hand: one label, JSON, or YAML as it stands in a workflow. Pure."""

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
    if text and not any(character in text for character in "{}[],\"'\n") and ": " not in text:
        # A single label may hold what YAML would take for something else.
        return RunsOn((text,))
    # Only a list needs the parser.
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        said = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InputError(f"runs-on {text[:80]!r}: {said}; {_FORMS}") from None
    if isinstance(value, dict) and set(value) == {"runs-on"}:
        value = value["runs-on"]
    group = None
    if isinstance(value, dict) and value and set(value) <= {"group", "labels"}:
        group, value = value.get("group"), value.get("labels", [])
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not all(isinstance(each, str) for each in labels) or not (labels or group):
        raise InputError(f"runs-on {text[:80]!r}: {_FORMS}")
    if isinstance(value, str) and "," in value:
        raise InputError(f"runs-on {text[:80]!r} is one label with a comma in it; {_FORMS}")
    return RunsOn(tuple(labels), None if group is None else str(group), tuple(_unquoted(root, in_flow=False)))


def _unquoted(node: Any, *, in_flow: bool) -> list[str]:
    """Labels that GitHub's parser does not take between brackets, though others do."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        if in_flow and node.style is None and ":" in node.value:
            return [f'GitHub refuses {node.value} between brackets without quotes; write "{node.value}"']
        return []
    in_flow = in_flow or bool(node.flow_style)
    if isinstance(node, yaml.MappingNode):
        return [each for pair in node.value for part in pair for each in _unquoted(part, in_flow=in_flow)]
    return [each for part in node.value for each in _unquoted(part, in_flow=in_flow)]
