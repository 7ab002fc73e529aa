"""However prints are cut into chunks, the bars and the state are those of one print at a time."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.calendar import Session, Sessions
from trading.chart_bars import chunks
from trading.chart_bars.chart import STYLES, Chart
from trading.chart_bars.chunks import feed_many
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.grid import Grid
from trading.chart_bars.machine import Machine
from trading.chart_bars.prints import Print, Prints
from trading.chart_bars.state import State
from trading.intervals import Interval

PARAMETERS = {
    "tick": "7",
    "volume": "120.5",
    "dollar": "90000",
    "range": "0.7",
    "renko": "0.3",
    "heikin_ashi": "1h",
    "time": "15m",
}
DAYS = [date(2024, 6, day) for day in (3, 4, 5)]
BEGIN = 1_717_416_000_000_000  # 2024-06-03 12:00 UTC, two hours before the first opening


def _grid(chart: Chart) -> Grid | None:
    if chart.style not in ("time", "heikin_ashi"):
        return None
    opens_closes = [[datetime.combine(day, time(hour), UTC) for hour in (14, 20)] for day in DAYS]
    return Grid(chart.interval, Sessions.of(Session(day, *both) for day, both in zip(DAYS, opens_closes, strict=True)))


@st.composite
def walks(draw: st.DrawFn) -> list[Print]:
    """Prints in order: moments that repeat, prices that walk and jump, sizes of whole units or of many digits."""
    count = draw(st.integers(0, 150))
    steps = draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3), st.integers(1, 9)), min_size=count, max_size=count)
    )
    unit, odd = draw(st.sampled_from([(10_000, 10**9), (1, 123_456_789), (70_001, 10**4)]))
    jump, pause = draw(st.sampled_from([1, 40])), draw(st.sampled_from([1_000_000, 400_000_000]))
    at, price, made = BEGIN, 60_000_000, []
    for number, (wait, move, size) in enumerate(steps):
        at += wait * pause
        price = max(unit, price + move * unit * jump)
        made.append(Print.of_trade(at, str(number), price, size * odd, at + 900_000_000 - (size == 9) * 400_000_000))
    return made


def one_by_one(chart: Chart, prints: list[Print]) -> tuple[list[ClosedBar], State]:
    machine = Machine(chart, grid=_grid(chart))
    return [bar for one in prints for bar in machine.feed(one)], machine.state


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=20, deadline=None)
@given(walk=walks(), cuts=st.lists(st.integers(0, 150), max_size=4), carried=st.booleans())
def test_any_chunks_give_the_bars_of_one_print_at_a_time(
    style: str, walk: list[Print], cuts: list[int], carried: bool
) -> None:
    chart = Chart.of(style, PARAMETERS[style])
    expected, state = one_by_one(chart, walk)
    machine, found = Machine(chart, grid=_grid(chart)), []
    borders = sorted({0, len(walk), *(cut for cut in cuts if cut < len(walk))})
    for start, stop in pairwise(borders):
        found += list(feed_many(machine, Prints.of_prints(walk[start:stop])))
        if carried:  # through its stored form
            kept = json.loads(json.dumps(machine.state.as_dict()))
            machine = Machine(chart, State(**kept), _grid(chart))
    assert found == expected
    assert machine.state == state


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=12, deadline=None)
@given(walk=walks(), choice=st.integers(0, 1000))
def test_every_stored_bar_is_a_checkpoint(style: str, walk: list[Print], choice: int) -> None:
    chart = Chart.of(style, PARAMETERS[style])
    bars, _ = one_by_one(chart, walk)
    places = [place for place, bar in enumerate(bars) if bar.last_id is not None]
    if not places:
        return
    place = places[choice % len(places)]
    bar, later = bars[place], bars[place + 1 :]
    machine = Machine(chart, State.after_bar(chart.style, bar), _grid(chart))
    rest = [one for one in walk if (one.at, int(one.trade_id)) > (bar.last_at or 0, int(bar.last_id or ""))]
    assert [again for one in rest for again in machine.feed(one)] == later


@settings(max_examples=20, deadline=None)
@given(walk=walks(), threshold=st.integers(1, 400))
def test_volume_bars_are_those_of_a_plain_loop(walk: list[Print], threshold: int) -> None:
    expected, part = [], []
    for one in walk:
        part.append(one)
        if sum(each.size for each in part) >= threshold * 10**8:
            prices = [each.close for each in part]
            expected.append(
                (part[0].at, prices[0], max(prices), min(prices), prices[-1], sum(each.size for each in part))
            )
            part = []
    machine = Machine(Chart.of("volume", str(threshold)))
    found = feed_many(machine, Prints.of_prints(walk))
    assert [(bar.timestamp, *bar[4:9]) for bar in found] == expected


def test_finer_bars_bring_their_extremes_and_to_styles_by_price_their_close_only() -> None:
    bars = [Print(at, "", 10_000_000, 14_000_000, 9_000_000, 11_000_000 + at, 5, at) for at in range(40)]
    for style, parameter in (("tick", "20"), ("range", "0.00002")):
        chart = Chart.of(style, parameter, "1m")
        found = list(feed_many(Machine(chart), Prints.of_prints(bars)))
        assert found == one_by_one(chart, bars)[0]
        wide = style == "tick"
        assert {bar.high - bar.low for bar in found} == ({5_000_000} if wide else {20})


def test_sums_beyond_64_bits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    size, price = 10**11 * 10**8 // 2, 999_999_999_999_999  # sizes and prices near what their columns hold
    walk = [Print.of_trade(at, str(at), price, size - at, at) for at in range(64)]
    for style, parameter in (("volume", "500000000000"), ("dollar", "999999999999")):
        chart = Chart.of(style, parameter)
        machine = Machine(chart)
        assert list(feed_many(machine, Prints.of_prints(walk))) == one_by_one(chart, walk)[0]
    assert len(walk) > chunks.FEW


def test_what_lies_off_every_session_is_in_no_bar_over_time() -> None:
    chart = Chart.of("time", "15m")
    walk = [Print.of_trade(BEGIN + at * 60_000_000, "", 10**6, 1, 0) for at in range(118)]  # all before the opening
    machine = Machine(chart, grid=_grid(chart))
    assert list(feed_many(machine, Prints.of_prints(walk))) == []
    assert machine.state.count == 0


def test_a_chart_over_time_without_its_periods_is_a_mistake_of_ours() -> None:
    one: Any = Print.of_trade(0, "", 1, 1, 0)
    with pytest.raises(ValueError, match="expected a grid for a time chart"):
        Machine(Chart.of("time", "15m")).feed(one)
    assert Interval.parse("15m").is_intraday
