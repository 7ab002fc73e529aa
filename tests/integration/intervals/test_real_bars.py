"""Resampling real bars: hours of 1998 to 2021 into days, and a month of crypto minutes, against pandas and the vendor."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from psycopg import sql

from trading.adapters.resampled_bars import Resampling, resampled_bars
from trading.adapters.sessions import ensure_sessions
from trading.calendar import exchange_sessions

pytestmark = pytest.mark.engines
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
HOURS, DAYS, MINUTES = (
    DATA / f"{name}.parquet" for name in ("bars_hourly_raw", "bars_daily_raw_1998_2021", "btc_perp_1m_2022_01")
)
NEVER = datetime(2100, 1, 1, tzinfo=UTC)
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def conn(postgres_url: str) -> Iterator[psycopg.Connection]:
    name = f"real_bars_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as opened:
        opened.execute(
            sql.SQL("create database {} template tradeloom_template strategy file_copy").format(sql.Identifier(name))
        )
    url = psycopg.conninfo.make_conninfo(postgres_url, dbname=name)
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as opened:
        yield opened


def publish(conn: psycopg.Connection, symbol: str, calendar: str, interval: str, frame: pd.DataFrame) -> None:
    """Write a frame of ts, open, high, low, close, volume as one publication."""
    first, last = frame["ts"].min().date(), frame["ts"].max().date()
    ensure_sessions(conn, [calendar], first, last, datetime(2026, 1, 1, tzinfo=UTC))
    with conn.transaction():
        conn.execute(
            "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name,"
            " rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)"
            " values ('prices', 'files', 'history', now(), 'k', repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published',"
            " raw.take_watermark('test'), 't')"
        )
        conn.execute(
            "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
            " is_draft, known_at, watermark, row_hash) values (%s, 'equity', %s, 'USD', 0.01, 1, 1, true, '1970-01-01', 1,"
            " sha256(%s::bytea))",
            (symbol, calendar, symbol),
        )
        conn.execute(
            "create temporary table given (ts timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric) on commit drop"
        )
        with conn.cursor().copy("copy given from stdin") as copy:
            for row in frame[["ts", *PRICES, "volume"]].itertuples(index=False):
                copy.write_row(row)
        conn.execute("select raw.make_partitions('prices', (select array_agg(ts) from given))")
        conn.execute(
            "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment,"
            " nominal_at, known_at, watermark, batch_id, row_hash) select 'files', %s, %s, ts, o, h, l, c, v, 'raw',"
            " ts, ts + interval '1 hour', (select max(watermark) from raw.watermarks),"
            " (select max(batch_id) from raw.ingestion_batches), sha256(timestamptz_send(ts)) from given",
            (symbol, interval),
        )


def made(conn: psycopg.Connection, symbol: str, interval: str, of: str, **options: Any) -> pd.DataFrame:
    bars = resampled_bars(conn, Resampling(symbol, interval, of, **options), NEVER, 10**9).bars
    return pd.DataFrame([{**vars(bar)} for bar in bars]).set_index("timestamp")


@pytest.mark.long
@pytest.mark.skipif(not HOURS.exists(), reason="no shared market data here: hourly bars of 1998 to 2021")
def test_days_made_of_hours_are_those_of_the_vendor(conn: psycopg.Connection) -> None:
    frame = pd.read_parquet(HOURS).query("ticker == 'BAC'")
    frame = frame.assign(ts=frame["ts"].dt.tz_localize("America/New_York").dt.tz_convert("UTC"))
    publish(conn, "BAC", "XNYS", "1h", frame)
    days = made(conn, "BAC", "1d", "1h", adjustment="none")
    theirs = pd.read_parquet(DAYS).query("ticker == 'BAC'")
    theirs = theirs.set_index(theirs["ts"].dt.tz_localize("UTC")).loc[: days.index[-1]]
    assert list(days.index) == list(theirs.index)
    # The vendor rounds to cents in its own way; and its days know the auctions, which its hours do not.
    near = (days["close"].astype(float) - theirs["close"]).abs() <= 0.011
    assert near.mean() > 0.9
    # The file has a bar at the close of some half days; ingestion refuses it, and no day takes it.
    closes = {one.session_date: one.closes_at for one in exchange_sessions("XNYS", date(1998, 1, 1), date(2021, 3, 31))}
    frame = frame[[start < closes[start.date()] for start in frame["ts"]]]
    local = frame["ts"].dt.tz_convert("America/New_York").dt.tz_localize(None).dt.normalize()
    by_hand = frame.groupby(local).agg(
        open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last")
    )
    assert (days[PRICES].astype(float).to_numpy() == by_hand.to_numpy()).all()
    assert int(days["bars"].max()) == 7
    weeks = made(conn, "BAC", "1w", "1h", adjustment="none")
    assert weeks["bars"].sum() == len(frame)
    assert set(weeks.index.day_of_week) == {0}


@pytest.mark.skipif(not MINUTES.exists(), reason="no shared market data here: a month of crypto minutes")
def test_minutes_that_never_stop_go_into_quarters_hours_days_and_weeks(conn: psycopg.Connection) -> None:
    frame = pd.read_parquet(MINUTES)
    frame = frame.assign(ts=frame["timestamp"].dt.tz_localize("UTC"))
    publish(conn, "BTC", "24/7", "1m", frame)
    stamped = frame.set_index("ts")
    for interval, rule in (("15m", "15min"), ("4h", "4h"), ("1d", "1D"), ("1w", "W-MON")):
        options = {"closed": "left", "label": "left"}
        by_hand = stamped.resample(rule, **options).agg(
            {
                "open": "first",
                "high": "max",
                "low": "min",
                "close": "last",
                "volume": lambda column: sum(map(_exact, column)),
            }
        )
        found = made(conn, "BTC", interval, "1m", adjustment="none")
        assert list(found.index) == list(by_hand.index)
        assert (found[PRICES].astype(float).to_numpy() == by_hand[PRICES].to_numpy(dtype=float)).all()
        assert [value.normalize() for value in found["volume"]] == [value.normalize() for value in by_hand["volume"]]


def _exact(volume: float) -> Decimal:
    return round(Decimal(str(volume)), 8)
