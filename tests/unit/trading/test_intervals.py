"""Intervals: one name each, and the period of a calendar that holds a moment or that a delivered bar is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from trading.calendar import Session, Sessions, exchange_sessions
from trading.errors import InputError
from trading.intervals import Interval, Period, period_at, period_of, periods_of_session


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def around(calendar: str, first: str, last: str) -> Sessions:
    return Sessions.of(exchange_sessions(calendar, date.fromisoformat(first), date.fromisoformat(last)))


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("1m", timedelta(minutes=1)),
        ("90m", timedelta(minutes=90)),
        ("1h", timedelta(hours=1)),
        ("4h", timedelta(hours=4)),
        ("1d", timedelta(days=1)),
        ("1w", timedelta(days=7)),
        ("1mo", timedelta(days=31)),
    ],
)
def test_an_interval_has_a_length_and_keeps_its_name(name: str, length: timedelta) -> None:
    assert Interval.parse(name).length == length
    assert Interval.parse(name).name == name


@pytest.mark.parametrize("name", ["", "d", "0m", "-1h", "1.5h", "1M", "1 h", "05m", "1min", "1y", "١m"])
def test_what_is_no_number_and_unit_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected an interval such as 1m"):
        Interval.parse(name)


@pytest.mark.parametrize("name", ["24h", "1440m", "2d", "2w", "3mo"])
def test_what_no_calendar_can_place_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="shorter than a day, 1d, 1w or 1mo"):
        Interval.parse(name)
    assert Interval.stored(name).name == name  # what earlier releases stored can still be read


def test_a_length_has_one_name_so_that_one_series_does_not_become_two() -> None:
    with pytest.raises(InputError, match="expected the interval 4h, found '240m'"):
        Interval.parse("240m")


def test_labels_are_midnight_of_the_session_the_monday_and_the_first() -> None:
    day = date(2024, 5, 31)  # a Friday
    assert Interval.parse("1d").label(day) == at("2024-05-31")
    assert Interval.parse("1w").label(day) == at("2024-05-27")  # a holiday, and yet the label
    assert Interval.parse("1mo").label(day) == at("2024-05-01")
    with pytest.raises(InputError, match="named by their start"):
        Interval.parse("1h").label(day)


def test_a_month_ends_where_the_next_begins() -> None:
    month = Interval.parse("1mo")
    assert month.label_end(at("2024-02-01")) == at("2024-03-01")
    assert month.label_end(at("2023-12-01")) == at("2024-01-01")
    assert Interval.parse("1w").label_end(at("2024-02-26")) == at("2024-03-04")
    assert Interval.parse("4h").label_end(at("2024-02-29T22:00")) == at("2024-03-01T02:00")


def test_intraday_periods_begin_at_the_opening_and_the_last_ends_with_the_session() -> None:
    hour, sessions = Interval.parse("1h"), around("XNYS", "2024-07-01", "2024-07-05")
    assert period_at(hour, at("2024-07-02T13:30"), sessions) == Period(
        at("2024-07-02T13:30"), at("2024-07-02T13:30"), at("2024-07-02T14:30")
    )
    assert period_at(hour, at("2024-07-02T19:59:59.999999"), sessions) == Period(
        at("2024-07-02T19:30"), at("2024-07-02T19:30"), at("2024-07-02T20:00")
    )
    assert period_at(hour, at("2024-07-03T16:59"), sessions) == Period(  # a half day closes at 13:00 in New York
        at("2024-07-03T16:30"), at("2024-07-03T16:30"), at("2024-07-03T17:00")
    )
    for closed in ("2024-07-02T13:29:59", "2024-07-02T20:00", "2024-07-03T17:00", "2024-07-04T15:00"):
        assert period_at(hour, at(closed), sessions) is None


def test_the_opening_moves_with_the_clocks_of_its_exchange() -> None:
    quarter = Interval.parse("15m")
    for calendar, before, after in (
        ("XNYS", "2024-03-08T14:30", "2024-03-11T13:30"),
        ("XLON", "2024-03-28T08:00", "2024-04-02T07:00"),
    ):
        sessions = around(calendar, "2024-03-01", "2024-04-05")
        for opening in (before, after):
            found = period_at(quarter, at(opening) + timedelta(minutes=14), sessions)
            assert found == Period(at(opening), at(opening), at(opening) + timedelta(minutes=15))


def test_after_a_lunch_break_the_periods_begin_anew() -> None:
    tokyo = around("XTKS", "2024-06-03", "2024-06-03").ordered[0]  # 09:00-11:30 and 12:30-15:00 in Tokyo
    starts = [period.starts_at for period in periods_of_session(Interval.parse("1h"), tokyo)]
    assert starts == [at(f"2024-06-03T{moment}") for moment in ("00:00", "01:00", "02:00", "03:30", "04:30", "05:30")]
    sessions = Sessions.of([tokyo])
    assert period_at(Interval.parse("1h"), at("2024-06-03T02:30"), sessions) is None  # lunch
    short = period_at(Interval.parse("1h"), at("2024-06-03T02:29"), sessions)
    assert short is not None
    assert short.ends_at == at("2024-06-03T02:30")
    assert len(list(periods_of_session(Interval.parse("4h"), tokyo))) == 2


def test_without_a_break_the_clock_runs_through_the_day() -> None:
    sessions = around("24/7", "2024-02-28", "2024-03-02")
    assert period_at(Interval.parse("4h"), at("2024-02-29T23:59"), sessions) == Period(
        at("2024-02-29T20:00"), at("2024-02-29T20:00"), at("2024-03-01")
    )
    saturday = period_at(Interval.parse("1d"), at("2024-03-02T12:00"), sessions)
    assert saturday == Period(at("2024-03-02"), at("2024-03-02"), at("2024-03-03"))


def test_a_session_that_opens_on_the_eve_belongs_to_its_own_date() -> None:
    sessions = around("CMES", "2024-05-20", "2024-06-07")  # futures open at 17:00 in Chicago the evening before
    eve = at("2024-06-02T22:30")  # Sunday evening
    day = period_at(Interval.parse("1d"), eve, sessions)
    assert day is not None
    assert (day.timestamp, day.starts_at) == (at("2024-06-03"), at("2024-06-02T22:00"))
    week = period_at(Interval.parse("1w"), eve, sessions)
    assert week is not None
    assert week.timestamp == at("2024-06-03")


def test_weeks_and_months_run_from_their_first_opening_to_their_last_close() -> None:
    sessions = around("XNYS", "2024-02-25", "2024-04-30")
    good_friday_week = Period(at("2024-03-25"), at("2024-03-25T13:30"), at("2024-03-28T20:00"))
    assert period_of(Interval.parse("1w"), at("2024-03-25"), sessions) == good_friday_week
    assert period_at(Interval.parse("1w"), at("2024-03-27T15:00"), sessions) == good_friday_week
    march = Period(at("2024-03-01"), at("2024-03-01T14:30"), at("2024-03-28T20:00"))  # the clocks change within it
    assert period_of(Interval.parse("1mo"), at("2024-03-01"), sessions) == march


def test_a_label_that_is_no_monday_or_first_names_no_period() -> None:
    sessions = around("XNYS", "2024-02-25", "2024-04-30")
    assert period_of(Interval.parse("1w"), at("2024-03-26"), sessions) is None
    assert period_of(Interval.parse("1mo"), at("2024-03-04"), sessions) is None
    assert period_of(Interval.parse("1d"), at("2024-03-29"), sessions) is None  # Good Friday
    assert period_of(Interval.parse("1w"), at("2024-03-25T13:30"), sessions) is None


def test_a_delivered_bar_keeps_its_start_and_ends_with_its_session_at_the_latest() -> None:
    half_day = Session(date(2024, 7, 3), at("2024-07-03T13:30"), at("2024-07-03T17:00"))
    sessions, hour = Sessions.of([half_day]), Interval.parse("1h")
    ends = {start: period_of(hour, at(f"2024-07-03T{start}"), sessions) for start in ("13:00", "16:00", "16:30")}
    assert [period.ends_at.time().isoformat("minutes") for period in ends.values() if period] == [
        "14:00",  # cut by the vendor's own grid: half of it before the opening
        "17:00",
        "17:00",
    ]
    assert period_of(hour, at("2024-07-03T17:00"), sessions) is None
    assert period_of(hour, at("2024-07-03T12:30"), sessions) is None


def test_a_week_that_may_have_more_sessions_than_are_known_ends_with_its_sunday() -> None:
    week, known = Interval.parse("1w"), around("XNYS", "2024-05-20", "2024-05-22")
    running = period_of(week, at("2024-05-20"), known)
    assert running is not None
    assert running.ends_at == at("2024-05-27")
    planned = around("XNYS", "2024-05-20", "2024-05-28")
    over = period_of(week, at("2024-05-20"), planned)
    assert over is not None
    assert over.ends_at == at("2024-05-24T20:00")
