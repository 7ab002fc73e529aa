"""Minutes of several exchanges and of what never closes, asked for together, in every longer interval up to a month.

The opening hours are literal, as the exchanges published them; what a bar is made of is said by loops.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from orchestration.commands.bars import bars
from trading.adapters.sessions import ensure_sessions

pytestmark = pytest.mark.engines

MINUTE = timedelta(minutes=1)
# UTC: the day before Thanksgiving, the half day after it, and the Monday after; Tokyo with its lunch; a month's end.
HOURS: dict[str, list[list[tuple[str, str]]]] = {
    "XNYS": [
        [("2024-11-27T14:30", "2024-11-27T21:00")],
        [("2024-11-29T14:30", "2024-11-29T18:00")],
        [("2024-12-02T14:30", "2024-12-02T21:00")],
    ],
    "XTKS": [
        [("2024-11-29T00:00", "2024-11-29T02:30"), ("2024-11-29T03:30", "2024-11-29T06:30")],
        [("2024-12-02T00:00", "2024-12-02T02:30"), ("2024-12-02T03:30", "2024-12-02T06:30")],
    ],
    "24/7": [[("2024-11-30T22:00", "2024-12-01T00:00")], [("2024-12-01T00:00", "2024-12-01T02:00")]],
}
# The last close of each week and month, and of the days of which only some minutes are asked.
ENDS = {
    "XNYS": {"2024-11-25": "2024-11-29T18:00", "2024-11-01": "2024-11-29T18:00"}
    | {"2024-12-02": "2024-12-06T21:00", "2024-12-01": "2024-12-31T21:00"},
    "XTKS": {"2024-11-25": "2024-11-29T06:30", "2024-11-01": "2024-11-29T06:30"}
    | {"2024-12-02": "2024-12-06T06:30", "2024-12-01": "2024-12-30T06:30"},
    "24/7": {"2024-11-25": "2024-12-02T00:00", "2024-11-01": "2024-12-01T00:00", "2024-12-01": "2025-01-01T00:00"},
}
# The closing minute of a half day, the first one after lunch, the first of a month: not delivered.
MISSING = {"2024-11-29T17:59", "2024-12-02T03:30", "2024-12-01T00:00"}
SYMBOLS = {"NYC": "XNYS", "TKY": "XTKS", "BTC": "24/7"}
INTERVALS = {
    "2m": 2,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "45m": 45,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "1d": 0,
    "1w": 0,
    "1mo": 0,
}
Row = tuple[datetime, tuple[Decimal, ...], int]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(calendar: str) -> list[Row]:
    """Return the delivered minutes: start, four prices and volume, all different."""
    starts = [
        opens + n * MINUTE
        for session in HOURS[calendar]
        for opens, closes in [(at(opens), at(closes)) for opens, closes in session]
        for n in range((closes - opens) // MINUTE)
    ]
    kept = [start for start in starts if f"{start:%Y-%m-%dT%H:%M}" not in MISSING]
    return [(start, _prices(n * 37 % 101 + 100), n * 13 % 29 + 1) for n, start in enumerate(kept)]


def _prices(level: int) -> tuple[Decimal, ...]:
    return tuple(Decimal(level) + Decimal(part) for part in ("0", "0.5", "-0.25", "0.125"))


def period(calendar: str, interval: str, start: datetime) -> tuple[datetime, datetime]:
    """Return the timestamp and the end of the bar that a minute goes into."""
    for session in HOURS[calendar]:
        for opens, closes in [(at(opens), at(closes)) for opens, closes in session]:
            if not opens <= start < closes:
                continue
            day = start.replace(hour=0, minute=0)
            if length := INTERVALS[interval] * MINUTE:
                # What never closes is cut from midnight.
                since = day if calendar == "24/7" else opens
                first = since + (start - since) // length * length
                return first, first + length if calendar == "24/7" else min(first + length, closes)
            if interval == "1d":
                return day, day + timedelta(days=1) if calendar == "24/7" else at(session[-1][1])
            label = day - timedelta(days=day.weekday()) if interval == "1w" else day.replace(day=1)
            return label, at(ENDS[calendar][f"{label:%Y-%m-%d}"])
    raise AssertionError(f"{start} lies in no session")


def expected(calendar: str, interval: str) -> list[tuple[Any, ...]]:
    made = []
    for (label, end), group in groupby(minutes(calendar), key=lambda row: period(calendar, interval, row[0])):
        rows = list(group)
        opens, highs, lows, closes = zip(*(row[1] for row in rows), strict=True)
        made.append((label, end, len(rows), opens[0], max(highs), min(lows), closes[-1], sum(row[2] for row in rows)))
    return made


@pytest.fixture
def warehouse(database_url: str, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    """A warehouse with the minutes of all symbols, published together, each bar known when it ended."""
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    with psycopg.connect(database_url, options="-c timezone=UTC") as conn:
        for symbol, calendar in SYMBOLS.items():
            conn.execute(_INSTRUMENT, (symbol, calendar))
        ensure_sessions(
            conn, list(SYMBOLS.values()), at("2024-11-01").date(), at("2025-01-03").date(), at("2025-01-04")
        )
        watermark, batch = conn.execute(_BATCH).fetchone() or (0, 0)
        with conn.cursor().copy(_COPY) as copy:
            for symbol, calendar in SYMBOLS.items():
                for start, prices, volume in minutes(calendar):
                    when = (start + MINUTE, start + MINUTE, watermark, batch, secrets.token_bytes(32))
                    copy.write_row(("files", symbol, "1m", start, *prices, volume, "raw", *when))
    return conn


def asked(interval: str, as_of: str = "2025-02-01T00:00Z") -> dict[str, list[dict[str, Any]]]:
    words = ["--symbols", ",".join(SYMBOLS), "--interval", interval, "--of", "1m", "--as-of", as_of, "--json"]
    answer = json.loads(CliRunner().invoke(bars, words, catch_exceptions=False).stdout)
    return {one["symbol"]: one["bars"] for one in answer["series"]}


@pytest.mark.usefixtures("warehouse")
def test_minutes_of_several_exchanges_go_into_every_longer_interval_in_one_answer() -> None:
    for interval in INTERVALS:
        found = asked(interval)
        for symbol, calendar in SYMBOLS.items():
            told = [
                (
                    *(datetime.fromisoformat(bar[name]) for name in ("timestamp", "ends_at")),
                    *(bar["bars"], *(Decimal(bar[name]) for name in ("open", "high", "low", "close", "volume"))),
                )
                for bar in found[symbol]
            ]
            assert ((interval, symbol), told) == ((interval, symbol), expected(calendar, interval))
            assert all(bar["is_over"] for bar in found[symbol])
    # On the half day New York's last hour has half an hour, less the minute that never came.
    assert expected("XNYS", "1h")[10][2] == 29
    # While the half day trades only its own bars are not over; the month waits for the source's lag after the close.
    now = asked("1mo", "2024-11-29T18:14:59Z")
    assert [bar["is_over"] for bar in now["NYC"]] == [False]
    assert [[bar["is_over"] for bar in asked("1mo", "2024-11-29T18:15Z")[name]] for name in ("NYC", "TKY")] == [
        [True]
    ] * 2


_INSTRUMENT = """
insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft,
    known_at, watermark, row_hash)
values (%s, 'equity', %s, 'USD', 0.01, 1, 1, true, '2020-01-01Z', raw.take_watermark('test'), sha256('test'))
"""
_BATCH = """
with taken as (
    select raw.take_watermark('test') as watermark, raw.make_partitions('prices', array['2024-11-01Z'::timestamptz])
)
insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in,
    rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)
select 'prices', 'files', 'live', now(), 'k', repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published', t.watermark, 't' from taken as t
returning watermark, batch_id
"""
_COPY = """copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,
    known_at, watermark, batch_id, row_hash) from stdin"""
