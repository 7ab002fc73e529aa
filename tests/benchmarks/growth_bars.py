"""Blocks of synthetic bars for growth.py, as files of a vendor: more symbols of 20 years, or more sessions of minutes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from trading.calendar import Session, exchange_sessions

MINUTE_SYMBOLS = 50


def daily(folder: Path, block: int, blocks: int) -> Iterator[Path]:
    """Write files of `block` daily bars: 5,000 sessions of ever more symbols. The last file is one more session of all."""
    days = [session.session_date for session in _sessions(date(2004, 1, 2))][:5_000]
    chance, each = np.random.default_rng(1), min(5_000, block)
    for number in range(blocks):
        first = number * (block // each)
        names = [f"D{first + place:05}" for place in range(block // each)]
        yield _written(folder / f"daily-{number}.parquet", [_walk(name, "date", days[:each], chance) for name in names])
    yield _next_session(folder / "next.parquet", days[each - 1], blocks * (block // each))


def minutes(folder: Path, block: int, blocks: int) -> Iterator[Path]:
    """Write files of about `block` bars of 1 minute: 50 symbols, each file the sessions that follow the one before.

    The last file is one more minute of each symbol.
    """
    sessions = iter(_sessions(date(2010, 1, 4)))
    for number in range(blocks):
        starts: list[int] = []
        while len(starts) * MINUTE_SYMBOLS < block:
            starts += _minutes_of(next(sessions))
        yield _minute_bars(folder / f"minutes-{number}.parquet", starts, number)
    yield _minute_bars(folder / "next.parquet", _minutes_of(next(sessions))[:1], blocks)


def _next_session(file: Path, last: date, symbols: int) -> Path:
    [day] = [session.session_date for session in _sessions(last)][1:2]
    chance = np.random.default_rng(3)
    return _written(file, [_walk(f"D{place:05}", "date", [day], chance) for place in range(symbols)])


def _minutes_of(session: Session) -> list[int]:
    return list(range(int(session.opens_at.timestamp()), int(session.closes_at.timestamp()), 60))


def _minute_bars(file: Path, starts: list[int], seed: int) -> Path:
    at = pl.from_epoch(pl.Series(starts, dtype=pl.Int64)).dt.replace_time_zone("UTC")
    chance = np.random.default_rng(100 + seed)
    return _written(file, [_walk(f"M{place:03}", "timestamp", at, chance) for place in range(MINUTE_SYMBOLS)])


def _sessions(first: date) -> list[Session]:
    return exchange_sessions("XNYS", first, date(2024, 12, 31))


def _written(file: Path, frames: list[pl.DataFrame]) -> Path:
    pl.concat(frames).write_parquet(file)
    return file


def _walk(symbol: str, named: str, at: pl.Series | list[date], chance: np.random.Generator) -> pl.DataFrame:
    count = len(at)
    close = 20 + 100 * np.exp(np.cumsum(chance.normal(0, 0.2 / count**0.5, count)))
    opened = close * (1 + chance.normal(0, 0.002, count))
    prices = {"open": opened, "high": np.maximum(opened, close) * 1.01, "low": np.minimum(opened, close) * 0.99}
    columns = {name: np.round(of, 2) for name, of in (prices | {"close": close}).items()}
    volume = chance.integers(1_000, 1_000_000, count).astype("float64")
    return pl.DataFrame({"symbol": [symbol] * count, named: at, **columns, "volume": volume})
