"""The order of a feed's messages: repeats, late ones, holes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trading.feed.batching import batches
from trading.feed.messages import Hole, Message
from trading.feed.sequencer import Sequencer

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
MINUTE, LATE = timedelta(minutes=1), timedelta(seconds=2)


def bar(minute: int, *, symbol: str = "A", line: str = "", corrects: bool = False) -> Message:
    at = NOW + minute * MINUTE
    return Message("prices", symbol, at, at.isoformat(), line or f"bar {minute}", corrects=corrects)


def trade(number: int, *, counted: bool = True, second: float = 0.0) -> Message:
    at = NOW + timedelta(seconds=second)
    return Message("trades", "A", at, str(number), f"trade {number}", sequence=number if counted else None)


def lines(messages: list[Message]) -> list[str]:
    return [message.line for message in messages]


def test_bars_that_follow_each_other_go_on_at_once():
    order = Sequencer(MINUTE, LATE)
    assert [lines(order.take(bar(minute), NOW)) for minute in (0, 1, 2)] == [["bar 0"], ["bar 1"], ["bar 2"]]
    assert order.next_due() is None


def test_a_repeat_is_left_out_and_a_correction_is_not():
    order = Sequencer(MINUTE, LATE)
    order.take(bar(0), NOW)
    assert order.take(bar(0), NOW) == []
    assert lines(order.take(bar(0, line="other words", corrects=True), NOW)) == ["other words"]
    assert (order.counts.taken, order.counts.repeated, order.counts.late) == (3, 1, 0)


def test_a_bar_that_came_too_early_waits_for_the_one_before_it():
    order = Sequencer(MINUTE, LATE)
    order.take(bar(0), NOW)
    assert order.take(bar(2), NOW) == []
    assert order.next_due() == NOW + LATE
    assert lines(order.take(bar(1), NOW)) == ["bar 1", "bar 2"]
    assert order.holes() == []


def test_what_does_not_come_within_the_lateness_is_a_hole():
    order = Sequencer(MINUTE, LATE)
    order.take(bar(0), NOW)
    order.take(bar(3), NOW)
    order.take(bar(4), NOW + MINUTE)
    assert order.due(NOW + LATE - timedelta(microseconds=1)) == []
    assert lines(order.due(NOW + LATE)) == ["bar 3", "bar 4"]
    assert order.holes() == [Hole("prices", "A", NOW, NOW + 3 * MINUTE)]
    assert order.holes() == []


def test_what_comes_later_still_goes_on_and_is_counted():
    order = Sequencer(MINUTE, LATE)
    order.take(bar(1), NOW)
    assert lines(order.take(bar(0), NOW)) == ["bar 0"]
    assert order.counts.late == 1
    assert lines(order.take(bar(2), NOW)) == ["bar 2"]


def test_series_do_not_wait_for_each_other():
    order = Sequencer(MINUTE, LATE)
    order.take(bar(0), NOW)
    order.take(bar(5), NOW)
    assert lines(order.take(bar(0, symbol="B"), NOW)) == ["bar 0"]


def test_bars_that_came_another_way_are_not_waited_for():
    order = Sequencer(MINUTE, LATE)
    order.bars_are_here({"A": NOW + 4 * MINUTE})
    assert lines(order.take(bar(5), NOW)) == ["bar 5"]
    order.bars_are_here({"A": NOW})
    assert lines(order.take(bar(6), NOW)) == ["bar 6"]


def test_what_waited_while_later_bars_came_another_way_leaves_no_hole_and_holds_up_nobody():
    """After a reconnect: bar 2 waited for bar 1, and the pages brought all up to bar 5."""
    order = Sequencer(MINUTE, LATE)
    order.take(bar(0), NOW)
    assert order.take(bar(2), NOW) == []
    order.bars_are_here({"A": NOW + 5 * MINUTE})
    assert lines(order.due(NOW + LATE)) == ["bar 2"]
    assert order.holes() == []
    assert lines(order.take(bar(6), NOW + LATE)) == ["bar 6"]
    numbered = Sequencer(MINUTE, LATE)
    numbered.take(trade(10), NOW)
    numbered.take(trade(12), NOW)
    numbered.trades_are_here({"A": (NOW, 20)})
    assert lines(numbered.due(NOW + LATE)) == ["trade 12"]
    assert numbered.holes() == []
    assert lines(numbered.take(trade(21), NOW)) == ["trade 21"]


def test_numbered_trades_are_in_the_order_of_their_numbers():
    order = Sequencer(MINUTE, LATE)
    order.take(trade(7), NOW)
    assert order.take(trade(9), NOW) == []
    assert lines(order.take(trade(8), NOW)) == ["trade 8", "trade 9"]


def test_trades_without_numbers_wait_and_go_on_by_their_moments():
    order = Sequencer(MINUTE, LATE)
    order.take(trade(2, counted=False, second=1), NOW)
    order.take(trade(1, counted=False, second=0.5), NOW)
    assert lines(order.due(NOW + LATE)) == ["trade 1", "trade 2"]
    assert order.holes() == []


@given(st.permutations(list(range(8))), st.lists(st.integers(0, 7), max_size=8))
def test_any_order_within_the_lateness_with_any_repeats_gives_each_bar_once_in_order(
    order: list[int], again: list[int]
):
    sequencer = Sequencer(MINUTE, LATE)
    sequencer.bars_are_here({"A": NOW - MINUTE})
    found = [message for minute in [*order, *again] for message in sequencer.take(bar(minute), NOW)]
    assert lines(found) == [f"bar {minute}" for minute in range(8)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=30))
def test_nothing_is_lost_whatever_comes_in_whatever_order(told: list[tuple[int, int]]):
    sequencer = Sequencer(MINUTE, LATE)
    found: list[Message] = []
    for at, (minute, words) in enumerate(told):
        now = NOW + at * timedelta(seconds=1)
        found += sequencer.take(bar(minute, line=f"{minute} {words}"), now)
        found += sequencer.due(now)
    found += sequencer.due(NOW + timedelta(days=1))
    assert {message.line for message in found} == {f"{minute} {words}" for minute, words in told}


def test_a_batch_never_holds_two_words_about_one_bar():
    several = [bar(0), bar(1), bar(0, line="corrected", corrects=True), trade(1)]
    assert [lines(batch) for batch in batches(several)] == [["bar 0", "bar 1"], ["corrected"], ["trade 1"]]


def test_the_correction_of_a_trade_stands_alone():
    fixed = Message("trades", "A", NOW, "c 2", "fixed", corrects=True)
    assert [lines(batch) for batch in batches([trade(1), fixed, trade(3), trade(4)])] == [
        ["trade 1"],
        ["fixed"],
        ["trade 3", "trade 4"],
    ]
