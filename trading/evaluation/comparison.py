"""What a backtest would have come to under knowledge of today: the survivorship and the restatement difference.

One window, walked three times by buy-and-hold and by a model: the universe and the prints as they were, today's members,
and the newest version of every bar and feature. Nothing is chosen by these numbers; they say what hindsight is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trading.backtest import BacktestSettings, run_backtest
from trading.evaluation.metrics import equity_path, total_return
from trading.ports import DecisionModel
from trading.series import MarketSeries
from trading.strategy import BuyAndHold


@dataclass(frozen=True)
class Returns:
    """Total returns over one window, after costs, as fractions."""

    buy_and_hold: float
    model: float

    def less(self, other: Returns) -> Returns:
        """Return how much more this came to than `other`."""
        return Returns(self.buy_and_hold - other.buy_and_hold, self.model - other.model)


@dataclass(frozen=True)
class Comparison:
    """The window as it was, with today's members, and in its latest versions."""

    as_it_was: Returns
    todays_members: Returns
    latest_versions: Returns

    @property
    def survivorship(self) -> Returns:
        """What choosing today's members adds."""
        return self.todays_members.less(self.as_it_was)

    @property
    def restatement(self) -> Returns:
        """What the latest versions of bars and features add to the first prints."""
        return self.latest_versions.less(self.as_it_was)


def compared(
    model: DecisionModel,
    as_it_was: Sequence[MarketSeries],
    todays_members: Sequence[MarketSeries],
    latest_versions: Sequence[MarketSeries],
    settings: BacktestSettings | None = None,
) -> Comparison:
    """Return the returns over one window under the three states of knowledge; equal ones are walked once.

    A symbol that leaves the universe has no bar from then on: what is held of it stays at its last close.
    """
    was = _returns(model, as_it_was, settings)
    others = [
        was if _is_same(one, as_it_was) else _returns(model, one, settings) for one in (todays_members, latest_versions)
    ]
    return Comparison(was, *others)


def _returns(model: DecisionModel, series: Sequence[MarketSeries], settings: BacktestSettings | None) -> Returns:
    walked = [one for one in series if len(one)]
    if not walked:  # nothing to hold: cash
        return Returns(0.0, 0.0)
    held, decided = (run_backtest(one, walked, settings) for one in (BuyAndHold(), model))
    return Returns(total_return(equity_path(held.equity_usd)), total_return(equity_path(decided.equity_usd)))


def _is_same(one: Sequence[MarketSeries], other: Sequence[MarketSeries]) -> bool:
    return len(one) == len(other) and all(
        (a.symbol, a.bars, a.splits) == (b.symbol, b.bars, b.splits) and np.array_equal(a.states, b.states)
        for a, b in zip(one, other, strict=True)
    )
