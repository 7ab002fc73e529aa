"""What a model is worth on a window: metrics, whether a lead could be luck, the promotion gate, walk-forward
windows."""

from trading.evaluation.bootstrap import lead_p_value
from trading.evaluation.gate import Check, Evidence, GateTerms, Verdict, judge, seed_spread
from trading.evaluation.judging import evidence_on
from trading.evaluation.metrics import (
    BARS_PER_YEAR,
    Performance,
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
from trading.evaluation.walk_forward import Fold, walk_forward

__all__ = [
    "BARS_PER_YEAR",
    "Check",
    "Evidence",
    "Fold",
    "GateTerms",
    "Performance",
    "Verdict",
    "annualised_return",
    "equity_path",
    "evidence_on",
    "judge",
    "lead_p_value",
    "max_drawdown",
    "performance",
    "seed_spread",
    "sharpe_ratio",
    "simple_returns",
    "sortino_ratio",
    "total_return",
    "volatility",
    "walk_forward",
]
