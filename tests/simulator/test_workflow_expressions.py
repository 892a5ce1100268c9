from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.simulator.workflow.expressions import Scope, evaluate, parse_condition, resolve
from github_app.simulator.workflow.syntax import parse
from github_app.simulator.workflow.values import ExpressionError

CONTEXTS: dict[str, Any] = {
    "github": {
        "ref": "refs/heads/main",
        "event": {"labels": [{"name": "bug"}, {"name": "gpu"}, {"id": 1}], "empty": {}},
    },
    "matrix": {"os": "Ubuntu", "n": 3, "deep": [[1, 2], [3]]},
    "nothing": None,
}
SCOPE = Scope(CONTEXTS, {"success": True, "failure": False, "always": True, "cancelled": False})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("TRUE", True),
        ("'it''s'", "it's"),
        ("-0x1F", -31),
        ("0o17", 15),
        ("+1.50e1", 15),
        (".5", 0.5),
        ("github.ref", "refs/heads/main"),
        ("GitHub['REF']", "refs/heads/main"),
        ("github.nope.deeper[0]", None),
        ("github.event.labels[1].name", "gpu"),
        ("github.event.labels[9]", None),
        ("github.event.labels['x']", None),
        ("join(github.event.labels.*.name)", "bug,gpu"),
        ("join(matrix.deep[*].*, '-')", "1-2-3"),
        ("join(nothing.*, '-')", ""),
        ("!'' && !0 && !null && !NaN", True),
        ("github.event.empty && 'objects are true'", "objects are true"),
        ("'' || 'fallback'", "fallback"),
        ("0 && 'not reached'", 0),
        ("1 < 2 == true", True),
        ("true || true && false", True),
        ("(true || true) && false", False),
        ("'ABC' == 'abc'", True),
        ("'b' > 'A'", True),
        ("'1' == 1", True),
        ("' 0x10 ' == 16", True),
        ("null == 0", True),
        ("'' == false", True),
        ("'abc' == 0", False),
        ("NaN == NaN", False),
        ("NaN != NaN", True),
        ("'x' < 1 || 'x' >= 1", False),
        ("github.event == github.event", True),
        ("github.event == matrix", False),
        ("contains('Hello', 'ELL')", True),
        ("contains(fromJSON('[1, \"a\"]'), 'A')", True),
        ("contains(github.event.labels.*.name, 'bug')", True),
        ("contains(matrix, 'Ubuntu')", False),
        ("startsWith(github.ref, 'REFS/')", True),
        ("endsWith(github.ref, '/main')", True),
        ("format('{0} {{1}} {1}', matrix.n, matrix.os)", "3 {1} Ubuntu"),
        ("format('{0}', github)", "Object"),
        ("join('alone', '-')", "alone"),
        ("toJson(matrix.deep[1])", "[\n  3\n]"),
        ("fromJSON('{\"a\": [1.0, 2.5]}').a[0]", 1),
        ("success() && !failure() && always() && !cancelled()", True),
    ],
)
def test_an_expression_has_the_value_that_github_gives_it(text: str, value: object) -> None:
    result = evaluate(parse(text), SCOPE)

    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the end"),
        ("1 +", "'+'"),
        ("'open", "unexpected"),
        ('"double"', "unexpected"),
        ("(1", "the end"),
        ("a.b c", "'c'"),
        ("a.'b'", "unexpected"),
        ("nope()", "no function nope()"),
        ("hashFiles('**')", "hashFiles"),
        ("contains('a')", "contains() does not take 1 arguments"),
        ("unknown.x", "'unknown' is not available"),
        ("fromJSON('{')", "not JSON"),
        ("fromJSON('[NaN]')", "not JSON"),
        ("format('{1}', 'a')", "{1}"),
        ("format('}')", "'}'"),
        ("(" * 60 + "1" + ")" * 60, "nested"),
        ("a" + ".a" * 300, "in a row"),
        ("||".join("1" * 300), "in a row"),
        ("x" * 21_001, "characters"),
    ],
)
def test_a_broken_expression_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(parse(text), SCOPE)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${{ matrix.n }}", 3),
        ("n=${{ matrix.n }}, ${{ 'a }} b' }}!", "n=3, a }} b!"),
        ("${{ null }}${{ true }}", "true"),
        (["${{ matrix.os }}", {"k": "${{ 1.5 }}"}, 7], ["Ubuntu", {"k": 1.5}, 7]),
    ],
)
def test_a_value_is_filled_in_wherever_an_expression_stands(template: object, value: object) -> None:
    assert resolve(template, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "success", "holds"),
    [
        ("", True, True),
        ("", False, False),
        ("true", False, False),
        ("github.ref == 'refs/heads/main'", True, True),
        ("${{ github.ref == 'refs/heads/main' }}", False, False),
        ("always()", False, True),
        ("${{ !cancelled() && github.ref != '' }}", False, True),
        ("success() || failure()", False, False),
    ],
)
def test_an_if_without_a_status_function_asks_for_success(text: str, *, success: bool, holds: bool) -> None:
    scope = Scope(CONTEXTS, {**SCOPE.status, "success": success})

    assert bool(evaluate(parse_condition(text), scope)) is holds


def test_an_if_half_inside_the_braces_is_refused_because_it_would_always_be_true() -> None:
    with pytest.raises(ExpressionError, match="always true"):
        parse_condition("${{ github.ref }} == 'x'")


def test_a_status_function_outside_of_an_if_is_refused() -> None:
    with pytest.raises(ExpressionError, match="`if` only"):
        resolve("${{ success() }}", Scope(CONTEXTS))


_FRAGMENTS = st.sampled_from(
    [
        "github",
        ".ref",
        "[",
        "]",
        "*",
        ".",
        "(",
        ")",
        "!",
        "&&",
        "||",
        "==",
        "<",
        "'",
        "'a'",
        ",",
        "1",
        "0x",
        "null",
        "-",
        "é",
        "${{",
        "}}",
        "{0}",
        "matrix.deep",
        "fromJSON(",
        "format(",
        "join(",
        "contains(",
        "toJSON(",
    ]
)


@given(st.one_of(st.text(), st.lists(_FRAGMENTS, max_size=25).map(" ".join)))
def test_any_text_is_evaluated_or_refused_and_never_crashes(text: str) -> None:
    with suppress(ExpressionError):
        evaluate(parse(text), SCOPE)
    with suppress(ExpressionError):
        resolve(text, SCOPE)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(_JSON)
def test_json_survives_the_way_out_and_back(value: object) -> None:
    scope = Scope({"matrix": {"v": value}})

    assert resolve("${{ fromJSON(toJSON(matrix.v)) }}", scope) == value
