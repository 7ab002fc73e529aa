"""A symbol's raw bars beside the features known when each was decided on: what a backtest and the environment walk
over.

Joined once, by (symbol, timestamp). Where the rows come from is the caller's: bars and splits from the market data,
features from the feature store, each as of its own decision time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trading.errors import InputError
from trading.nouns import Bar, Split
from trading.strategy import FEATURE_COLUMNS, POSITION, STATE_WIDTH

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class MarketSeries:
    """One symbol's bars, oldest first, each with its features.

    Attributes:
        bars: Raw bars.
        states: float64[n, 6] in the order of `trading.strategy.STATE`, with position 0; the walker sets its own.
        splits: By index into `bars`, the splits to apply before that bar's open.
        lot_size: The step of its quantities.
    """

    symbol: str
    bars: tuple[Bar, ...]
    states: NDArray[np.float64]
    splits: Mapping[int, tuple[Split, ...]] = field(default_factory=dict)
    lot_size: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        """Refuse bars and features that do not belong together."""
        if self.states.shape != (len(self.bars), STATE_WIDTH):
            raise InputError(f"expected {len(self.bars)} states of {STATE_WIDTH}, found shape {self.states.shape}")
        if not np.isfinite(self.states).all():
            raise InputError(f"expected finite features for {self.symbol}, found NaN or infinity")

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.bars)

    def state(self, index: int, position: int) -> NDArray[np.float64]:
        """Return the state at one bar, as float64[6]."""
        row: NDArray[np.float64] = self.states[index].copy()
        row[POSITION] = position
        return row

    def between(self, first: datetime, last: datetime) -> MarketSeries:
        """Return the part with first <= timestamp <= last; it may be empty."""
        kept = [index for index, bar in enumerate(self.bars) if first <= bar.timestamp <= last]
        start, stop = (kept[0], kept[-1] + 1) if kept else (0, 0)
        splits = {index - start: found for index, found in self.splits.items() if start <= index < stop}
        return replace(self, bars=self.bars[start:stop], states=self.states[start:stop], splits=splits)


def market_series(features: pd.DataFrame, bars: Iterable[Bar], splits: Iterable[Split] = ()) -> list[MarketSeries]:
    """Join bars, features and splits into one series per symbol, symbols in name order.

    Leading bars without complete features (the indicators' warm-up) are left out; splits before the first bar kept
    have no one to move.

    Args:
        features: Columns symbol, timestamp and `trading.strategy.FEATURE_COLUMNS`; one row per symbol and timestamp.
        bars: Raw bars of the same symbols.
        splits: Splits of series whose prices are raw; none for series that come adjusted.

    Raises:
        InputError: a column is missing, a key comes twice, or a bar after the warm-up has no complete features.
    """
    rows = _rows_by_key(features)
    by_symbol: dict[str, list[Bar]] = {}
    for bar in sorted(bars, key=lambda bar: (bar.symbol, bar.timestamp)):
        by_symbol.setdefault(bar.symbol, []).append(bar)
    found = list(splits)
    return [
        _series(symbol, symbol_bars, rows, [split for split in found if split.symbol == symbol])
        for symbol, symbol_bars in by_symbol.items()
    ]


def _rows_by_key(features: pd.DataFrame) -> dict[tuple[str, datetime], tuple[float, ...]]:
    missing = [name for name in ("symbol", "timestamp", *FEATURE_COLUMNS) if name not in features.columns]
    if missing:
        raise InputError(f"expected features with the columns {', '.join(missing)}; found {list(features.columns)}")
    if features.duplicated(["symbol", "timestamp"]).any():
        raise InputError("expected one feature row per symbol and timestamp, found two")
    columns = (features[name] for name in ("symbol", "timestamp", *FEATURE_COLUMNS))
    return {
        (symbol, timestamp.to_pydatetime()): tuple(float(value) for value in values)
        for symbol, timestamp, *values in zip(*columns, strict=True)
    }


def _series(
    symbol: str, bars: Sequence[Bar], rows: Mapping[tuple[str, datetime], tuple[float, ...]], splits: Sequence[Split]
) -> MarketSeries:
    kept: list[Bar] = []
    states: list[tuple[float, ...]] = []
    for bar in bars:
        values = rows.get((symbol, bar.timestamp))
        if values is None or not np.isfinite(values).all():
            if kept:
                day = f"{bar.timestamp:%Y-%m-%d}"
                raise InputError(f"expected complete features of {symbol} at {day}; advance the features first")
            continue
        close, rsi, macd, volume, sentiment = values
        kept.append(bar)
        states.append((close, rsi, macd, volume, 0.0, sentiment))
    matrix = np.array(states, dtype=np.float64).reshape(len(kept), STATE_WIDTH)
    return MarketSeries(symbol, tuple(kept), matrix, _splits_by_index(kept, splits))


def _splits_by_index(bars: Sequence[Bar], splits: Sequence[Split]) -> dict[int, tuple[Split, ...]]:
    placed: dict[int, tuple[Split, ...]] = {}
    for split in sorted(splits, key=lambda split: split.ex_date):
        index = next((i for i, bar in enumerate(bars) if bar.timestamp.date() >= split.ex_date), None)
        if index:  # at 0 nothing is held yet, and past the end it has not happened
            placed[index] = (*placed.get(index, ()), split)
    return placed
