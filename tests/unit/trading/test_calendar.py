"""Sessions: half days, holidays, zones; asked by date and by interval, never by weekday."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from trading.calendar import Sessions, bar_label, exchange_sessions
from trading.errors import InputError


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_sessions_know_holidays_half_days_and_daylight_saving() -> None:
    found = {
        session.session_date: session for session in exchange_sessions("XNYS", date(2012, 11, 1), date(2012, 11, 26))
    }
    assert date(2012, 11, 22) not in found  # Thanksgiving
    assert found[date(2012, 11, 2)].closes_at == _utc("2012-11-02T20:00")  # still summer time
    assert found[date(2012, 11, 5)].closes_at == _utc("2012-11-05T21:00")
    assert found[date(2012, 11, 23)].closes_at == _utc("2012-11-23T18:00")  # 13:00 in New York


def test_sessions_of_decades_ago_are_there() -> None:
    assert exchange_sessions("XNYS", date(1987, 10, 19), date(1987, 10, 19))[0].opens_at == _utc("1987-10-19T13:30")


def test_a_closing_that_nobody_planned_is_no_session() -> None:
    assert exchange_sessions("XNYS", date(2001, 9, 11), date(2001, 9, 14)) == []
    assert exchange_sessions("XNYS", date(2012, 10, 29), date(2012, 10, 30)) == []


def test_a_market_that_never_closes_has_a_session_each_day() -> None:
    found = exchange_sessions("24/7", date(2022, 1, 1), date(2022, 1, 3))
    assert [session.session_date.day for session in found] == [1, 2, 3]
    assert found[0].closes_at == found[1].opens_at == _utc("2022-01-02T00:00")


def test_an_unknown_calendar_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="the name of an exchange calendar such as XNYS or 24/7, found 'MARS'"):
        exchange_sessions("MARS", date(2012, 1, 1), date(2012, 1, 31))


def test_sessions_answer_by_date_and_by_overlap() -> None:
    sessions = Sessions.of(reversed(exchange_sessions("XNYS", date(2024, 5, 24), date(2024, 5, 31))))
    assert sessions.on(date(2024, 5, 27)) is None  # Memorial Day
    friday, tuesday = sessions.on(date(2024, 5, 24)), sessions.on(date(2024, 5, 28))
    assert friday is not None
    assert sessions.at_or_after(date(2024, 5, 25)) == tuesday
    assert sessions.at_or_after(date(2024, 6, 1)) is None
    hour = timedelta(hours=1)
    before_the_open = friday.opens_at - timedelta(minutes=30)
    assert sessions.overlapping(before_the_open, before_the_open + hour) == friday
    assert sessions.overlapping(friday.closes_at, friday.closes_at + hour) is None


def test_a_daily_bar_is_labelled_by_midnight_utc_of_its_date() -> None:
    assert bar_label(date(2024, 5, 31)) == _utc("2024-05-31T00:00")


def test_a_break_divides_a_session_and_a_day_without_one_is_whole() -> None:
    # The eve of the lunar new year is half a day.
    days = exchange_sessions("XHKG", date(2022, 1, 28), date(2022, 1, 31))
    assert [session.stretches for session in days] == [
        (
            (_utc("2022-01-28T01:30"), _utc("2022-01-28T04:00")),
            (_utc("2022-01-28T05:00"), _utc("2022-01-28T08:00")),
        ),
        ((_utc("2022-01-31T01:30"), _utc("2022-01-31T04:00")),),
    ]


def test_sessions_between_two_days_include_both() -> None:
    sessions = Sessions.of(exchange_sessions("XNYS", date(2024, 5, 20), date(2024, 6, 7)))
    found = sessions.between(date(2024, 5, 25), date(2024, 5, 29))  # Saturday to Wednesday, Monday is Memorial Day
    assert [session.session_date.day for session in found] == [28, 29]
    assert sessions.between(date(2024, 5, 25), date(2024, 5, 27)) == ()
