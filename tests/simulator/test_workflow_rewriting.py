import pytest

from github_app.simulator.workflow.expressions import Scope, evaluate
from github_app.simulator.workflow.rewriting import Known, rewritten, written
from github_app.simulator.workflow.syntax import parse

KNOWN = Known({"Flag": False, "text": "it's"}, {"job-index": 1, "job-total": 2}, "token", {"workflow_ref": "o/r/w"})


@pytest.mark.parametrize(
    "text",
    [
        "github.event.commits.*.id[0] == 'it''s' && !(1 < 2 || 3 >= -4.5)",
        "format('{0} {1}', null, true) != '' || fromJSON(toJSON(matrix))['a-b'].c",
        "startsWith(github.ref, 'refs/tags/') && contains(hashFiles('a', 'b'), 'c') && success()",
        "case(a.b, 1, !c, 2, 3)",
        "1e3 > 0xff",
    ],
)
def test_what_is_written_is_read_as_the_same(text: str) -> None:
    assert parse(written(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ${{ matrix.a }}", "plain ${{ matrix.a }}"),
        ("${{ inputs.flag }} ${{ INPUTS['text'] }} ${{ inputs.none }}", "${{ false }} ${{ 'it''s' }} ${{ null }}"),
        ("${{ strategy.job-total }}", "${{ 2 }}"),
        ("${{ secrets.github_token }}${{ github['token'] }}", "${{ 'token' }}${{ 'token' }}"),
        ("${{ github.workflow_ref }} ${{ github.ref }}", "${{ 'o/r/w' }} ${{ github['ref'] }}"),
        ("${{ secrets.other || inputs.text }}", "${{ (secrets['other'] || 'it''s') }}"),
    ],
)
def test_what_act_cannot_know_becomes_a_literal_and_nothing_else_changes(text: str, expected: str) -> None:
    assert rewritten(text, KNOWN) == expected


def test_the_if_of_a_step_is_an_expression_without_marks() -> None:
    steps = [{"if": "inputs.flag", "run": "inputs.flag"}, {"if": "always()"}, {"if": "${{ !inputs.flag }}"}]

    assert rewritten(steps, KNOWN) == [
        *({"if": "false", "run": "inputs.flag"}, {"if": "always()"}, {"if": "${{ !false }}"}),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("case(true, '', 'b')", ""),
        ("case(false, 1, true, null, 2)", None),
        ("case(false, 1, 2 > 1, false, true)", False),
        ("case(1 == 2, 'a', fromJSON('{\"k\": [1]}')).k[0]", 1),
        ("case(true, 'a', fromJSON('broken'))", "a"),
    ],
)
def test_case_gives_the_same_with_githubs_function_and_without_it(text: str, value: object) -> None:
    anew = rewritten("${{ " + text + " }}", KNOWN)

    assert "case(" not in anew
    assert evaluate(parse(text), Scope({})) == value
    assert evaluate(parse(anew[3:-2]), Scope({})) == value
