"""For every moment t, the rows that `features.advance` made are what a rebuild on the data known at t gives.

The oracle is written in Python from the definitions alone: it picks versions by brute force, adjusts, and steps through
the whole series each time. It shares no code with the SQL, and must agree to the last bit, hash included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from math import sqrt
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.rows import RECORD_FORM, FeatureRow

pytestmark = pytest.mark.engines

FIRST_DAY = date(2020, 1, 1)
WARM = 52  # bars before the interesting ones: every window is full there
NUMBERS = count(1)


@dataclass
class Published:
    """Everything published so far: (watermark, version)."""

    bars: list[tuple[int, Any]] = field(default_factory=list)
    splits: list[tuple[int, Any]] = field(default_factory=list)

    def moments(self) -> list[datetime]:
        return sorted({v.known for _, v in self.bars} | {v.known_at for _, v in self.splits})


def newest(versions: Sequence[tuple[int, Any]], known: Any, key: Any, as_of: datetime) -> list[Any]:
    chosen: dict[Any, tuple[datetime, int, Any]] = {}
    for watermark, version in versions:
        if known(version) <= as_of:
            chosen[key(version)] = max(
                chosen.get(key(version), (known(version), watermark, version)),
                (known(version), watermark, version),
                key=lambda found: found[:2],
            )
    return [chosen[key][2] for key in sorted(chosen)]


def rebuild(published: Published, as_of: datetime) -> dict[date, tuple[Any, datetime, list[float | None], list[float]]]:
    """Return day -> (bar, known_at, numbers in column order, state)."""
    bars = newest(published.bars, lambda v: v.known, lambda v: v.day, as_of)
    splits = newest(published.splits, lambda v: v.known_at, lambda v: v.ex_date, as_of)
    series = Series()
    answer = {}
    known_at = datetime.min.replace(tzinfo=UTC)
    for bar in bars:
        in_force = [split for split in splits if split.ex_date <= bar.day]
        factor = Decimal(1)
        for split in in_force:
            factor *= split.ratio
        known_at = max([known_at, bar.known, *(split.known_at for split in in_force)])
        o, h, low, close = (float(price * factor) for price in (bar.open, bar.high, bar.low, bar.close))
        volume = float(bar.volume) / float(factor)
        series.go(datetime.combine(bar.day, datetime.min.time(), UTC), h, low, close, volume)
        answer[bar.day] = (bar, known_at, [o, h, low, close, volume, *outputs(series)], series.state)
    return answer


MAX_GAP = timedelta(days=15)


@dataclass
class Series:
    """What the oracle remembers of a series since it began: everything, and nothing that is summed up."""

    closes: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    state: list[float] = field(default_factory=list)
    at: datetime | None = None

    def go(self, at: datetime, high: float, low: float, close: float, volume: float) -> None:
        """Take one bar; after a long gap the series begins anew."""
        if self.at is not None and at - self.at > MAX_GAP:
            self.closes, self.returns, self.state = [], [], []
        before = self.closes[-1] if self.closes else close
        self.closes.append(close)
        if len(self.closes) > 1:
            self.returns.append((close - before) / before)
        self.at = at
        windows = [*window(self.closes, self.state[11:13], self.state[16:18]), self.sum_50()]
        moved = window(self.returns, self.state[14:16], self.state[18:20]) if self.returns else [0.0] * 4
        self.state = [
            *recursions(self.state[:11], at.timestamp(), high, low, close, volume),
            *windows[:2], windows[4], *moved[:2], *windows[2:4], *moved[2:],
        ]  # fmt: skip

    def sum_50(self) -> float:
        """Sum of the last 50 closes, as what came in and what left."""
        before = self.state[13] if self.state else 0.0
        left = self.closes[-51] if len(self.closes) > 50 else None
        return before + self.closes[-1] if left is None else before - left + self.closes[-1]


def window(values: list[float], before: list[float], block: list[float]) -> list[float]:
    """Return sum and squares of the last 20 values, and of the block of 20 that the newest lies in."""
    n, value = len(values), values[-1]
    place = (n - 1) % 20
    total, squares = (value, 0.0) if place == 0 else (block[0] + value, block[1])
    if place:
        squares += (value - block[0] / place) * (value - total / (place + 1))
    if n < 20 or place == 19:
        return [total, squares, total, squares]
    left = values[-21]
    summed = before[0] - left + value
    spread = before[1] + (value - left) * ((value - summed / 20.0) + (left - before[0] / 20.0))
    return [summed, max(0.0, spread), total, squares]


def recursions(before: list[float], at: float, high: float, low: float, close: float, volume: float) -> list[float]:
    if not before:
        return [1.0, at, close, close, close, 0.0, 0.0, 0.0, 0.0, 0.0, volume]
    n = before[0] + 1
    change = close - before[2]

    def ema(old: float, value: float, period: int, ready: float, begin: float) -> float:
        if n > ready:
            return (value - old) * (2.0 / (period + 1)) + old
        if n == ready:
            return (old + value) / period
        return old + value if n >= begin else 0.0

    slow = ema(before[4], close, 26, 26, 1)
    fast = ema(before[5], close, 12, 26, 15)
    signal = ema(before[6], fast - slow, 9, 34, 26)

    def wilder(old: float, value: float) -> float:
        if n > 15:
            return (old * 13.0 + value) / 14.0
        return (old + value) / 14.0 if n == 15 else old + value

    spread = max(high - low, abs(before[2] - high), abs(before[2] - low))
    flow = volume if change > 0 else -volume if change < 0 else 0.0
    gains = (wilder(before[7], max(change, 0.0)), wilder(before[8], max(-change, 0.0)))
    averages = (ema(before[3], close, 12, 12, 1), slow, fast, signal)
    return [n, at, close, *averages, *gains, wilder(before[9], spread), before[10] + flow]


def outputs(series: Series) -> list[float | None]:
    s, closes = series.state, series.closes
    n = s[0]
    mean_20 = s[11] / 20.0 if n >= 20 else None
    deviation = sqrt(s[12] / 20.0)
    band = None if mean_20 is None else (mean_20 + 2.0 * deviation, mean_20, mean_20 - 2.0 * deviation)
    moved = s[7] + s[8]
    rsi = None if n < 15 else 0.0 if moved == 0.0 else 100.0 * (s[7] / moved)
    macd = (s[5] - s[4], s[6], s[5] - s[4] - s[6]) if n >= 34 else (None, None, None)

    def back(bars: int) -> float | None:
        return (closes[-1] - closes[-1 - bars]) / closes[-1 - bars] if n > bars else None

    return [
        mean_20, s[13] / 50.0 if n >= 50 else None,
        s[3] if n >= 12 else None, s[4] if n >= 26 else None, rsi, *macd,
        *(band or (None, None, None)), s[9] if n >= 15 else None, s[10], back(1), back(5), back(20),
        sqrt(s[15] / 19.0) if n >= 21 else None,
    ]  # fmt: skip


def day(place: int) -> date:
    return FIRST_DAY + timedelta(days=place)


def price(seed: int) -> Decimal:
    return Decimal(int(hashlib.sha256(str(seed).encode()).hexdigest()[:6], 16) % 9000 + 1000) / 100


def bar(w: Any, symbol: str, place: int, seed: int, known_at: datetime | None = None) -> Any:
    a, b = price(seed), price(seed + 7919)
    return w.Bar(symbol, day(place), a, max(a, b) + 1, min(a, b) / 2, b, 1000 + seed % 977, known_at)


CHANGES = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 3), st.integers(0, 10**6)),
    st.tuples(st.just("revise"), st.integers(0, WARM + 6), st.integers(0, 10**6)),
    st.tuples(st.just("late"), st.integers(0, WARM + 6), st.integers(0, 10**6)),
    st.tuples(st.just("prepend"), st.integers(1, 3), st.integers(0, 10**6)),
    st.tuples(st.just("gap"), st.integers(14, 17), st.integers(0, 10**6)),
    st.tuples(st.just("split"), st.integers(-2, WARM + 9), st.sampled_from(["2", "3", "0.1", "1.5", "1"])),
)
# How long after its nominal time a version is known, in days: 0 is at once, large is long after everything.
DELAYS = st.sampled_from([0, 0, 0, 1, 2, 5, 400])
BATCHES = st.lists(st.lists(st.tuples(CHANGES, DELAYS), min_size=1, max_size=4), min_size=1, max_size=6)


def versions_of(w: Any, symbol: str, batch: Sequence[Any], places: list[int]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Turn the drawn changes into at most one version per key."""
    bars: dict[date, Any] = {}
    splits: dict[date, Any] = {}
    for (kind, *what), delay in batch:
        if kind == "append":
            chosen = [max(places) + 1 + n for n in range(what[0])]
        elif kind == "prepend":
            chosen = [min(places) - 1 - n for n in range(what[0])]
        elif kind == "gap":
            chosen = [max(places) + what[0] + n for n in range(2)]
        elif kind == "split":
            known_at = datetime.combine(day(what[0]), datetime.min.time(), UTC) + timedelta(days=delay)
            splits[day(what[0])] = w.Split(symbol, day(what[0]), Decimal(what[1]), known_at)
            continue
        else:
            chosen = [what[0]]
        for place in chosen:
            known_at = datetime.combine(day(place), datetime.min.time(), UTC) + timedelta(hours=21.25, days=delay)
            bars[day(place)] = bar(w, symbol, place, what[1] + place, known_at)
            places.append(place)
    return bars, splits


def answers(w: Any, definition: str, source: str, as_of: datetime, watermark: int) -> list[tuple[Any, ...]]:
    return w.all(
        "select timestamp::date, row_hash, known_at from features.indicators_as_of(%s, %s, %s) where source = %s order by 1",
        definition, as_of, watermark, source,
    )  # fmt: skip


def expected_answers(
    published: Published, columns: Sequence[str], rows: dict[date, FeatureRow], as_of: datetime
) -> list[Any]:
    """Return what the oracle says, hashed by the Python twin of the row's identity."""
    told = []
    for when, (bar, known_at, numbers, state) in sorted(rebuild(published, as_of).items()):
        row = replace(
            rows[when],
            known_at=known_at,
            decision_at=bar.nominal_at,
            input_hash=bar.row_hash.hex(),
            values=dict(zip(columns, numbers, strict=True)),
            state=tuple(state),
        )
        told.append((when, bytes.fromhex(row.computed_hash(RECORD_FORM)), known_at))
    return told


def frames_of_rows(w: Any, definition: str, source: str, as_of: datetime) -> dict[date, FeatureRow]:
    """Return the stored rows as of a moment, for the fields that the oracle does not compute (its key)."""
    ids = w.all(
        "select timestamp::date, row_id from features.indicators_as_of(%s, %s, %s) where source = %s",
        definition, as_of, 2**62, source,
    )  # fmt: skip
    return {when: w.store.by_id("marts.indicators", row_id) for when, row_id in ids}


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(batches=BATCHES, together=st.lists(st.booleans(), min_size=7, max_size=7), gap=st.integers(0, 3))
def test_every_state_of_knowledge_is_what_a_rebuild_gives(
    warehouse: Any, batches: Any, together: Any, gap: int
) -> None:
    w = warehouse
    definition = w.active("marts.indicators")
    columns = w.one("select columns from features.definitions where definition = %s", definition)
    source, symbol = f"vendor-{next(NUMBERS)}", "AAA"
    published, places, remembered = Published(), list(range(WARM)), []

    # A gap is left in the warm-up, so that a late bar has a place to come to.
    first = [bar(w, symbol, place, place) for place in range(WARM) if place != 40 + gap]
    watermark = w.publish(source, first)
    published.bars += [(watermark, version) for version in first]
    w.advance()
    for batch, waits in zip(batches, together, strict=False):
        bars, splits = versions_of(w, symbol, batch, places)
        watermark = w.publish(source, list(bars.values()), list(splits.values()))
        published.bars += [(watermark, version) for version in bars.values()]
        published.splits += [(watermark, version) for version in splits.values()]
        if waits:
            continue
        w.advance()
        seen = w.one("select raw.newest_watermark()")
        for moment in published.moments()[-3:]:
            remembered.append((moment, seen, answers(w, definition, source, moment, seen)))
    w.advance()

    for moment in published.moments():
        rows = frames_of_rows(w, definition, source, moment)
        assert answers(w, definition, source, moment, 2**62) == expected_answers(published, columns, rows, moment)
    for moment, watermark, told in remembered:
        assert answers(w, definition, source, moment, watermark) == told

    rows_before = w.one("select count(*) from marts.indicators")
    w.advance()
    assert w.one("select count(*) from marts.indicators") == rows_before
