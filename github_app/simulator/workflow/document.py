"""YAML with line numbers: a text becomes a tree of `Node`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from github_app.simulator.workflow.model import WorkflowError
from github_app.simulator.workflow.values import Scalar, number

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node as YamlNode

# The largest of a hundred real ones has 56 kB; reading one of this size takes a second.
MAX_CHARACTERS = 500_000
# A file of that size holds far fewer; anchors can multiply without end.
MAX_NODES = 50_000
MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"
_FLOATS = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}


@dataclass(frozen=True)
class Node:
    """A YAML value, the line it starts on, and the line of its key when it has one."""

    line: int
    key_line: int
    value: Scalar | list[Node] | dict[str, Node]

    def plain(self) -> object:
        """The value without line numbers."""
        match self.value:
            case dict():
                return {key: item.plain() for key, item in self.value.items()}
            case list():
                return [item.plain() for item in self.value]
            case _:
                return self.value


def read(text: str, path: str, warnings: list[str] | None = None) -> Node:
    """The tree of a YAML 1.2 text. What GitHub's own parser would refuse is added to `warnings`, with file and line."""
    if len(text) > MAX_CHARACTERS:
        reason = f"the file has {len(text):,} characters; a workflow of more than {MAX_CHARACTERS:,} is not read"
        raise WorkflowError(path, 1, reason)
    # Imported here: whoever only runs a job must not pay for the parser.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise WorkflowError(path, line, f"broken YAML: {error.problem or error.context}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise WorkflowError(path, 1, f"broken YAML: {str(error).splitlines()[0]}") from error
    if root is None:
        raise WorkflowError(path, 1, "the file is empty")
    return _Reader(path, [] if warnings is None else warnings).node(root, root.start_mark.line + 1, 0)


class _Reader:
    def __init__(self, path: str, warnings: list[str]) -> None:
        self._path = path
        self._warnings = warnings
        self._count = 0

    def node(self, node: YamlNode, key_line: int, depth: int, *, in_flow: bool = False) -> Node:
        """Read one value; `in_flow`: it stands between brackets or braces."""
        line = node.start_mark.line + 1
        in_flow = in_flow or getattr(node, "flow_style", False) is True
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise WorkflowError(self._path, line, "the file is nested too deep or repeats itself without end")
        match node.value:
            case str():
                if in_flow and getattr(node, "style", None) in {None, ""} and ":" in node.value:
                    self._warn_of_colon(node.value, line)
                return Node(line, key_line, self._scalar(node, line))
            case _ if str(node.tag) == f"{_TAG}map":
                return Node(line, key_line, self._mapping(node, depth, in_flow=in_flow))
            case _ if str(node.tag) == f"{_TAG}seq":
                items = [self.node(each, each.start_mark.line + 1, depth + 1, in_flow=in_flow) for each in node.value]
                return Node(line, key_line, items)
        raise WorkflowError(self._path, line, f"the YAML tag {node.tag} is not known")

    def _warn_of_colon(self, text: str, line: int) -> None:
        # Its parser (YamlDotNet 5.3) takes no plain scalar with a colon within brackets; others take it.
        self._warnings.append(
            f'{self._path}:{line}: GitHub refuses {text} between brackets without quotes ("While scanning a plain '
            f'scalar, find unexpected \':\'"); write "{text}"'
        )

    def _mapping(self, node: YamlNode, depth: int, *, in_flow: bool) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                raise WorkflowError(self._path, line, "a key must be a plain word")
            if key.value in entries:
                raise WorkflowError(self._path, line, f"the key {key.value!r} stands here twice")
            if key.value == "<<":
                raise WorkflowError(self._path, line, "GitHub does not know YAML's merge key `<<`")
            entries[key.value] = self.node(value, line, depth + 1, in_flow=in_flow)
        return entries

    def _scalar(self, node: YamlNode, line: int) -> Scalar:
        text: str = node.value
        match str(node.tag).removeprefix(_TAG):
            case "str" | "timestamp":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float":
                return _FLOATS.get(text.lower(), number(text))
        raise WorkflowError(self._path, line, f"the YAML tag {node.tag} is not known")
