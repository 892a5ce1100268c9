"""How many runners wait for jobs, with which labels, where and when; and what of it makes no sense."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from github_app.errors import ConfigError
from github_app.model import Place, Scope
from github_app.routing.hours import parse_hours
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.routing.warm import is_seat, seats_of, usd_a_month, waits_s
from github_app.settings.load import parse_config
from github_app.settings.make_rules import make_rules, refuse_unsound, warnings
from tests.worlds.records import event, routing_settings

_BERLIN = ZoneInfo("Europe/Berlin")


def rules(toml: str) -> Rules:
    """The rules of a file alone."""
    return make_rules(routing_settings(), parse_config(toml))


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=_BERLIN).timestamp()


@pytest.mark.parametrize(
    ("hours", "moment", "included"),
    [
        # A Monday.
        ("Mon-Fri 08-19 Europe/Berlin", "2026-11-23T08:00", True),
        ("Mon-Fri 08-19 Europe/Berlin", "2026-11-23T07:59", False),
        ("Mon-Fri 08-19 Europe/Berlin", "2026-11-23T19:00", False),
        ("Mon-Fri 08-19 Europe/Berlin", "2026-11-28T12:00", False),
        ("mon 8:30-9:15 Europe/Berlin", "2026-11-23T09:14", True),
        ("Fri-Mon 00-24 Europe/Berlin", "2026-11-22T23:59", True),
        ("Fri-Mon 00-24 Europe/Berlin", "2026-11-24T00:00", False),
        # Over midnight: a night belongs to the day on which it begins.
        ("Fri 22-06 Europe/Berlin", "2026-11-28T05:59", True),
        ("Fri 22-06 Europe/Berlin", "2026-11-27T05:59", False),
        ("Fri 22-06 Europe/Berlin", "2026-11-28T22:00", False),
        # Summer time.
        ("Mon 08-19 Europe/Berlin", "2026-07-06T08:00", True),
    ],
)
def test_hours_of_the_week_in_a_time_zone(hours: str, moment: str, *, included: bool) -> None:
    assert parse_hours(hours).include(_at(moment)) is included


def test_hours_a_week() -> None:
    assert parse_hours("Mon-Fri 08-19 UTC").a_week == 55
    assert parse_hours("Sat-Sun 22-06:30 UTC").a_week == 17


@pytest.mark.parametrize(
    "text", ["", "always", "Mon-Fri 08-25 UTC", "Mon 08:60-09 UTC", "Mon 08-19 Middle/Earth", "Mon 8-9"]
)
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"modal-runner.toml:4"):
        parse_config(f"[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org'\nwarm_hours = '{text}'")


def test_a_profile_waits_with_its_own_labels_in_each_scope() -> None:
    found = seats_of(rules("[profiles.p]\ncpu = 4\nwarm = 2\nwarm_scope = ['octo-org', 'mona/tools']"))

    assert [(each.source, each.scope) for each in found] == [
        ("profiles.p", s) for s in ("octo-org",) * 2 + ("mona/tools",) * 2
    ]
    assert {each.labels for each in found} == {("self-hosted", "modal", "profile:p")}
    assert len({each.id for each in found}) == 4
    assert all(is_seat(each.id) for each in found)
    # GitHub's ids of jobs have eleven digits today.
    assert not is_seat(10**15)


def test_its_machine_is_what_a_job_of_these_labels_gets() -> None:
    by = rules("[profiles.p]\ncpu = 4\nwarm = 1\nwarm_scope = 'octo-org'")
    [seat] = seats_of(by)
    made = route(seat.event(Place(Scope("octo-org"), 44)), by)
    wanted = route(event(labels=("self-hosted", "modal", "profile:p"), branch="feature"), by)

    assert isinstance(made, Admit)
    assert isinstance(wanted, Admit)
    assert made.shape == wanted.shape
    # It waits so long that its job still has all of its time in the 24 hours of a sandbox.
    assert waits_s(made.shape) + made.shape.timeout_s <= 24 * 3600


def test_seats_stay_the_same_when_others_come() -> None:
    one = seats_of(rules("[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org'"))
    more = seats_of(
        rules("[profiles.a]\nwarm = 1\nwarm_scope = 'octo-org'\n[profiles.p]\nwarm = 3\nwarm_scope = 'octo-org'")
    )

    assert one[0].id in {each.id for each in more}


def test_what_it_costs_follows_its_hours() -> None:
    always, hours = "[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org'\n", "warm_hours = 'Mon-Fri 08-20 UTC'"
    [whole], [part] = seats_of(rules(always)), seats_of(rules(always + hours))

    assert usd_a_month(part, rules(always)) == pytest.approx(usd_a_month(whole, rules(always)) * 60 / 168)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[profiles.p]\nwarm = 1", "write warm_scope"),
        ("[profiles.p]\nwarm_scope = 'octo-org'", "write warm = 1"),
        ("[profiles.p]\nwarm = 0\nwarm_scope = 'octo-org'", "greater than 0"),
        ("[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org/a/b'", "neither an organisation nor"),
        ("[profiles.p]\nwarm = 1\nwarm_scope = ['octo-org', 'Octo-Org']", "stands here twice"),
        ("[defaults]\nwarm = 1\nwarm_scope = 'octo-org'", "belongs to a profile or a route"),
        ("[[routes]]\nname = 'r'\nrefuse = 'No.'\nwarm = 1\nwarm_scope = 'octo-org'", "it refuses"),
        (
            "[profiles.p]\n[[routes]]\nname = 'r'\nprofile = 'p'\nlabels = ['gpu:*']\nwarm = 1\nwarm_scope = 'o'",
            "in full",
        ),
    ],
)
def test_what_is_not_said_or_not_meant_is_refused(toml: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(toml)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[profiles.p]\ncache = 'pip'\nwarm = 1\nwarm_scope = 'octo-org'", "fits few jobs"),
        ("[profiles.p]\ntimeout = '23h'\nwarm = 1\nwarm_scope = 'octo-org'", "write a shorter one"),
        ("[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org'\nwarm_labels = ['ubuntu-latest']", "would get no runner"),
        ("[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org'\nwarm_labels = ['modal']", "comes under"),
        ("[profiles.p]\nwarm = 3\nmax_concurrent = 2\nwarm_scope = 'octo-org'", "max_concurrent lets 2"),
        (
            """
            [profiles.p]
            gpu = "h100"
            [[routes]]
            name = "large"
            labels = ["gpu:h100*"]
            profile = "p"
            warm = 1
            warm_scope = "octo-org"
            warm_labels = ["self-hosted", "modal", "gpu:h100"]
            [[routes]]
            name = "none else"
            labels = ["gpu:*"]
            refuse = "No GPU."
            """,
            "would refuse its jobs inside",
        ),
    ],
)
def test_runners_that_would_wait_in_vain_are_refused(toml: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_unsound(routing_settings(), parse_config(toml))


def test_it_is_said_who_else_takes_them() -> None:
    plain = "[profiles.p]\nwarm = 1\nwarm_scope = 'octo-org'\n"
    in_one = plain + "warm_labels = ['modal/profile=p']"

    assert any(
        "are given its runners that wait, too" in each for each in warnings(routing_settings(), parse_config(plain))
    )
    assert not any("that wait" in each for each in warnings(routing_settings(), parse_config(in_one)))
    assert seats_of(rules(in_one))[0].labels == ("modal/profile=p",)
