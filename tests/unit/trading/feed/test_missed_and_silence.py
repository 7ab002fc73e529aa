"""What to ask for after an absence, when a silence is a stall, how long to wait before connecting anew."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from trading.calendar import Session, Sessions
from trading.feed.backoff import Backoff
from trading.feed.messages import Hole
from trading.feed.missed import (
    Missed,
    floored,
    missed_in,
    missed_since,
    trades_missed_in,
    trades_missed_since,
)
from trading.feed.silence import Schedule, is_stalled

MINUTE = timedelta(minutes=1)


def at(hour: int, minute: int = 0, day: int = 20) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


NEW_YORK = Sessions.of(
    [Session(date(2026, 11, 19), at(14, 30, 19), at(21, 0, 19)), Session(date(2026, 11, 20), at(14, 30), at(21, 0))]
)


def test_bars_are_missed_from_the_newest_that_is_here_to_the_newest_that_is_over():
    now = at(15, 10) + timedelta(seconds=31)
    newest = {"AAPL": at(15, 2), "MSFT": at(15, 5), "IBM": at(15, 9)}
    assert missed_since(newest, now, MINUTE) == Missed(("AAPL", "MSFT"), at(15, 2), at(15, 10))
    assert missed_since({"IBM": at(15, 9)}, now, MINUTE) is None
    assert missed_since({}, now, MINUTE) is None


def test_trades_are_missed_since_the_newest_that_is_here_for_as_long_as_it_is_worth_it():
    newest = {"MSFT": at(14, 50), "AAPL": at(12), "LATER": at(15, 30)}
    asked = Missed(("AAPL", "MSFT"), at(14), at(15), "trades")
    assert trades_missed_since(newest, at(15), timedelta(hours=1)) == (asked, [Hole("trades", "AAPL", at(12), at(14))])
    everything = Missed(("AAPL", "MSFT"), at(12), at(15), "trades")
    assert trades_missed_since(newest, at(15), None) == (everything, [])
    assert trades_missed_since({}, at(15), None) == (None, [])


def test_holes_of_trades_are_asked_for_symbol_by_symbol_with_the_trades_around_them():
    holes = [
        Hole("trades", "IBM", at(9, 30), at(10), 7, 8),
        Hole("prices", "MSFT", at(15, 1), at(15, 4)),
        Hole("trades", "IBM", at(9), at(9, 10), 3, 3),
        Hole("trades", "GE", at(11), at(12)),
    ]
    after = timedelta(microseconds=1)
    assert trades_missed_in(holes) == [
        Missed(("GE",), at(11), at(12) + after, "trades"),
        Missed(("IBM",), at(9), at(10) + after, "trades"),
    ]


def test_holes_of_bars_are_asked_for_together_and_those_of_trades_apart():
    holes = [
        Hole("prices", "MSFT", at(15, 1), at(15, 4)),
        Hole("prices", "AAPL", at(15, 0), at(15, 2)),
        Hole("trades", "IBM", at(9), at(10)),
    ]
    assert missed_in(holes, MINUTE) == Missed(("AAPL", "MSFT"), at(15, 1), at(15, 4))
    assert missed_in(holes[2:], MINUTE) is None


def test_a_moment_is_floored_to_a_whole_bar():
    assert floored(at(15, 7) + timedelta(seconds=59, microseconds=3), timedelta(minutes=5)) == at(15, 5)
    assert floored(at(15, 5), timedelta(minutes=5)) == at(15, 5)


def test_a_night_is_no_stall_and_the_same_silence_in_a_session_is():
    schedule, limit = Schedule.of({"XNYS": NEW_YORK}), timedelta(minutes=3)
    assert not is_stalled(at(20, 58, 19), at(14, 30), limit, schedule)
    assert not is_stalled(at(20, 58, 19), at(14, 31), limit, schedule)
    assert is_stalled(at(20, 58, 19), at(14, 32), limit, schedule)
    assert is_stalled(at(15, 0), at(15, 4), limit, schedule)


def test_what_always_trades_has_no_night():
    schedule = Schedule.of({"XNYS": NEW_YORK, "24/7": Sessions.of([])})
    assert is_stalled(at(3, 0), at(3, 4), timedelta(minutes=3), schedule)


def test_waits_double_up_to_the_longest_and_jitter_takes_up_to_half():
    backoff = Backoff(first=1, longest=10)
    assert [backoff.wait(attempt, max) for attempt in (1, 2, 3, 4, 5, 500)] == [1, 2, 4, 8, 10, 10]
    assert [backoff.wait(attempt, min) for attempt in (1, 2, 5)] == [0.5, 1, 5]
