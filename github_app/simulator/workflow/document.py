"""YAML with line numbers: a text becomes a tree of `Node`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from github_app.simulator.workflow.model import WorkflowError
from github_app.simulator.workflow.values import Scalar, number

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node as YamlNode

# A file of GitHub's largest accepted size holds far fewer; anchors can multiply without end.
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


def read(text: str, path: str) -> Node:
    """The tree of a YAML 1.2 text."""
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
    return _Reader(path).node(root, root.start_mark.line + 1, 0)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._count = 0

    def node(self, node: YamlNode, key_line: int, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise WorkflowError(self._path, line, "the file is nested too deep or repeats itself without end")
        match node.value:
            case str():
                return Node(line, key_line, self._scalar(node, line))
            case _ if str(node.tag) == f"{_TAG}map":
                return Node(line, key_line, self._mapping(node, depth))
            case _ if str(node.tag) == f"{_TAG}seq":
                items = [self.node(item, item.start_mark.line + 1, depth + 1) for item in node.value]
                return Node(line, key_line, items)
        raise WorkflowError(self._path, line, f"the YAML tag {node.tag} is not known")

    def _mapping(self, node: YamlNode, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                raise WorkflowError(self._path, line, "a key must be a plain word")
            if key.value in entries:
                raise WorkflowError(self._path, line, f"the key {key.value!r} stands here twice")
            if key.value == "<<":
                raise WorkflowError(self._path, line, "GitHub does not know YAML's merge key `<<`")
            entries[key.value] = self.node(value, line, depth + 1)
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
