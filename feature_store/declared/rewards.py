"""The learner's label: what the environment pays for an action, one bar later."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trading.identity import PRICE_SCALE, QUANTITY_SCALE
from trading.leaks import World, label

if TYPE_CHECKING:
    from pandas import DataFrame

    from trading.series import MarketSeries

EVERY = 20  # bars between judged rows: an environment is exact and slow
_OPENING = "14:30:00"  # of a daily bar, after the one before was known; the same in every future


@label(horizon=1, inputs=("bars", "actions", "features"))
def environment_reward(world: World) -> DataFrame:
    """Return the reward of a BUY from flat: filled at the next bar's open, marked at its close; in the symbol's lots."""
    import pandas as pd

    from trading.learners.trading_env import TradingEnv
    from trading.nouns import Action

    rows: list[tuple[str, Any, float]] = []
    for one in _series(world):
        if len(one) < 2:
            continue
        environment = TradingEnv([one])
        for index in range(0, len(one) - 1, EVERY):
            environment.reset(seed=0, options={"symbol": one.symbol, "start": index})
            rows.append((one.symbol, pd.Timestamp(one.bars[index].timestamp), environment.step(Action.BUY)[1]))
    return pd.DataFrame(rows, columns=["symbol", "timestamp", "reward_usd"])


def _series(world: World) -> list[MarketSeries]:
    from datetime import date

    import pandas as pd

    from trading.nouns import Bar, Split
    from trading.series import market_series
    from trading.strategy import FEATURE_COLUMNS

    features = world.first_prints("features").dropna(subset=list(FEATURE_COLUMNS))
    bars = world.first_prints().merge(features[["symbol", "timestamp"]], on=["symbol", "timestamp"], validate="1:1")
    records: list[Any] = list(bars.itertuples())
    nouns = [
        Bar(
            symbol=row.symbol,
            timestamp=row.timestamp.to_pydatetime(),
            opens_at=(row.timestamp + pd.Timedelta(_OPENING)).to_pydatetime(),
            known_at=row.known_at.to_pydatetime(),
            open=_decimal(row.open),
            high=_decimal(row.high),
            low=_decimal(row.low),
            close=_decimal(row.close),
            volume=_decimal(row.volume),
        )
        for row in records
    ]
    actions: list[Any] = list(world.newest("actions").itertuples())
    moved = [
        Split(row.symbol, date.fromisoformat(str(row.ex_date)[:10]), _decimal(row.ratio))
        for row in actions
        if row.kind == "split"
    ]
    # The earliest bar's: a world that says something else of the future says it of the lots beside its bars too.
    lots = {row.symbol: _decimal(row.lot_size, QUANTITY_SCALE) for row in reversed(records) if hasattr(row, "lot_size")}
    return [replace(one, lot_size=lots.get(one.symbol, one.lot_size)) for one in market_series(features, nouns, moved)]


def _decimal(value: float, scale: int = PRICE_SCALE) -> Decimal:
    return Decimal(repr(round(float(value), scale)))
