"""A split between two sessions of New York, in bars of an hour and of a minute: no indicator moves by it."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from feature_store import definitions
from trading.adapters.adjusted_bars import adjusted_bars
from trading.adapters.resampled_bars import Resampling, resampled_bars

pytestmark = pytest.mark.engines

# Friday and Monday, 09:30 to 16:00 in New York; ten new shares for one old since Monday.
SESSIONS = [datetime(2024, 6, day, 13, 30, tzinfo=UTC) for day in (6, 7, 10, 11)]
EX_DATE, LATE = date(2024, 6, 10), datetime(2024, 6, 10, 17, 45, tzinfo=UTC)
_COPY = """copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,
    known_at, watermark, batch_id, row_hash) from stdin"""


def starts(interval: str) -> list[datetime]:
    if interval == "1h":
        return [opens + timedelta(hours=n) for opens in SESSIONS for n in range(7)]
    # The last minutes of Friday and the first ones of Monday.
    return [SESSIONS[1] + timedelta(minutes=n) for n in range(360, 390)] + [
        SESSIONS[2] + timedelta(minutes=n) for n in range(30)
    ]


def bars_of(interval: str) -> list[tuple[datetime, datetime, list[Decimal], int]]:
    """Return start, when it is known, prices and volume of bars without a split."""
    chance, made = Random(interval), []
    for start in starts(interval):
        prices = sorted(Decimal(chance.randrange(110_000, 130_000)) / 100 for _ in range(4))
        lasts = timedelta(minutes=1) if interval == "1m" else timedelta(hours=1)
        closes = next(opens for opens in reversed(SESSIONS) if opens <= start) + timedelta(hours=6, minutes=30)
        known_at = min(start + lasts, closes) + timedelta(minutes=15)
        made.append((start, known_at, [prices[1], prices[3], prices[0], prices[2]], chance.randrange(1, 900) * 10))
    return made


def publish(w: Any, symbol: str, interval: str, *, ratio: int, split_known_at: datetime | None = None) -> None:
    """Publish the bars of an interval; with a ratio as they trade, the split after those that were known before it."""
    bars = bars_of(interval)
    before = [bar for bar in bars if split_known_at is None or bar[1] < split_known_at]
    for some, splits in ((before, split_known_at), (bars[len(before) :], None)):
        if splits:
            w.publish("files", [], [w.Split(symbol, EX_DATE, Decimal(ratio), splits)])
        with w.conn.transaction():
            watermark = w.one("select raw.take_watermark('test')")
            batch = w._batch("files", watermark, len(some))
            w.conn.execute("select raw.make_partitions('prices', %s)", ([bar[0] for bar in bars],))
            with w.conn.cursor().copy(_COPY) as copy:
                for start, known_at, prices, volume in some:
                    since = ratio if start.date() >= EX_DATE else 1
                    numbers = (*(price / since for price in prices), volume * since, "raw")
                    when = (known_at, known_at, watermark, batch, secrets.token_bytes(32))
                    copy.write_row(("files", symbol, interval, start, *numbers, *when))
        w.advance()


def newest(w: Any, view: str, symbol: str, interval: str, as_of: datetime) -> list[tuple[Any, ...]]:
    """Return timestamp and every number of the rows as known at a time, with those that are adjusted back to it."""
    columns = w.one(
        "select string_agg(format('v.%%I', a.attname), ', ' order by a.attnum) from pg_attribute as a"
        " where a.attrelid = %s::regclass and a.attnum > 0 and a.atttypid = 'double precision'::regtype",
        view,
    )
    return w.all(
        f"select distinct on (v.timestamp) v.timestamp, {columns} from {view} as v where v.definition = %s and v.symbol = %s"
        " and v.interval = %s and v.known_at <= %s order by v.timestamp, v.known_at desc, v.watermark desc",
        w.active(view), symbol, interval, as_of,
    )  # fmt: skip


def test_no_indicator_moves_by_a_split_between_two_sessions(
    warehouse: Any, extended_definition: tuple[str, str, str]
) -> None:
    w, end = warehouse, datetime(2024, 7, 1, tzinfo=UTC)
    view, text, parameters = extended_definition
    definitions.register(w.url, view, text, json.loads(parameters))
    at_midnight = datetime(2024, 6, 10, tzinfo=UTC)
    for interval in ("1h", "1m"):
        publish(w, "WHOLE", interval, ratio=1)
    publish(w, "SPLIT", "1h", ratio=10, split_known_at=at_midnight)
    publish(w, "LATER", "1h", ratio=10, split_known_at=LATE)
    publish(w, "MINUTE", "1m", ratio=10, split_known_at=at_midnight)
    for view in ("marts.indicators", "marts.indicators_extended"):
        hours, minutes = (newest(w, view, "WHOLE", interval, end) for interval in ("1h", "1m"))
        assert (len(hours), len(minutes)) == (28, 60)
        assert any(number is not None for number in hours[-1][2:])
        assert newest(w, view, "SPLIT", "1h", end) == hours
        assert newest(w, view, "LATER", "1h", end) == hours
        assert newest(w, view, "MINUTE", "1m", end) == minutes
        # Known too late, it was a jump to a tenth until then, and is none afterwards, back to the first bar of Monday.
        known = newest(w, view, "WHOLE", "1h", LATE)
        before = newest(w, view, "LATER", "1h", LATE - timedelta(microseconds=1))
        assert newest(w, view, "LATER", "1h", LATE) == known
        assert (before[:14], before[14:] != known[14 : len(before)]) == (known[:14], True)


def test_bars_of_the_session_before_keep_their_factor_and_those_of_the_ex_date_have_the_new_one(warehouse: Any) -> None:
    w, end = warehouse, datetime(2024, 7, 1, tzinfo=UTC)
    w.fill_calendar(date(2024, 6, 3), date(2024, 6, 14))
    publish(w, "WHOLE", "1h", ratio=1)
    publish(w, "SPLIT", "1h", ratio=10, split_known_at=LATE)
    found = adjusted_bars(w.conn, "SPLIT", end, 10**9, interval="1h").bars
    assert [int(bar.factor) for bar in found] == [1] * 14 + [10] * 14
    whole = [bar.adjusted_close for bar in adjusted_bars(w.conn, "WHOLE", end, 10**9, interval="1h").bars]
    assert [bar.adjusted_close for bar in found] == whole
    for longer in ("2h", "1d", "1w"):
        made, plain = (
            [
                (bar.timestamp, bar.bars, bar.open, bar.high, bar.low, bar.close, bar.volume)
                for bar in resampled_bars(w.conn, Resampling(symbol, longer, "1h"), end, 10**9).bars
            ]
            for symbol in ("SPLIT", "WHOLE")
        )
        assert made == plain
