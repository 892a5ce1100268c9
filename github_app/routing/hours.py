"""Hours of the week, as an administrator writes them: `Mon-Fri 08-19 Europe/Berlin`. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_FORM = re.compile(
    rf"(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?\s+"
    r"(?P<begin>\d{1,2}(?::\d\d)?)-(?P<end>\d{1,2}(?::\d\d)?)\s+(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*)",
    re.IGNORECASE,
)
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True)
class Hours:
    """From one minute of a day to another, on some days of the week (Monday is 0), in a time zone.

    An end that is not after the begin is on the next day.
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: ZoneInfo

    def include(self, now: float) -> bool:
        """Tell whether a moment (Unix seconds) lies within."""
        here = datetime.fromtimestamp(now, self.zone)
        minute = here.hour * 60 + here.minute
        if self.begin < self.end:
            return here.weekday() in self.days and self.begin <= minute < self.end
        yesterday = (here - timedelta(days=1)).weekday()
        return (here.weekday() in self.days and minute >= self.begin) or (yesterday in self.days and minute < self.end)

    @property
    def a_week(self) -> float:
        """How many hours of a week these are."""
        length = self.end - self.begin if self.begin < self.end else self.end - self.begin + _MINUTES_A_DAY
        return len(self.days) * length / 60


def parse_hours(text: str) -> Hours:
    """Read hours.

    Raises:
        ValueError: says how to write them.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not of the form 'Mon-Fri 08-19 Europe/Berlin'")
    first = _DAYS.index(found["first"].lower())
    last = _DAYS.index((found["last"] or found["first"]).lower())
    days = frozenset((first + each) % 7 for each in range((last - first) % 7 + 1))
    try:
        zone = ZoneInfo(found["zone"])
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{found['zone']!r} is no time zone; write for example 'Europe/Berlin' or 'UTC'") from None
    return Hours(days, _minute(found["begin"]), _minute(found["end"]), zone)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    found = int(hour) * 60 + int(minute or 0)
    if found > _MINUTES_A_DAY or int(minute or 0) > 59:
        raise ValueError(f"{text!r} is no time of day; hours go from 0 to 24")
    return found
