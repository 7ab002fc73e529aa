"""Files of synthetic daily prices as a vendor delivers them: symbols of 5,000 sessions each, a random walk to the cent."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from trading.calendar import exchange_sessions

SESSIONS = 5_000
NAMES = ("open", "high", "low", "close")


def write(folder: Path, rows: int) -> dict[str, Path]:
    """Write the same bars as Parquet and as CSV; return the files by format."""
    days = [session.session_date for session in exchange_sessions("XNYS", date(2004, 1, 2), date(2024, 12, 31))]
    chance, each = np.random.default_rng(1), min(SESSIONS, rows)
    frames = [_bars(f"S{number:04}", days[:each], chance) for number in range(rows // each)]
    frame = pl.concat(frames)
    files = {"parquet": folder / f"bars-{rows}.parquet", "csv": folder / f"bars-{rows}.csv"}
    frame.write_parquet(files["parquet"])
    prices = pl.col(NAMES).cast(pl.Decimal(15, 2))
    frame.with_columns(prices, pl.col("volume").cast(pl.Int64)).write_csv(files["csv"])
    return files


def _bars(symbol: str, days: list[date], chance: np.random.Generator) -> pl.DataFrame:
    count = len(days)
    close = 20 + 100 * np.exp(np.cumsum(chance.normal(0, 0.01, count)))
    opened = close * (1 + chance.normal(0, 0.003, count))
    high, low = np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99
    prices = {name: np.round(of, 2) for name, of in zip(NAMES, (opened, high, low, close), strict=True)}
    volume = chance.integers(1_000, 1_000_000, count).astype("float64")
    return pl.DataFrame({"symbol": [symbol] * count, "date": days, **prices, "volume": volume})
