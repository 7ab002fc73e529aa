"""What counts as missing, doubled or suspicious, on literal bars whose findings are known by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from trading.calendar import Session, bar_label
from trading.reconciliation.expected import Grid
from trading.reconciliation.findings import Action, SeriesBars, microseconds, moment
from trading.reconciliation.jumps import suspicious
from trading.reconciliation.presence import doubled, expected_bars, missing, stale

FOREVER = (microseconds(datetime(1, 1, 2, tzinfo=UTC)), microseconds(datetime(9998, 1, 1, tzinfo=UTC)))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def series(starts: list[datetime], closes: list[float], interval: str = "1d", **changes: Any) -> SeriesBars:
    column = np.array(closes, dtype=float)
    numbers = {"open": column, "high": column * 1.01, "low": column * 0.99, "close": column}
    volume = np.arange(1, len(closes) + 1, dtype=float)
    values = {"adjustment": "raw", "ended_on": None, **numbers, "volume": volume} | changes
    stamps = np.array([microseconds(start) for start in starts], dtype=np.int64)
    return SeriesBars("files", "AAA", interval, "XNYS", starts=stamps, **values)


def weekdays(count: int, first: date = date(2024, 1, 1)) -> list[Session]:
    days = [first + timedelta(days=n) for n in range(2 * count) if (first + timedelta(days=n)).weekday() < 5][:count]
    return [Session(day, at(f"{day}T14:30"), at(f"{day}T21:00")) for day in days]


def labels(sessions: list[Session]) -> list[datetime]:
    return [at(str(session.session_date)) for session in sessions]


def told(findings: Any) -> list[tuple[str, str, str, int]]:
    return [(one.kind, f"{one.first:%m-%d %H:%M}", f"{one.last:%m-%d %H:%M}", one.count) for one in findings]


def test_a_gap_is_missing_and_a_series_that_stops_is_stale() -> None:
    sessions = weekdays(10)
    grid = Grid.of(sessions, "1d")
    days = labels(sessions)
    bars = series([*days[1:3], *days[5:8]], [10, 11, 10, 11, 10])
    expected = expected_bars(bars, grid, *FOREVER)
    assert [moment(start) for start in expected] == days[1:8]
    assert told(missing(bars, expected)) == [("missing", "01-04 00:00", "01-05 00:00", 2)]
    (found,) = stale(bars, grid, until=9)
    assert (found.count, found.detail) == (2, "no bar since 2024-01-10, 2 sessions behind 2024-01-12")
    assert stale(bars, grid, until=7) == []


def test_an_hourly_file_has_fewer_bars_on_a_half_day_and_moves_with_the_clock_change() -> None:
    sessions = [
        Session(date(2023, 3, 10), at("2023-03-10T14:30"), at("2023-03-10T21:00")),
        Session(date(2023, 3, 13), at("2023-03-13T13:30"), at("2023-03-13T20:00")),  # an hour earlier in UTC
        Session(date(2023, 7, 3), at("2023-07-03T13:30"), at("2023-07-03T17:00")),  # a half day
    ]
    grid = Grid.of(sessions, "1h")
    whole = [at(f"2023-03-10T{hour}:00") for hour in range(14, 21)]
    summer = [at(f"2023-03-13T{hour}:00") for hour in range(13, 20)]
    half = [at(f"2023-07-03T{hour}:00") for hour in range(13, 17)]
    bars = series([*whole, *summer, *half], [10.0] * 18, "1h")
    assert list(expected_bars(bars, grid, *FOREVER)) == list(bars.starts)
    without = series([*whole[:3], *whole[4:], *half], [10.0] * 10, "1h")
    assert told(missing(without, expected_bars(without, grid, *FOREVER))) == [
        ("missing", "03-10 17:00", "03-10 17:00", 1),
        ("missing", "03-13 13:00", "03-13 19:00", 7),
    ]


def test_crypto_is_expected_at_every_minute_of_every_day() -> None:
    days = [Session(date(2024, 1, day), at(f"2024-01-0{day}"), at(f"2024-01-0{day + 1}")) for day in (5, 6, 7)]
    starts = [at("2024-01-05") + timedelta(minutes=n) for n in range(3 * 1440) if n not in (2000, 2001)]
    bars = series(starts, [10.0] * len(starts), "1m")
    grid = Grid.of(days, "1m")
    assert told(missing(bars, expected_bars(bars, grid, *FOREVER))) == [("missing", "01-06 09:20", "01-06 09:21", 2)]


def test_equal_bars_under_the_next_key_and_overlapping_bars_are_doubled() -> None:
    sessions = weekdays(6)
    bars = series(labels(sessions), [10, 11, 11, 11, 12, 12], volume=np.array([1.0, 5, 5, 5, 0, 0]))
    assert told(doubled(bars, Grid.of(sessions, "1d"))) == [("doubled", "01-03 00:00", "01-04 00:00", 2)]
    starts = [at(f"2024-01-02T{time}") for time in ("15:00", "15:30", "16:00", "17:00")]
    found = list(doubled(series(starts, [10, 11, 12, 13], "1h"), Grid.of(sessions, "1h")))
    assert told(found) == [("doubled", "01-02 15:30", "01-02 16:00", 2)]
    assert found[0].detail == "begins before the bar at 2024-01-02 15:00 has ended"


CALM = [100.0 * (1.01 if n % 2 else 1.0) for n in range(40)]
SESSIONS = weekdays(60)
GRID = Grid.of(SESSIONS, "1d")


def jump(closes: list[float], actions: tuple[Action, ...] = (), **changes: Any) -> list[str]:
    bars = series(labels(SESSIONS)[: len(closes)], closes, actions=actions, **changes)
    return [f"{one.first:%m-%d}: {one.detail}" for one in suspicious(bars, GRID, changes.get("beginning", {}))]


def action(kind: str, ratio: str, amount: str | None = None) -> Action:
    from_at = microseconds(bar_label(SESSIONS[40].session_date))
    return Action(kind, from_at, Decimal(ratio), None if amount is None else Decimal(amount))


QUARTERED = [*CALM, *(close / 4 for close in CALM[:15])]


def test_a_split_without_an_action_row_is_named_by_its_ratio() -> None:
    assert jump(QUARTERED) == ["02-26: close 101 to 25 (-75.2%); looks like a 4:1 split with no action row"]
    assert jump([*CALM, *(close * 10 for close in CALM[:15])]) == [
        "02-26: close 101 to 1000 (+890.1%); looks like a 1:10 split with no action row"
    ]


def test_a_move_that_an_action_explains_is_not_suspicious() -> None:
    assert jump(QUARTERED, (action("split", "4"),)) == []
    fallen = [*CALM, *(close * 0.6 for close in CALM[:15])]
    assert jump(fallen, (action("spin_off", "1"),)) == []
    assert jump(fallen, (action("spin_off", "1", "40"),)) == []
    assert jump(fallen, (action("dividend", "1", "40"),)) == []
    assert len(jump(fallen, (action("dividend", "1", "1"),))) == 1  # a dollar does not explain forty


def test_a_split_row_whose_price_did_not_move_is_suspicious() -> None:
    (told_of,) = jump([*CALM, *CALM[:15]], (action("split", "4"),))
    assert told_of.endswith("a split row is there, but the price did not move by it: is the series adjusted already?")
    assert jump([*CALM, *CALM[:15]], (action("split", "4"),), adjustment="split") == []


def test_a_price_that_is_back_at_once_is_one_finding_and_a_lasting_one_is_left_open() -> None:
    assert jump([*CALM, 47.0, *CALM[:14]]) == [
        "02-26: close 101 to 47 (-53.5%); back with the next bar: looks like a wrong price"
    ]
    assert jump([*CALM, *(close * 0.6 for close in CALM[:15])]) == [
        "02-26: close 101 to 60 (-40.6%); no action explains it and no split ratio fits: a real move, or a wrong price"
    ]


def test_a_child_that_begins_that_day_makes_a_spin_off_likely() -> None:
    fallen = [*CALM, *(close * 0.6 for close in CALM[:15])]
    bars = series(labels(SESSIONS)[: len(fallen)], fallen)
    (found,) = suspicious(bars, GRID, {int(bars.starts[40]): ["KID"]})
    assert found.detail.endswith("KID begins at 2024-02-26: looks like a spin-off with no action row")


def test_a_wild_series_has_a_wide_range() -> None:
    wild = [100.0 * (1.12 if n % 2 else 1.0) for n in range(40)]
    assert jump([*wild, *(close * 0.7 for close in wild[:15])]) == []


@pytest.mark.parametrize("sessions", [61, 3])
def test_a_jump_over_a_long_gap_asks_whether_it_is_the_same_company(sessions: int) -> None:
    calendar = weekdays(200)
    days = labels(calendar)
    bars = series([*days[:40], *days[40 + sessions : 55 + sessions]], [*CALM, *(close * 1.42 for close in CALM[:15])])
    (found,) = suspicious(bars, Grid.of(calendar, "1d"), {})
    assert found.detail.endswith("is it the same company?") is (sessions > 60)


TOKYO = [
    Session(date(2024, 6, day), at(f"2024-06-0{day}T00:00"), at(f"2024-06-0{day}T06:00"),
            at(f"2024-06-0{day}T02:30"), at(f"2024-06-0{day}T03:30"))
    for day in (3, 4)
]  # fmt: skip


def hours_of(day: str, *times: str) -> list[datetime]:
    return [at(f"2024-06-{day}T{time}") for time in times]


def test_no_bar_is_expected_in_a_lunch_break_whichever_way_the_vendor_cuts_the_afternoon() -> None:
    anew = ("00:00", "01:00", "02:00", "03:30", "04:30", "05:30")
    through = ("00:00", "01:00", "02:00", "03:00", "04:00", "05:00")  # 03:00 holds 03:30-04:00
    short = ("00:00", "00:30", "01:00", "01:30", "02:00", "03:30", "04:00", "04:30", "05:00", "05:30")
    for interval, times in (("1h", anew), ("1h", through), ("30m", short)):
        starts = [*hours_of("03", *times), *hours_of("04", *times)]
        bars = series(starts, [10.0] * len(starts), interval)
        grid = Grid.of(TOKYO, interval)
        assert [moment(start) for start in expected_bars(bars, grid, *FOREVER)] == starts
        without = series(starts[:-2] + starts[-1:], [10.0] * (len(starts) - 1), interval)
        (gap,) = missing(without, expected_bars(without, grid, *FOREVER))
        assert gap.first == starts[-2]


def test_a_week_and_a_month_have_one_bar_each() -> None:
    sessions = weekdays(90)
    mondays = [at(f"2024-{day}") for day in ("01-01", "01-08", "01-22", "01-29", "02-05")]  # not the 15th
    weekly, grid = series(mondays, [10, 11, 10, 11, 10], "1w"), Grid.of(sessions, "1w")
    assert told(missing(weekly, expected_bars(weekly, grid, *FOREVER))) == [
        ("missing", "01-15 00:00", "01-15 00:00", 1)
    ]
    (late,) = stale(weekly, grid, until=7)
    assert late.detail == "no bar since 2024-02-05, 2 weeks behind 2024-02-19"
    firsts = [at(f"2024-0{month}-01") for month in (1, 2, 3, 4)]
    monthly, grid = series(firsts, [10, 11, 10, 11], "1mo"), Grid.of(sessions, "1mo")
    assert missing(monthly, expected_bars(monthly, grid, *FOREVER)) == []
    assert list(doubled(monthly, grid)) == []  # February is shorter than the longest month


def test_a_split_is_in_the_bar_of_the_week_that_holds_it() -> None:
    sessions = weekdays(250)
    mondays = sorted(
        {at(str(session.session_date - timedelta(days=session.session_date.weekday()))) for session in sessions}
    )
    closes = [100.0 * (1.01 if n % 2 else 1.0) / (2 if n >= 30 else 1) for n in range(len(mondays))]
    known = series(mondays, closes, "1w", actions=(Action("split", microseconds(mondays[30]), Decimal(2), None),))
    assert suspicious(known, Grid.of(sessions, "1w"), {}) == []
    assert len(suspicious(series(mondays, closes, "1w"), Grid.of(sessions, "1w"), {})) == 1
