"""The market as a Gymnasium environment: what a learner sees, may do, and is paid for.

observation  float64[6], raw units, in the order of `trading.strategy.STATE`
action       0 HOLD, 1 BUY, 2 SELL: `trading.strategy.target_order` with one symbol, as in any session
step         decided on a bar, filled at the next bar's raw open, marked at its raw close
reward       equity at the next close minus equity at this close, in dollars; costs are in it once, through the fill

Cash, costs, fills and splits are trading/{costs,execution,portfolio}.py, nothing of them is repeated here; a backtest
over the same actions ends with the same cent. Normalisation is the policy's: it travels inside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from trading.backtest import DEFAULT_CASH_USD, intent_of
from trading.costs import Costs
from trading.errors import InputError
from trading.execution import after_split, execute, reaches
from trading.nouns import Action, Bar, Fill, OrderIntent
from trading.portfolio import Portfolio, split_reference_price
from trading.risk import OrderProposal
from trading.series import MarketSeries
from trading.strategy import STATE_WIDTH, position_sign, target_order

_LARGEST = 1e15  # bounds only say what a number may be; nothing is scaled by them
_LOW = np.array([0.0, 0.0, -_LARGEST, 0.0, -1.0, -1.0])
_HIGH = np.array([_LARGEST, 100.0, _LARGEST, _LARGEST, 1.0, 1.0])


class TradingEnv(gymnasium.Env[NDArray[np.float64], np.int64]):  # type: ignore[misc]
    """One symbol per episode, long only, from a flat portfolio.

    Args:
        series: The symbols to learn from; `reset` draws one by the seed, or takes `options={"symbol": ..., "start":
        ...}`. costs: What a fill costs. starting_cash_usd: Cash at each reset. episode_bars: Steps of an episode,
        from a start drawn by the seed; None walks a whole series. latency: How long an order is on its way at least.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        series: Sequence[MarketSeries],
        costs: Costs | None = None,
        starting_cash_usd: Decimal = DEFAULT_CASH_USD,
        episode_bars: int | None = None,
        latency: timedelta = timedelta(0),
    ) -> None:
        """Refuse series too short to act on, or an episode length of nothing."""
        if not series or min(len(one) for one in series) < 2:
            raise InputError("expected series of at least 2 bars: one to decide on and one to fill at")
        if episode_bars is not None and episode_bars < 1:
            raise InputError(f"expected episodes of at least 1 bar, found {episode_bars}")
        self.series = {one.symbol: one for one in series}
        self.costs = costs or Costs()
        self.starting_cash_usd = starting_cash_usd
        self.episode_bars = episode_bars
        self.latency = latency
        self.observation_space = gymnasium.spaces.Box(_LOW, _HIGH, (STATE_WIDTH,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(len(Action))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Begin an episode and return the first observation."""
        super().reset(seed=seed)
        chosen = options or {}
        drawn = list(self.series)[int(self.np_random.integers(len(self.series)))]
        self.current = self.series[chosen.get("symbol", drawn)]
        steps = min(self.episode_bars or len(self.current), len(self.current) - 1)
        start = int(self.np_random.integers(len(self.current) - steps))
        self.index = int(chosen.get("start", start))
        self.last = min(self.index + steps, len(self.current) - 1)
        self.portfolio, _ = Portfolio.opened(self.starting_cash_usd)
        self.pending: OrderIntent | None = None
        self.equity_usd = self.portfolio.cash_usd
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Decide on this bar, meet the next, and return what that changed."""
        before_usd = self.equity_usd
        previous = self.current.bars[self.index]
        if self.pending is None:  # an order that is still on its way is not doubled
            self.pending = self._order(Action(int(action)), previous)
        self.index += 1
        self._split(previous.close)
        bar = self.current.bars[self.index]
        fill = self._fill(bar)
        self.equity_usd = self.portfolio.equity_usd({bar.symbol: bar.close})
        reward = float(self.equity_usd - before_usd)
        return self._observation(), reward, False, self.index >= self.last, self._info(fill)

    def _order(self, action: Action, bar: Bar) -> OrderIntent | None:
        proposal = target_order(
            action,
            self.portfolio.position(bar.symbol),
            price_usd=bar.close,
            equity_usd=self.equity_usd,
            symbols=1,
            as_of=bar.known_at,
            lot_size=self.current.lot_size,
        )
        return intent_of(proposal, f"step:{self.index}") if isinstance(proposal, OrderProposal) else None

    def _split(self, previous_close_usd: Decimal) -> None:
        for split in self.current.splits.get(self.index, ()):
            previous_close_usd = split_reference_price(previous_close_usd, split.ratio)
            self.portfolio, _ = self.portfolio.after_split(split, previous_close_usd, self.current.lot_size)
            self.pending = after_split(self.pending, split, self.current.lot_size) if self.pending else None

    def _fill(self, bar: Bar) -> Fill | None:
        if self.pending is None or not reaches(bar.opens_at, self.pending.as_of, self.latency):
            return None
        outcome = execute(self.pending, bar, self.portfolio.cash_usd, self.costs, self.current.lot_size)
        self.pending = None
        if not isinstance(outcome, Fill):
            return None
        self.portfolio, _ = self.portfolio.after_fill(outcome)
        return outcome

    def _observation(self) -> NDArray[np.float64]:
        return self.current.state(self.index, position_sign(self.portfolio.quantity(self.current.symbol)))

    def _info(self, fill: Fill | None = None) -> dict[str, Any]:
        return {"symbol": self.current.symbol, "equity_usd": self.equity_usd, "fill": fill}
