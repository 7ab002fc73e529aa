"""What an equity path is worth. Conventions: simple returns per bar, no risk-free rate, fractions not percent, 252 bars
a year unless the caller says how many its interval and calendar have (annualisation.py).

Drawdowns are negative numbers from a peak. A path that cannot have a number (one bar, no movement) has 0.0, as stated
per metric; empyrical leaves NaN there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from trading.backtest import BacktestResult
from trading.errors import InputError
from trading.nouns import Side

BARS_PER_YEAR = 252


@dataclass(frozen=True)
class Performance:
    """The metrics of one path; dollars in the amounts, fractions in the rest."""

    total_return: float
    annualised_return: float
    volatility_annualised: float
    sharpe_ratio: float
    sortino_ratio: float
    max_drawdown: float
    turnover_annualised: float
    exposure: float
    fills: int
    round_trips: int
    win_rate: float
    commission_usd: float
    slippage_usd: float
    final_equity_usd: float

    def to_dict(self) -> dict[str, float]:
        """Return the metrics by name, ready to be logged."""
        return {name: float(value) for name, value in asdict(self).items()}


def performance(result: BacktestResult, bars_per_year: int = BARS_PER_YEAR) -> Performance:
    """Return the metrics of a backtest."""
    equity = equity_path(result.equity_usd)
    returns = simple_returns(equity)
    traded = sum((fill.notional_usd for fill in result.fills), Decimal(0))
    gains = [one.realized_pnl_usd for one in result.transactions if one.kind == "fill" and one.quantity_change < 0]
    return Performance(
        total_return=total_return(equity),
        annualised_return=annualised_return(equity, bars_per_year),
        volatility_annualised=volatility(returns, bars_per_year),
        sharpe_ratio=sharpe_ratio(returns, bars_per_year),
        sortino_ratio=sortino_ratio(returns, bars_per_year),
        max_drawdown=max_drawdown(equity),
        turnover_annualised=float(traded) / float(equity.mean()) * bars_per_year / len(equity),
        exposure=float(np.mean([bool(snapshot.quantities) for snapshot in result.snapshots])),
        fills=len(result.fills),
        round_trips=sum(fill.side is Side.SELL for fill in result.fills),
        win_rate=sum(gain > 0 for gain in gains) / len(gains) if gains else 0.0,
        commission_usd=float(sum((fill.commission_usd for fill in result.fills), Decimal(0))),
        slippage_usd=float(sum((fill.slippage_usd for fill in result.fills), Decimal(0))),
        final_equity_usd=float(equity[-1]),
    )


def equity_path(equity_usd: Sequence[Decimal]) -> NDArray[np.float64]:
    """Return equity as float64[n].

    Raises:
        InputError: no value, or one that is not positive (a return from there has no meaning).
    """
    path = np.array([float(value) for value in equity_usd], dtype=np.float64)
    if not len(path) or not (path > 0).all():
        raise InputError("expected a path of positive equity, found none or a value of 0 or less")
    return path


def simple_returns(equity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return equity[i + 1] / equity[i] - 1, float64[n - 1]."""
    returns: NDArray[np.float64] = equity[1:] / equity[:-1] - 1.0
    return returns


def total_return(equity: NDArray[np.float64]) -> float:
    """Return last / first - 1."""
    return float(equity[-1] / equity[0] - 1.0)


def annualised_return(equity: NDArray[np.float64], bars_per_year: int = BARS_PER_YEAR) -> float:
    """Return the yearly growth rate with the same total: (last / first) ** (year / bars) - 1; 0.0 for one bar."""
    bars = len(equity) - 1
    return float((equity[-1] / equity[0]) ** (bars_per_year / bars) - 1.0) if bars else 0.0


def volatility(returns: NDArray[np.float64], bars_per_year: int = BARS_PER_YEAR) -> float:
    """Return the sample standard deviation (n - 1) of returns times sqrt(year); 0.0 below two returns."""
    return float(returns.std(ddof=1) * math.sqrt(bars_per_year)) if len(returns) > 1 else 0.0


def sharpe_ratio(returns: NDArray[np.float64], bars_per_year: int = BARS_PER_YEAR) -> float:
    """Return mean / sample deviation of returns times sqrt(year); 0.0 for a path that never moved."""
    if len(returns) < 2:
        return 0.0
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(bars_per_year) if deviation > 1e-15 else 0.0


def sortino_ratio(returns: NDArray[np.float64], bars_per_year: int = BARS_PER_YEAR) -> float:
    """Return mean / root mean square of the losses (over all bars) times sqrt(year); 0.0 without a loss."""
    if not len(returns):
        return 0.0
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(returns.mean()) / downside * math.sqrt(bars_per_year) if downside > 1e-15 else 0.0


def max_drawdown(equity: NDArray[np.float64]) -> float:
    """Return the deepest fall from an earlier peak as a negative fraction; 0.0 if there was none."""
    return float((equity / np.maximum.accumulate(equity) - 1.0).min())
