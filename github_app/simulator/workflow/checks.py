"""The checks that every part of a workflow file shares: its shape, and the expressions in it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from github_app.simulator.workflow.document import Node
from github_app.simulator.workflow.expressions import parse_condition
from github_app.simulator.workflow.model import WorkflowError
from github_app.simulator.workflow.syntax import (
    Call,
    Context,
    Expression,
    calls_status_function,
    split_template,
    walk,
)
from github_app.simulator.workflow.values import ExpressionError, to_text

_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class Checks:
    """Reads nodes as what they must be, and raises a `WorkflowError` with the line where they are not."""

    def __init__(self, path: str) -> None:
        self.path = path
        # What was found wrong where the reading could go on.
        self.problems: list[WorkflowError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what is wrong in a part, so that the others are looked at too."""
        try:
            yield
        except WorkflowError as error:
            self.problems.append(error)

    def raise_noted(self) -> None:
        """Refuse the file for all that was noted, in the order of its lines."""
        if self.problems:
            first, *more = sorted(self.problems, key=lambda problem: problem.line)
            raise WorkflowError(first.path, first.line, first.reason, more)

    def error(self, line: int, reason: str) -> WorkflowError:
        """The refusal of something on a line."""
        return WorkflowError(self.path, line, reason)

    def mapping(self, node: Node, what: str) -> dict[str, Node]:
        """The node as a mapping."""
        if not isinstance(node.value, dict):
            raise self.error(node.line, f"{what} must be a mapping")
        return node.value

    def fields(self, node: Node, what: str, known: frozenset[str]) -> dict[str, Node]:
        """The node as a mapping of known keys."""
        fields = self.mapping(node, what)
        for key, item in fields.items():
            if key not in known:
                with self.noted():
                    raise self.error(item.key_line, f"{what} has the unknown key {key!r}")
        return {key: item for key, item in fields.items() if key in known}

    def identifier(self, text: str, line: int) -> None:
        """The text is an id as GitHub allows it."""
        if not _ID.fullmatch(text):
            raise self.error(line, f"{text!r} is no id: letters, digits, - and _, not starting with a digit or -")

    def text(self, node: Node, name: str) -> str:
        """The node as text that is not empty."""
        text = self.scalar(node, name)
        if not text:
            raise self.error(node.line, f"{name!r} must not be empty")
        return text

    def scalar(self, node: Node, name: str) -> str:
        """The node as text."""
        if isinstance(node.value, list | dict):
            raise self.error(node.line, f"{name!r} must hold text, not a list or a mapping")
        return to_text(node.value)

    def scalars(self, node: Node | None, name: str, contexts: frozenset[str]) -> dict[str, Any]:
        """The node as a mapping of names to text, with expressions over these contexts."""
        if node is None:
            return {}
        entries = self.mapping(node, f"{name!r}")
        for item in entries.values():
            self.scalar(item, name)
        self.expressions(node, contexts)
        return {key: item.plain() for key, item in entries.items()}

    def flag(self, node: Node | None, name: str, contexts: frozenset[str], *, otherwise: bool) -> bool | str:
        """The node as true, false or an expression."""
        if node is None:
            return otherwise
        self.expressions(node, contexts)
        if isinstance(node.value, bool) or (isinstance(node.value, str) and has_expression(node.value)):
            return node.value
        raise self.error(node.line, f"{name!r} must be true, false or an expression")

    def number(self, node: Node, name: str, contexts: frozenset[str]) -> float | str:
        """The node as a number above 0 or an expression."""
        self.expressions(node, contexts)
        value = node.value
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return value
        if isinstance(value, str) and has_expression(value):
            return value
        raise self.error(node.line, f"{name!r} must be a number above 0 or an expression")

    def condition(self, node: Node | None, contexts: frozenset[str]) -> str:
        """The node as an `if`."""
        if node is None:
            return "success()"
        text = self.scalar(node, "if")
        try:
            expression = parse_condition(text)
        except ExpressionError as error:
            raise self.error(node.line, f"in 'if': {error}") from error
        self._contexts(expression, node.line, contexts)
        return text

    def expressions(self, node: Node | None, contexts: frozenset[str]) -> None:
        """Every expression in the node can be read, and asks only for these contexts."""
        match None if node is None else node.value:
            case list() as items:
                for item in items:
                    self.expressions(item, contexts)
            case dict() as entries:
                for item in entries.values():
                    self.expressions(item, contexts)
            case str() as text if node is not None:
                self._template(text, node.line, contexts)

    def _template(self, text: str, line: int, contexts: frozenset[str]) -> None:
        try:
            parts = split_template(text)
        except ExpressionError as error:
            raise self.error(line, str(error)) from error
        for part in parts:
            if isinstance(part, str):
                continue
            if calls_status_function(part):
                raise self.error(line, "success(), failure(), always() and cancelled() may stand in an 'if' only")
            self._contexts(part, line, contexts)

    def _contexts(self, expression: Expression, line: int, contexts: frozenset[str]) -> None:
        for part in walk(expression):
            if isinstance(part, Context) and part.name not in contexts:
                raise self.error(line, f"the context {part.name!r} cannot be used: it is not available here")
            if isinstance(part, Call) and part.name == "hashfiles" and "steps" not in contexts:
                raise self.error(line, "hashFiles() may stand in a step only: it reads files on the runner")


def has_expression(value: object) -> bool:
    """Whether a `${{` stands anywhere in a plain value."""
    match value:
        case str():
            return "${{" in value
        case list():
            return any(has_expression(item) for item in value)
        case Mapping():
            return any(has_expression(item) for item in value.values())
    return False
