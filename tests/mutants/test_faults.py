"""The planted faults can be planted: a list that has lost touch with the code would catch nothing."""

from pathlib import Path

import github_app
from tests.mutants.faults import MUTANTS

_PACKAGE = Path(github_app.__file__).parent


def test_each_fault_has_one_place_in_the_code_where_it_is_planted() -> None:
    places = {each.name: (_PACKAGE / each.file).read_text(encoding="utf-8").count(each.old) for each in MUTANTS}

    assert {name: count for name, count in places.items() if count != 1} == {}
    assert len(places) == len(MUTANTS)
