"""When a vendor that is not listened to is asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from trading.calendar import Session, Sessions
from trading.feed.polling import next_poll
from trading.intervals import Interval


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


# Thursday, Friday (a half day), Monday.
NEW_YORK = Sessions.of(
    Session(date(2026, 11, day), at(day, 14, 30), at(day, *closes))
    for day, closes in ((19, (21,)), (20, (18,)), (23, (21,)))
)
LAG = timedelta(minutes=15)


def test_a_day_is_asked_for_after_its_close_and_its_lag():
    def asked(after: datetime) -> datetime | None:
        return next_poll(after, Interval.parse("1d"), LAG, {"XNYS": NEW_YORK})

    assert asked(at(19, 20)) == at(19, 21, 15)
    assert asked(at(19, 21, 15)) == at(20, 18, 15)
    assert asked(at(20, 19)) == at(23, 21, 15)
    assert asked(at(23, 22)) is None


def test_bars_within_the_day_are_asked_for_as_each_ends_and_not_by_night():
    def asked(after: datetime) -> datetime | None:
        return next_poll(after, Interval.parse("5m"), LAG, {"XNYS": NEW_YORK})

    assert asked(at(19, 15, 0)) == at(19, 15, 5)
    assert asked(at(19, 15, 5)) == at(19, 15, 10)
    assert asked(at(19, 21, 15)) == at(20, 14, 50)
    assert asked(at(20, 18, 12)) == at(20, 18, 15)


def test_the_earliest_of_several_calendars_counts():
    always = Sessions.of([Session(date(2026, 11, 20), at(20, 0), at(21, 0))])
    found = next_poll(at(20, 2, 30), Interval.parse("1h"), timedelta(0), {"XNYS": NEW_YORK, "24/7": always})
    assert found == at(20, 3)
