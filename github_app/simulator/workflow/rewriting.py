"""Expressions written anew for act: what only GitHub knows becomes a literal, or what act can evaluate.

`case()` is newer than act; the inputs of a called workflow, a job's place in its matrix and the token are values here.
"""

import json
from collections.abc import Mapping
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
    parse,
    split_template,
    walk,
)
from github_app.simulator.workflow.values import Scalar, to_text

# What `github.token` and `secrets.GITHUB_TOKEN` give: nothing takes it, and as a real one it starts with `ghs_`. act is
# not told of it, for act would show it to github.com when it fetches an action.
DUMMY_TOKEN = "ghs_simulated0000000000000000000000000000"  # noqa: S105 - of no use to anyone
_TOKENS = (Index(Context("github"), Value("token")), Index(Context("secrets"), Value("github_token")))
# Of the `github` context; act knows the rest (pkg/model/github_context.go).
GITHUB_ALONE = (
    "workflow_ref",
    "workflow_sha",
    "triggering_actor",
    "repository_id",
    "repository_owner_id",
    "ref_protected",
)


@dataclass(frozen=True)
class Known:
    """What is known of a job before it runs: its inputs, the numbers of its `strategy`, its token, its `github`."""

    inputs: Mapping[str, Any]
    strategy: Mapping[str, Any]
    token: str = DUMMY_TOKEN
    github: Mapping[str, Any] = field(default_factory=dict)


def rewritten(value: Any, known: Known) -> Any:
    """A part of a workflow file, with every expression in it as act can evaluate it; the `if` of a step too."""
    match value:
        case str():
            return _template(value, known)
        case Mapping():
            return {
                key: _condition(item, known) if key == "if" else rewritten(item, known) for key, item in value.items()
            }
        case list() | tuple():
            return [rewritten(item, known) for item in value]
    return value


def _condition(value: Any, known: Known) -> Any:
    if not isinstance(value, str) or "${{" in value:
        return rewritten(value, known)
    return _text(value, parse(value), known) if value.strip() else value


def _template(text: str, known: Known) -> str:
    if "${{" not in text:
        return text
    parts = split_template(text)
    if all(isinstance(part, str) or not _concerns(part) for part in parts):
        return text
    return "".join(part if isinstance(part, str) else "${{ " + written(_rewrite(part, known)) + " }}" for part in parts)


def _text(text: str, expression: Expression, known: Known) -> str:
    return written(_rewrite(expression, known)) if _concerns(expression) else text


def _concerns(expression: Expression) -> bool:
    """Whether anything in it is not act's."""
    return any(
        (isinstance(part, Call) and part.name == "case")
        or (isinstance(part, Context) and part.name in ("inputs", "strategy"))
        or _is_token(part)
        or _is_githubs(part)
        for part in walk(expression)
    )


def _rewrite(expression: Expression, known: Known) -> Expression:
    replaced = _replaced(expression, known)
    if replaced is not None:
        return replaced
    changed: Expression = expression
    match expression:
        case Call(name, arguments):
            anew = [_rewrite(argument, known) for argument in arguments]
            changed = _case(anew) if name == "case" else Call(name, tuple(anew))
        case Index(target, key):
            changed = Index(_rewrite(target, known), _rewrite(key, known))
        case Star(target):
            changed = Star(_rewrite(target, known))
        case Not(operand):
            changed = Not(_rewrite(operand, known))
        case Binary(sign, left, right):
            changed = Binary(sign, _rewrite(left, known), _rewrite(right, known))
    return changed


def _replaced(expression: Expression, known: Known) -> Expression | None:
    """The literal that stands for an expression, if it is known."""
    if _is_token(expression):
        return Value(known.token)
    values = {"inputs": known.inputs, "strategy": known.strategy}
    match expression:
        case Index(Context("github"), Value(str() as key)) if _is_githubs(expression):
            return _literal(_found(known.github, key))
        case Index(Context(name), Value(str() as key)) if name in values:
            return _literal(_found(values[name], key))
        case Context(name) if name in values:
            return _literal(values[name])
    return None


def _is_token(expression: Expression) -> bool:
    match expression:
        case Index(Context(context), Value(str() as name)):
            return Index(Context(context), Value(name.lower())) in _TOKENS
    return False


def _is_githubs(expression: Expression) -> bool:
    match expression:
        case Index(Context("github"), Value(str() as name)):
            return name.lower() in GITHUB_ALONE
    return False


def _found(values: Mapping[str, Any], key: str) -> Any:
    return next((value for name, value in values.items() if name.lower() == key.lower()), None)


def _literal(value: Any) -> Expression:
    if isinstance(value, Mapping | list):
        return Call("fromjson", (Value(json.dumps(value, ensure_ascii=False)),))
    return Value(value)


def _case(arguments: list[Expression]) -> Expression:
    # JSON is never empty, and so never false: `condition && value` cannot be taken for a condition that did not hold.
    chosen: Expression = Call("tojson", (arguments[-1],))
    for condition, value in reversed([*zip(arguments[::2], arguments[1::2], strict=False)]):
        chosen = Binary("||", Binary("&&", condition, Call("tojson", (value,))), chosen)
    return Call("fromjson", (chosen,))


# As GitHub's docs write them.
_NAMES = {name.lower(): name for name in ("contains", "startsWith", "endsWith", "toJSON", "fromJSON", "hashFiles")}


def written(expression: Expression) -> str:
    """An expression as text, without its `${{ }}`."""
    match expression:
        case Value(value):
            text = _written_value(value)
        case Context(name):
            text = name
        case Index(target, key):
            text = f"{written(target)}[{written(key)}]"
        case Star(target):
            text = f"{written(target)}.*"
        case Call(name, arguments):
            text = f"{_NAMES.get(name, name)}({', '.join(map(written, arguments))})"
        case Not(operand):
            text = f"!{written(operand)}"
        case Binary(sign, left, right):
            text = f"({written(left)} {sign} {written(right)})"
    return text


def _written_value(value: Scalar) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if value is None:
        return "null"
    return to_text(value)
