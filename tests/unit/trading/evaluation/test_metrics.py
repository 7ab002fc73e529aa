import math
import statistics
from decimal import Decimal

import numpy as np
import pytest

from trading.backtest import BacktestSettings, run_backtest
from trading.costs import Costs
from trading.errors import InputError
from trading.evaluation import (
    annualised_return,
    equity_path,
    max_drawdown,
    performance,
    sharpe_ratio,
    simple_returns,
    sortino_ratio,
    total_return,
    volatility,
)
from trading.strategy import MacdCross


def test_total_and_annualised_return_of_a_doubling_in_two_years():
    path = np.geomspace(100, 200, 505)  # 504 returns, two years
    assert total_return(path) == pytest.approx(1.0)
    assert annualised_return(path) == pytest.approx(math.sqrt(2) - 1)


def test_sharpe_ratio_is_mean_over_sample_deviation_times_root_of_the_year():
    returns = [0.01, -0.02, 0.03, 0.00]
    expected = statistics.mean(returns) / statistics.stdev(returns) * math.sqrt(252)
    assert sharpe_ratio(np.array(returns)) == pytest.approx(expected, rel=1e-14)
    assert volatility(np.array(returns)) == pytest.approx(statistics.stdev(returns) * math.sqrt(252), rel=1e-14)


def test_sortino_ratio_counts_losses_only():
    returns = np.array([0.02, -0.01, 0.01, -0.03])
    downside = math.sqrt((0.01**2 + 0.03**2) / 4)
    assert sortino_ratio(returns) == pytest.approx(-0.0025 / downside * math.sqrt(252))


def test_max_drawdown_is_the_deepest_fall_from_an_earlier_peak():
    assert max_drawdown(np.array([100.0, 120.0, 90.0, 130.0, 117.0])) == pytest.approx(-0.25)
    assert max_drawdown(np.array([1.0, 2.0, 3.0])) == 0.0


def test_a_path_that_never_moves_has_no_ratio():
    still = simple_returns(np.full(10, 100.0))
    assert (sharpe_ratio(still), sortino_ratio(still), volatility(still)) == (0.0, 0.0, 0.0)
    assert annualised_return(np.array([5.0])) == 0.0


def test_equity_of_zero_is_refused():
    with pytest.raises(InputError, match="positive equity"):
        equity_path([Decimal(1), Decimal(0)])


def test_performance_of_a_backtest_adds_up(make_world):
    result = run_backtest(MacdCross(), [make_world(bars=100, seed=3)], BacktestSettings(costs=Costs()))
    found = performance(result)
    assert found.fills == len(result.fills) > 10
    assert found.commission_usd == pytest.approx(float(sum(fill.commission_usd for fill in result.fills)))
    assert found.total_return == pytest.approx(found.final_equity_usd / 100_000 - 1)
    notional = float(sum(fill.notional_usd for fill in result.fills))
    mean_equity = float(sum(result.equity_usd)) / 100
    assert found.turnover_annualised == pytest.approx(notional / mean_equity * 2.52)
    assert 0.0 < found.exposure < 1.0
    assert all(isinstance(value, float) for value in found.to_dict().values())
