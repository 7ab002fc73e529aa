"""Bar intervals from one minute to one month: their names, and the period of a calendar that a bar is about.

`5m 1h 1d 1w 1mo`: a whole number and a unit; minutes and hours shorter than a day, one session, one week, one month.
Intraday periods begin anew at the opening of each session and after its break, and end with it. A week is Monday to
Sunday, a month the month of the date, each of session dates. Pure: sessions come in, nothing is read. The SQL twin is
`features.period_start` and `features.periods`; what a finer series makes of a coarser period is trading/resampling.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, cast

from trading.calendar import Session, Sessions
from trading.errors import InputError

Unit = Literal["m", "h", "d", "w", "mo"]

_NAME = re.compile(r"([1-9][0-9]{0,5})(m|h|d|w|mo)", re.ASCII)
_DAY = timedelta(days=1)
_EXAMPLES = "1m, 15m, 1h, 1d, 1w or 1mo"
_LENGTHS: dict[Unit, timedelta] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": _DAY,
    "w": timedelta(weeks=1),
    "mo": timedelta(days=31),  # the longest: for limits, never for arithmetic with labels
}


@dataclass(frozen=True)
class Interval:
    """The length of a bar by its name."""

    count: int
    unit: Unit

    @classmethod
    def parse(cls, name: str) -> Interval:
        """Return the interval of this name; each has one name only (`1h`, not `60m`).

        Raises:
            InputError: no such interval, one that no calendar can place (2d, 3mo), or a second name of another.
        """
        interval = cls.stored(name)
        if interval.unit in ("m", "h") and interval.length < _DAY:
            if interval.unit == "m" and interval.count % 60 == 0:
                raise InputError(f"expected the interval {interval.count // 60}h, found {name!r}: write {name} so")
            return interval
        if interval.count != 1 or interval.unit in ("m", "h"):
            raise InputError(
                f"expected an interval in minutes or hours shorter than a day, 1d, 1w or 1mo, found {name!r}"
            )
        return interval

    @classmethod
    def stored(cls, name: str) -> Interval:
        """Return the interval of a name as earlier releases took it: any whole number and unit.

        Raises:
            InputError: not a whole number and one of m, h, d, w, mo.
        """
        return _named(name)

    @property
    def name(self) -> str:
        """The name: `15m`."""
        return f"{self.count}{self.unit}"

    @property
    def length(self) -> timedelta:
        """The length of a bar; of a month the longest, 31 days."""
        return self.count * _LENGTHS[self.unit]

    @property
    def is_intraday(self) -> bool:
        """Whether a session has several bars: the timestamp is then the bar's start and not a label."""
        return self.unit in ("m", "h")

    def label(self, day: date) -> datetime:
        """Return the timestamp of the daily, weekly or monthly bar that the session of `day` belongs to.

        Raises:
            InputError: the interval is intraday; its bars are named by their start.
        """
        if self.is_intraday:
            raise InputError(f"expected 1d, 1w or 1mo, found {self.name}: its bars are named by their start")
        first = {"d": day, "w": day - timedelta(days=day.weekday()), "mo": day.replace(day=1)}[self.unit]
        return datetime.combine(first, time(), UTC)

    def label_end(self, label: datetime) -> datetime:
        """Return the end of what a timestamp spans by the clock or the calendar: a month's is the next month's first."""
        if self.unit != "mo":
            return label + self.length
        months = label.year * 12 + label.month - 1 + self.count
        return label.replace(year=months // 12, month=months % 12 + 1)


def refuse_other_than_daily(interval: str, what: str) -> None:
    """Raise InputError where `what` is asked for on another interval than the one it knows.

    Raises:
        InputError: the interval is not 1d.
    """
    if Interval.stored(interval).name != "1d":
        raise InputError(f"expected the interval 1d, found {interval!r}: {what}, once a session; ask for 1d")


@lru_cache(maxsize=64)  # asked for each bar
def _named(name: str) -> Interval:
    found = _NAME.fullmatch(name)
    if found is None:
        raise InputError(f"expected an interval such as {_EXAMPLES}, found {name!r}")
    return Interval(int(found[1]), cast(Unit, found[2]))


@dataclass(frozen=True, order=True)
class Period:
    """What one bar is about: its `timestamp`, and from when to when its sessions trade (UTC, the end excluded)."""

    timestamp: datetime
    starts_at: datetime
    ends_at: datetime


def period_at(interval: Interval, moment: datetime, sessions: Sessions) -> Period | None:
    """Return the period that trades at `moment`; None where the exchange is closed (at a break too, if intraday).

    Of a week or a month as `period_of` says.
    """
    session = sessions.overlapping(moment, moment + timedelta.resolution)
    if session is None:
        return None
    if not interval.is_intraday:
        return period_of(interval, interval.label(session.session_date), sessions)
    for opens_at, closes_at in session.stretches:
        if opens_at <= moment < closes_at:
            starts_at = opens_at + (moment - opens_at) // interval.length * interval.length
            return Period(starts_at, starts_at, min(starts_at + interval.length, closes_at))
    return None


def period_of(interval: Interval, timestamp: datetime, sessions: Sessions) -> Period | None:
    """Return what a delivered bar of this timestamp is about; None where no session trades inside it.

    An intraday bar may be cut by a grid of its vendor's own, so it begins where it says and ends after its length, and
    never past the close of its session: the 15:30 bar of an hourly file ends at 16:00. A week or a month ends with its
    last session, known by a later session in `sessions`; without one it ends with its last day, which is safe.
    """
    end = interval.label_end(timestamp)
    if interval.is_intraday:
        session = sessions.overlapping(timestamp, end)
        return None if session is None else Period(timestamp, timestamp, min(end, session.closes_at))
    if timestamp != interval.label(timestamp.date()):
        return None
    inside = sessions.between(timestamp.date(), end.date() - _DAY)
    if not inside:
        return None
    closes_at = inside[-1].closes_at
    if interval.unit != "d" and sessions.dates[-1] < end.date():
        closes_at = max(closes_at, end)
    return Period(timestamp, inside[0].opens_at, closes_at)


def periods_of_session(interval: Interval, session: Session) -> Iterator[Period]:
    """Yield the intraday periods of a session in order: from each opening on, the last one up to the close."""
    for opens_at, closes_at in session.stretches:
        starts_at = opens_at
        while starts_at < closes_at:
            yield Period(starts_at, starts_at, min(starts_at + interval.length, closes_at))
            starts_at += interval.length
