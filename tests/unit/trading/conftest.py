"""Small worlds: raw bars with features, made of a seed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from trading.nouns import Bar, Split
from trading.series import MarketSeries

FIRST = datetime(2020, 1, 1, tzinfo=UTC)


def bar_of(symbol: str, day: int, open_usd: str, close_usd: str) -> Bar:
    timestamp = FIRST + timedelta(days=day)
    low, high = sorted((Decimal(open_usd), Decimal(close_usd)))
    return Bar(
        symbol=symbol,
        timestamp=timestamp,
        opens_at=timestamp + timedelta(hours=14, minutes=30),
        known_at=timestamp + timedelta(hours=21),
        open=Decimal(open_usd),
        high=high,
        low=low,
        close=Decimal(close_usd),
        volume=Decimal(1000),
    )


def world(
    symbol: str = "AAA", bars: int = 40, seed: int = 0, splits: dict[int, str] | None = None, macd_leads: bool = False
) -> MarketSeries:
    """A random walk at raw prices. With `macd_leads`, MACD's sign is the sign of the next open-to-open move."""
    generator = np.random.default_rng(seed)
    ratios = {index: Decimal(ratio) for index, ratio in (splits or {}).items()}
    factor, level, rows, made = 1.0, 50.0 + 100.0 * generator.random(), [], []
    signs = np.where(generator.random(bars + 1) < 0.5, -1.0, 1.0)
    for index in range(bars):
        factor *= float(ratios.get(index, 1))
        move = 0.02 * signs[index - 1] if macd_leads and index > 1 else 0.02 * generator.standard_normal()
        opened = level if macd_leads else level * (1 + 0.005 * generator.standard_normal())
        level *= 1 + move
        made.append(bar_of(symbol, index, f"{opened / factor:.6f}", f"{level / factor:.6f}"))
        rows.append(
            (level, 100 * generator.random(), signs[index], 1e6 * generator.random(), 0.0, generator.uniform(-1, 1))
        )
    placed = {
        index: (Split(symbol, made[index].timestamp.date(), ratio),) for index, ratio in ratios.items() if index < bars
    }
    return MarketSeries(symbol, tuple(made), np.array(rows, dtype=np.float64), placed)


@pytest.fixture
def make_world() -> Callable[..., MarketSeries]:
    return world


@pytest.fixture
def make_bar() -> Callable[..., Bar]:
    return bar_of
