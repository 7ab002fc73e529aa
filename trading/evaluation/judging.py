"""Models on one window: the backtests that the gate reads, all under the same terms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from trading.backtest import BacktestSettings, run_backtest
from trading.evaluation.gate import Evidence
from trading.evaluation.metrics import BARS_PER_YEAR
from trading.ports import DecisionModel
from trading.series import MarketSeries
from trading.strategy import BuyAndHold


def evidence_on(
    window: Sequence[MarketSeries],
    *,
    challenger: DecisionModel,
    champion: DecisionModel,
    training_last: date,
    sessions_between: int,
    seeds: Sequence[DecisionModel] = (),
    settings: BacktestSettings | None = None,
    champion_window: Sequence[MarketSeries] | None = None,
    bars_per_year: int = BARS_PER_YEAR,
) -> Evidence:
    """Return the backtests of challenger, champion, buy-and-hold and the other seeds over `window`.

    Args:
        window: The judging window's series; nothing of it may have been trained on.
        seeds: The challenger's training under other seeds.
        sessions_between: Sessions after `training_last` and before the window.
        champion_window: The same bars with the features that the champion reads, where those are others.
        bars_per_year: What yearly numbers are scaled by.
    """
    return Evidence(
        challenger=run_backtest(challenger, window, settings),
        champion=run_backtest(champion, champion_window or window, settings),
        buy_and_hold=run_backtest(BuyAndHold(), window, settings),
        training_last=training_last,
        sessions_between=sessions_between,
        seeds=[run_backtest(model, window, settings) for model in seeds],
        bars_per_year=bars_per_year,
    )
