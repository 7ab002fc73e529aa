"""Each style by hand: which print closes a bar, what is in it, and when it is known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from trading.calendar import Session, Sessions
from trading.chart_bars.chart import Chart
from trading.chart_bars.grid import Grid
from trading.chart_bars.machine import MOST_BRICKS, Machine
from trading.chart_bars.prints import Print
from trading.chart_bars.state import State
from trading.errors import InputError
from trading.identity import epoch_micros
from trading.intervals import Interval

MONDAY = date(2024, 6, 3)


def moment(hour: int, minute: int, day: int = 3) -> int:
    return epoch_micros(datetime(2024, 6, day, hour, minute, tzinfo=UTC))


def grid(interval: str) -> Grid:
    sessions = [
        Session(date(2024, 6, day), *(datetime(2024, 6, day, hour, tzinfo=UTC) for hour in (14, 20))) for day in (3, 4)
    ]
    return Grid(Interval.parse(interval), Sessions.of(sessions))


def fed(style: str, parameter: str, *prices: float, sizes: Any = None) -> list[tuple[Any, ...]]:
    """Feed one print per second; return start, end (seconds), open, high, low, close, volume and prints of each bar."""
    machine, found = Machine(Chart.of(style, parameter)), []
    for second, price in enumerate(prices):
        size = sizes[second] if sizes else 1
        one = Print.of_trade(second, str(second), round(price * 10**6), round(size * 10**8), second + 7)
        found += list(machine.feed(one))
    assert all(bar.known_at == bar.closed_at + 7 for bar in found)
    return [
        (bar.timestamp, bar.ended_at, *(price / 1e6 for price in bar[4:8]), bar.volume / 1e8, bar.prints)
        for bar in found
    ]


def test_a_tick_bar_closes_with_its_last_print() -> None:
    assert fed("tick", "3", 10, 12, 9, 11, 11, 11, 8) == [(0, 2, 10, 12, 9, 9, 3, 3), (3, 5, 11, 11, 11, 11, 3, 3)]


def test_a_volume_bar_keeps_its_last_print_whole_and_the_next_begins_at_nothing() -> None:
    found = fed("volume", "10", 5, 6, 7, 8, sizes=(4, 30, 9, 1))
    assert found == [(0, 1, 5, 6, 5, 6, 34, 2), (2, 3, 7, 8, 7, 8, 10, 2)]


def test_a_dollar_bar_counts_price_times_size() -> None:
    assert fed("dollar", "100", 5, 6, 7, 100, sizes=(8, 10, 1, 1)) == [
        (0, 1, 5, 6, 5, 6, 18, 2),
        (2, 3, 7, 100, 7, 100, 2, 2),
    ]


def test_no_sum_is_rounded() -> None:
    third = "0.33333333"
    assert len(fed("volume", "0.99999999", 1, 1, 1, sizes=[float(third)] * 3)) == 1
    assert fed("volume", "1", 1, 1, 1, sizes=[float(third)] * 3) == []


def test_a_range_bar_holds_only_prices_that_were_traded() -> None:
    found = fed("range", "1", 10, 10.5, 9.4, 9.5, 15, 15.2, 14.2)
    assert found == [
        (0, 2, 10, 10.5, 9.4, 9.4, 3, 3),  # 1.1 wide: nobody traded at 9.5 before it closed
        (3, 4, 9.5, 15, 9.5, 15, 2, 2),  # a jump is one bar: no bars are made up in between
        (5, 6, 15.2, 15.2, 14.2, 14.2, 2, 2),
    ]


def test_a_renko_brick_lies_on_the_grid_and_a_reversal_takes_two() -> None:
    found = fed("renko", "1", 10.4, 11.1, 10.1, 9.9, 9.0, 11.0)
    assert found == [
        (0, 1, 10, 11, 10, 11, 2, 2),
        # 10.1 and 9.9 lie within two bricks of 11
        (2, 4, 10, 10, 9, 9, 3, 3),
        (5, 5, 10, 11, 10, 11, 1, 1),
    ]


def test_one_print_closes_several_bricks_and_only_the_last_says_where_to_go_on() -> None:
    machine = Machine(Chart.of("renko", "1"))
    assert len(machine.feed(Print.of_trade(0, "a", 10_000_000, 5, 0))) == 0
    bars = list(machine.feed(Print.of_trade(9, "b", 13_200_000, 7, 9)))
    assert [(bar.timestamp, bar.sequence, bar.volume, bar.prints) for bar in bars] == [
        (0, 0, 12, 2),
        (9, 0, 0, 0),
        (9, 1, 0, 0),
    ]
    assert [(bar.last_at, bar.last_id) for bar in bars] == [(None, None), (None, None), (9, "b")]
    with pytest.raises(ValueError, match="expected the last bar that its print closed"):
        State.after_bar("renko", bars[0])


def test_a_brick_far_too_small_is_refused_before_it_fills_the_disk() -> None:
    machine = Machine(Chart.of("renko", "0.000001"))
    machine.feed(Print.of_trade(0, "a", 100_000_000, 1, 0))
    with pytest.raises(InputError, match=f"expected at most {MOST_BRICKS} bricks of one print"):
        machine.feed(Print.of_trade(1, "b", 101_000_000, 1, 0))


def test_bars_that_start_in_one_moment_are_numbered() -> None:
    machine = Machine(Chart.of("tick", "1"))
    found = [bar for at in (5, 5, 6, 6, 6) for bar in machine.feed(Print.of_trade(at, "", 1, 1, at))]
    assert [(bar.timestamp, bar.sequence) for bar in found] == [(5, 0), (5, 1), (6, 0), (6, 1), (6, 2)]


def test_a_bar_over_time_is_closed_by_the_first_print_of_a_later_period() -> None:
    machine = Machine(Chart.of("time", "1h"), grid=grid("1h"))
    found = []
    for hour, minute, price in ((13, 59, 1), (14, 5, 10), (14, 59, 12), (16, 0, 9), (20, 0, 99)):
        at = moment(hour, minute)
        found += list(machine.feed(Print.of_trade(at, "", price * 10**6, 1, at + 60)))
    (bar,) = found  # 13:59 and 20:00 lie off the session; the bar of 16:00 is open
    assert (bar.timestamp, bar.ended_at, bar.closed_at) == (moment(14, 0), moment(15, 0), moment(16, 0))
    assert (bar.open, bar.close, bar.prints, bar.known_at) == (10_000_000, 12_000_000, 2, moment(16, 0) + 60)


def test_a_week_goes_on_over_its_sessions() -> None:
    machine = Machine(Chart.of("time", "1w"), grid=grid("1w"))
    prints = [Print.of_trade(moment(15, 0, day), "", day, 1, 0) for day in (3, 4)]
    assert [len(machine.feed(one)) for one in prints] == [0, 0]
    assert (machine.state.start, machine.state.count) == (moment(0, 0), 2)


def test_heikin_ashi_smooths_bars_over_time() -> None:
    machine = Machine(Chart.of("heikin_ashi", "1h"), grid=grid("1h"))
    prints = [(14, 10), (14, 14), (14, 9), (14, 13), (15, 13), (15, 15), (16, 1)]
    found = []
    for number, (hour, price) in enumerate(prints):
        found += list(machine.feed(Print.of_trade(moment(hour, number), "", price * 10**6, 1, 0)))
    # first: open (10 + 13) / 2, close (10 + 14 + 9 + 13) / 4; second: open (11.5 + 11.5) / 2, close (13 + 15 + 13 + 15) / 4
    assert [bar[4:8] for bar in found] == [
        (11_500_000, 14_000_000, 9_000_000, 11_500_000),
        (11_500_000, 15_000_000, 11_500_000, 14_000_000),
    ]


@pytest.mark.parametrize(
    ("style", "parameter", "fed_by", "told"),
    [
        ("candle", "1", "trades", "expected a chart style, one of tick, volume"),
        ("tick", "1.5", "trades", "expected a whole number of prints above 0 for a tick chart, found '1.5'"),
        ("volume", "0", "trades", "expected a number with at most 8 decimals above 0 for a volume chart"),
        ("renko", "0.0000001", "trades", "expected a number with at most 6 decimals above 0 for a renko chart"),
        ("range", "wide", "trades", "for a range chart, found 'wide'"),
        ("dollar", "NaN", "trades", "for a dollar chart, found 'NaN'"),
        ("time", "7", "trades", "expected an interval"),
        ("time", "15m", "1h", "expected bars finer than 15m for a chart over 15m, found 1h"),
        ("time", "1h", "45m", "expected bars that lie inside those of 1h, found 45m"),
    ],
)
def test_a_chart_that_cannot_be_is_refused_in_one_line(style: str, parameter: str, fed_by: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        Chart.of(style, parameter, fed_by)
    assert "\n" not in str(caught.value)


def test_one_chart_has_one_definition_however_its_number_is_written() -> None:
    assert Chart.of("volume", "1000.0").definition == Chart.of("volume", " 1e3 ").definition
    assert len({Chart.of("volume", "1000").definition, Chart.of("dollar", "1000").definition}) == 2
    assert Chart.of("tick", "100").definition == "462c1d425622b4329ffdeda9ef388cdab9e93a0387b62590bdb1b3d3d8d95b72"
