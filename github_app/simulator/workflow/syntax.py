"""The grammar of GitHub's expressions: text in, a tree out.

`parse` reads what stands between `${{` and `}}`; `split_template` finds those places in a string.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from github_app.simulator.workflow.values import ExpressionError, Scalar, number

# GitHub's own limits: an expression has at most 21,000 characters and is nested at most 50 deep.
MAX_LENGTH = 21_000
MAX_DEPTH = 50
# Ours: a chain of operators is a tree as deep as it is long, and evaluating it takes as many calls.
MAX_TREE = 200

# Name -> least and most arguments. GitHub compares function names without case.
FUNCTIONS: dict[str, tuple[int, float]] = {
    "contains": (2, 2),
    "startswith": (2, 2),
    "endswith": (2, 2),
    "format": (1, math.inf),
    "join": (1, 2),
    "tojson": (1, 1),
    "fromjson": (1, 1),
    "case": (3, math.inf),
    # It reads files on the runner, where act evaluates it.
    "hashfiles": (1, math.inf),
    "success": (0, 0),
    "failure": (0, 0),
    "always": (0, 0),
    "cancelled": (0, 0),
}
STATUS_FUNCTIONS = frozenset({"success", "failure", "always", "cancelled"})

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.]))
    |(?P<string>'(?:[^']|'')*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    |(?P<sign>&&|\|\||[!=<>]=|[!<>().,*\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS: dict[str, Scalar] = {
    "null": None,
    "true": True,
    "false": False,
    "nan": math.nan,
    "infinity": math.inf,
}
# Weakest first.
_BINARY = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="))


@dataclass(frozen=True)
class Value:
    """A literal."""

    value: Scalar


@dataclass(frozen=True)
class Context:
    """A context by its name in lower case: `github`, `needs` …"""

    name: str


@dataclass(frozen=True)
class Index:
    """`target.key` or `target[key]`."""

    target: "Expression"
    key: "Expression"


@dataclass(frozen=True)
class Star:
    """`target.*`: every element."""

    target: "Expression"


@dataclass(frozen=True)
class Call:
    """A function by its name in lower case."""

    name: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True)
class Not:
    """`!operand`."""

    operand: "Expression"


@dataclass(frozen=True)
class Binary:
    """`left sign right`."""

    sign: str
    left: "Expression"
    right: "Expression"


Expression = Value | Context | Index | Star | Call | Not | Binary


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> Iterator[_Token]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()
            raise ExpressionError(f"unexpected {rest[:20]!r} in the expression {text.strip()[:80]!r}")
        position = match.end()
        kind = match.lastgroup or ""
        yield _Token(kind, match[kind])


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*_tokens(text), _Token("end", "the end")]
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        expression = self._binary(0)
        if self._next.kind != "end":
            raise self._unexpected()
        return expression

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _accept(self, *signs: str) -> str | None:
        if self._next.kind == "sign" and self._next.text in signs:
            return self._take().text
        return None

    def _expect(self, sign: str) -> None:
        if self._accept(sign) is None:
            raise self._unexpected()

    def _unexpected(self) -> ExpressionError:
        return ExpressionError(f"unexpected {self._next.text!r} in the expression {self._text.strip()[:80]!r}")

    def _binary(self, level: int) -> Expression:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while sign := self._accept(*_BINARY[level]):
            left = Binary(sign, left, self._binary(level + 1))
        return left

    def _unary(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"an expression may be nested at most {MAX_DEPTH} deep")
        expression = Not(self._unary()) if self._accept("!") else self._postfix()
        self._depth -= 1
        return expression

    def _postfix(self) -> Expression:
        expression = self._primary()
        while sign := self._accept(".", "["):
            expression = self._member(expression, sign)
        return expression

    def _member(self, target: Expression, sign: str) -> Expression:
        if self._accept("*"):
            member: Expression = Star(target)
        elif sign == "[":
            member = Index(target, self._binary(0))
        elif self._next.kind == "name":
            return Index(target, Value(self._take().text))
        else:
            raise self._unexpected()
        if sign == "[":
            self._expect("]")
        return member

    def _primary(self) -> Expression:
        token = self._next
        if self._accept("("):
            expression = self._binary(0)
            self._expect(")")
            return expression
        if token.kind not in ("number", "string", "name"):
            raise self._unexpected()
        self._take()
        if token.kind == "number":
            return Value(number(token.text))
        if token.kind == "string":
            return Value(token.text[1:-1].replace("''", "'"))
        return self._named(token.text.lower())

    def _named(self, name: str) -> Expression:
        if self._accept("("):
            return self._call(name)
        return Value(_WORDS[name]) if name in _WORDS else Context(name)

    def _call(self, name: str) -> Call:
        arguments: list[Expression] = []
        if not self._accept(")"):
            arguments.append(self._binary(0))
            while self._accept(","):
                arguments.append(self._binary(0))
            self._expect(")")
        if name not in FUNCTIONS:
            raise ExpressionError(f"there is no function {name}()")
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most or (name == "case" and len(arguments) % 2 == 0):
            raise ExpressionError(f"{name}() does not take {len(arguments)} arguments")
        return Call(name, tuple(arguments))


def parse(text: str) -> Expression:
    """The tree of one expression, without its `${{ }}`."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression may have at most {MAX_LENGTH} characters")
    expression = _Parser(text).whole()
    if any(depth > MAX_TREE for _, depth in _with_depth(expression)):
        raise ExpressionError(f"an expression may have at most {MAX_TREE} operators in a row")
    return expression


def split_template(text: str) -> list[str | Expression]:
    """Literal text and expressions of a string, in order."""
    parts: list[str | Expression] = []
    while (start := text.find("${{")) >= 0:
        # The end is a `}}` outside of single quotes.
        end = re.compile(r"(?:[^'}]|'[^']*'|\}(?!\}))*\}\}").match(text, start + 3)
        if end is None:
            raise ExpressionError(f"a ${{{{ without its }}}}: {text[start : start + 40]!r}")
        parts += [text[:start]] if start else []
        parts.append(parse(text[start + 3 : end.end() - 2]))
        text = text[end.end() :]
    return parts + ([text] if text or not parts else [])


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything inside it."""
    return (part for part, _ in _with_depth(expression))


def _with_depth(expression: Expression) -> Iterator[tuple[Expression, int]]:
    waiting = [(expression, 1)]
    while waiting:
        part, depth = waiting.pop()
        yield part, depth
        waiting += [(inner, depth + 1) for inner in _inner(part)]


def _inner(expression: Expression) -> tuple[Expression, ...]:
    match expression:
        case Index(target, key):
            return (target, key)
        case Star(target):
            return (target,)
        case Call(_, arguments):
            return arguments
        case Not(operand):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
    return ()


def calls_status_function(expression: Expression) -> bool:
    """Whether success(), failure(), always() or cancelled() stands anywhere in it."""
    return any(isinstance(part, Call) and part.name in STATUS_FUNCTIONS for part in walk(expression))
