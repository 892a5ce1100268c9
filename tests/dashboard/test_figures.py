"""What pages say of many jobs, and of how things are."""

from dataclasses import replace

import msgspec
import pytest

from github_app.dashboard import charts
from github_app.dashboard.figures import latency_of, percentiles, quantile, spend_of
from github_app.dashboard.health import findings_of, health_of
from github_app.dashboard.reading import Past, Reading, ended
from github_app.dashboard.sight import Sight
from github_app.jobs.accounts import with_jobs
from github_app.model import JobRecord, JobState, Ran
from github_app.store.notes import Buckets, DaySums, Swept, VersionTaken
from github_app.views.status import Records, Status
from tests.worlds.records import job

# The middle of a month of 30 days.
NOW = 1_794_744_000.0
DAY_S = 86400.0


def _ended(number: int, start_s: float, ran_s: float = 3600.0, back_days: float = 1.0) -> JobRecord:
    at = NOW - back_days * DAY_S
    ran = Ran(f"modal-{number}-1", number, "sb", 2.0, 2048, None, None, None, 2.0, at + 1, at + 2)
    times = {"started_at": at + start_s, "completed_at": at + 2 + ran_s, "conclusion": "success", "ran": ran}
    return msgspec.structs.replace(job(JobState.DONE, at, job_id=number, queued_at=at), **times)


def _past(*records: JobRecord) -> Past:
    sums = with_jobs(DaySums(), [(f"modal-{each.event.job_id}-1", each) for each in records])
    day = "2026-11-13"
    return Past(tuple(ended(each, NOW) for each in records), {day: sums})


def test_spend_adds_up_by_hand_and_the_month_is_projected_from_what_is_gone_of_it() -> None:
    spend = spend_of(_past(_ended(1, 3.0), _ended(2, 3.0), _ended(3, 3.0, ran_s=1800.0)), "repo", 7, NOW)

    assert spend.cost.usd == pytest.approx(2.0 + 2.0 + 1.0)
    assert [each.jobs for each in spend.cost.sums] == [3]
    assert spend.month_so_far == pytest.approx(5.0)
    # Of 30 days 14.5 are gone, half a day of them today.
    assert spend.month_projected == pytest.approx(5.0 / 14.5 * 30, rel=0.05)
    assert [bar.height > 0 for bar in spend.by_day.bars].count(True) == 1


def test_latency_has_percentiles_in_all_by_part_and_by_day() -> None:
    latency = latency_of(_past(*(_ended(n, 3.0 + n) for n in range(1, 11)), _ended(99, 5.0, back_days=40)), 7, NOW)

    assert latency.jobs == 10
    assert latency.all == {0.5: 9.0, 0.95: 13.0, 0.99: 13.0}
    assert set(latency.parts) == {"delivery", "ours", "modal", "runner"}
    assert latency.parts["modal"][0.5] == pytest.approx(1.0)
    assert latency.by_day is not None
    assert set(latency.by_day.lines or {}) == {"p50", "p95", "p99"}


def test_nothing_at_all_is_no_number() -> None:
    empty = Past((), {})

    assert latency_of(empty, 30, NOW).by_day is None
    assert spend_of(empty, "day", 30, NOW).month_projected == 0.0
    assert percentiles([]) == {}
    assert quantile(Buckets(), 0.5) is None


@pytest.mark.parametrize("highest", [0.001, 0.37, 0.99, 1.0, 3.0, 9.99, 10.0, 101.0, 12345.6])
def test_a_chart_has_room_for_its_highest_value(highest: float) -> None:
    drawn = charts.bars(["a", "b"], [highest, highest / 2], "$")

    assert all(bar.y >= 0 and bar.height > 0 for bar in drawn.bars)
    assert max(bar.height for bar in drawn.bars) >= 0.15 * drawn.height


def _reading(swept: Swept | None, stopped: str | None = None, quota_left: float = 1.0) -> Reading:
    records = Records({}, {}, {}, {}, {}, {}, 2, ())
    status = Status(stopped=stopped, jobs=[], runners=[], slots={}, refused=[], parked=2, warm=[])
    return Reading(NOW, records, status, {}, (), swept, quota_left)


OWNER = Sight("octo-owner", frozenset({"octo-org"}), frozenset())
MEMBER = Sight("octo-dev", frozenset(), frozenset({"octo-org/app"}))


def _states(reading: Reading, sight: Sight = OWNER) -> dict[str, str]:
    return {each.name: each.state for each in health_of(reading, sight)}


def test_health_says_what_is_wrong_and_to_owners_what_is_theirs() -> None:
    fine = Swept(NOW - 30, 0, VersionTaken("2.333.0", NOW + 20 * DAY_S, NOW))

    assert _states(_reading(fine)) == {"launching": "ok", "sweep": "ok", "deliveries": "look"}
    assert _states(_reading(fine), MEMBER) == {"launching": "ok", "sweep": "ok"}
    assert _states(_reading(fine), Sight("octo-guest", frozenset(), frozenset())) == {}
    assert _states(_reading(None))["sweep"] == "look"
    assert _states(_reading(Swept(NOW - 400, 0)))["sweep"] == "wrong"
    assert _states(_reading(Swept(NOW - 30, 2)))["sweep"] == "look"
    assert _states(_reading(fine, stopped="no runner is started: ..."))["launching"] == "wrong"
    assert _states(_reading(Swept(NOW, 0, VersionTaken("2", NOW + 3 * DAY_S, NOW))))["runner"] == "look"
    assert _states(_reading(Swept(NOW, 0, VersionTaken("2", NOW - DAY_S, NOW))))["runner"] == "wrong"
    assert _states(_reading(fine, quota_left=0.05))["GitHub"] == "look"


def test_what_sweeps_have_found_is_for_owners() -> None:
    reading = replace(_reading(None), findings={"redelivered": 3, "jobs_read": 9})

    assert findings_of(reading, OWNER) == [("deliveries that GitHub was asked for again", 3)]
    assert findings_of(reading, MEMBER) == []
