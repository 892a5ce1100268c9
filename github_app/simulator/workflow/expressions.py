"""The evaluator of GitHub's expressions over given contexts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from github_app.simulator.workflow.syntax import (
    Binary,
    Call,
    Context,
    Expression,
    Index,
    Not,
    Star,
    Value,
    calls_status_function,
    parse,
    split_template,
)
from github_app.simulator.workflow.values import (
    ExpressionError,
    equal,
    from_json,
    less,
    to_json,
    to_number,
    to_text,
    truthy,
)

# GitHub stops an expression whose result grows without end; so must we.
MAX_TEXT = 1_000_000


@dataclass(frozen=True)
class Scope:
    """What an expression can see: contexts, and what the status functions answer."""

    contexts: Mapping[str, Any]
    status: Mapping[str, bool] = field(default_factory=dict)


class _Filtered(list[Any]):
    """What `*` gives: an array whose members are asked for a key each."""


def evaluate(expression: Expression, scope: Scope) -> object:
    """The value of an expression."""
    match expression:
        case Value(value):
            return value
        case Context(name):
            return _context(name, scope)
        case Index(target, key):
            return _member(evaluate(target, scope), evaluate(key, scope))
        case Star(target):
            return _elements(evaluate(target, scope))
        case Not() | Binary():
            return _operate(expression, scope)
        case Call(name, arguments):
            return _call(name, arguments, scope)


def _context(name: str, scope: Scope) -> object:
    if name not in scope.contexts:
        raise ExpressionError(f"the context {name!r} is not available here")
    return scope.contexts[name]


def _operate(expression: Not | Binary, scope: Scope) -> object:
    if isinstance(expression, Not):
        return not truthy(evaluate(expression.operand, scope))
    left = evaluate(expression.left, scope)
    if expression.sign == "&&":
        return evaluate(expression.right, scope) if truthy(left) else left
    if expression.sign == "||":
        return left if truthy(left) else evaluate(expression.right, scope)
    return _COMPARISONS[expression.sign](left, evaluate(expression.right, scope))


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": less,
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: less(left, right) or equal(left, right),
    ">=": lambda left, right: less(right, left) or equal(left, right),
}


def _member(target: object, key: object) -> object:
    if isinstance(target, _Filtered):
        found = (_member(item, key) for item in target)
        return _Filtered(value for value in found if value is not None)
    if isinstance(target, Mapping):
        return _field(target, to_text(key))
    if isinstance(target, list):
        place = to_number(key)
        return target[int(place)] if 0 <= place < len(target) else None
    return None


def _field(target: Mapping[str, Any], key: str) -> object:
    if key in target:
        return target[key]
    return next((value for name, value in target.items() if name.upper() == key.upper()), None)


def _elements(target: object) -> _Filtered:
    if isinstance(target, _Filtered):
        return _Filtered(element for item in target for element in _elements(item))
    if isinstance(target, Mapping):
        return _Filtered(target.values())
    return _Filtered(target if isinstance(target, list) else ())


def _case(arguments: tuple[Expression, ...], scope: Scope) -> object:
    """The value behind the first condition that holds, else the last one; nothing else is evaluated."""
    for condition, value in zip(arguments[::2], arguments[1::2], strict=False):
        holds = evaluate(condition, scope)
        if not isinstance(holds, bool):
            raise ExpressionError("a condition of case() must be true or false")
        if holds:
            return evaluate(value, scope)
    return evaluate(arguments[-1], scope)


def _call(name: str, arguments: tuple[Expression, ...], scope: Scope) -> object:
    if name == "case":
        return _case(arguments, scope)
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](*(evaluate(argument, scope) for argument in arguments))
    if name == "hashfiles":
        raise ExpressionError("hashFiles() may stand in a step only: it reads files on the runner")
    if name not in scope.status:
        raise ExpressionError(f"{name}() may stand in an `if` only")
    return scope.status[name]


def _contains(search: object, item: object) -> bool:
    if isinstance(search, list):
        return any(equal(member, item) for member in search)
    return to_text(item).upper() in to_text(search).upper() if not isinstance(search, Mapping) else False


def _starts_with(text: object, beginning: object) -> bool:
    return to_text(text).upper().startswith(to_text(beginning).upper())


def _ends_with(text: object, end: object) -> bool:
    return to_text(text).upper().endswith(to_text(end).upper())


def _format(template: object, *values: object) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None or len(match[1]) > 4 or int(match[1]) >= len(values):
            raise ExpressionError(f"format() has no value for {match[0]!r}")
        return to_text(values[int(match[1])])

    return _bounded(re.sub(r"\{\{|\}\}|\{([0-9]+)\}|[{}]", fill, to_text(template)))


def _join(items: object, separator: object = ",") -> str:
    if isinstance(items, list):
        return _bounded(to_text(separator).join(to_text(item) for item in items))
    return to_text(items) if not isinstance(items, Mapping) else ""


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression may make at most {MAX_TEXT} characters")
    return text


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "contains": _contains,
    "startswith": _starts_with,
    "endswith": _ends_with,
    "format": _format,
    "join": _join,
    "tojson": to_json,
    "fromjson": lambda text: from_json(to_text(text)),
}


def resolve(value: object, scope: Scope) -> object:
    """Fill in every `${{ }}` of a value, however deep it lies.

    A string that is one expression and nothing else keeps the expression's type.
    """
    match value:
        case str():
            return _resolve_text(value, scope)
        case Mapping():
            return {key: resolve(item, scope) for key, item in value.items()}
        case list():
            return [resolve(item, scope) for item in value]
        case _:
            return value


def _resolve_text(text: str, scope: Scope) -> object:
    parts = split_template(text)
    if len(parts) == 1 and not isinstance(parts[0], str):
        return evaluate(parts[0], scope)
    return "".join(part if isinstance(part, str) else to_text(evaluate(part, scope)) for part in parts)


def parse_condition(text: str) -> Expression:
    """The expression of an `if`, with or without its `${{ }}`, and with the success() that GitHub implies."""
    parts = split_template(text)
    if all(isinstance(part, str) for part in parts):
        expression = parse(text) if text.strip() else Call("success", ())
    else:
        expressions = [part for part in parts if not (isinstance(part, str) and not part.strip())]
        if len(expressions) != 1 or isinstance(expressions[0], str):
            raise ExpressionError("an `if` must stand wholly inside ${{ }} or wholly outside; mixed, it is always true")
        expression = expressions[0]
    return expression if calls_status_function(expression) else Binary("&&", Call("success", ()), expression)
