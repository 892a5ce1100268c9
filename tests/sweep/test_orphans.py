"""Sandboxes that nothing leads to."""

import pytest

from github_app.simulate import run as simulation
from github_app.simulate.outcome import Outcomes
from github_app.simulate.plan import Blow
from github_app.simulate.run import simulate
from tests.worlds.simulated import plan_of, pushed


def test_a_sandbox_that_no_record_names_and_no_runner_stands_behind_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    conducts = ["ghost"]
    monkeypatch.setattr(Outcomes, "conduct", lambda _self: conducts.pop() if conducts else None)
    monkeypatch.setattr(simulation, "_FORGOTTEN", ("runners",))
    blows = (Blow("records-expire", 50),)
    ran = simulate(plan_of(pushed(0, "octo-org/alpha", 30), faults="records-expire", blows=blows, calm_at=60.0))

    assert conducts == []
    assert ran.violations == []
    assert len(ran.starts) == 1
