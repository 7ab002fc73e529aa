"""The promotion gate: whether a challenger becomes champion, by evidence from a window that nothing was chosen on.

All must hold, each after costs and on the same later window:

    LATER_WINDOW      the window begins after the training window and the embargo
    ENOUGH_BARS       it is long enough to say anything
    BEATS_HOLDING     the challenger returned more than buying and holding the same symbols
    BEATS_CHAMPION    and more than the champion
    MEDIAN_SEED       so did the median of the same training under other seeds: not one lucky path
    LEAD_NOT_LUCK     the lead over the better of the two is unlikely to be chance (stationary bootstrap)

A refusal is a good outcome. The gate is pure: paths in, a verdict out; who moves the alias reads `promoted`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from trading.backtest import BacktestResult
from trading.errors import InputError
from trading.evaluation.bootstrap import lead_p_value
from trading.evaluation.metrics import BARS_PER_YEAR, Performance, equity_path, performance, simple_returns


@dataclass(frozen=True)
class GateTerms:
    """What the gate asks; fixed before any result is seen and stored with every verdict."""

    embargo_sessions: int = 5
    minimum_bars: int = 40
    maximum_p_value: float = 0.10
    resamples: int = 2_000
    bootstrap_seed: int = 0


@dataclass(frozen=True)
class Evidence:
    """What is judged: backtests of one window under one set of costs.

    Attributes:
        training_last: The last session any of the training saw.
        sessions_between: Sessions after `training_last` and before the window: the embargo that was kept.
        seeds: The same training under other seeds, for the spread; empty for a rule, which has no seed.
        bars_per_year: What yearly numbers are scaled by.
    """

    challenger: BacktestResult
    champion: BacktestResult
    buy_and_hold: BacktestResult
    training_last: date
    sessions_between: int
    seeds: Sequence[BacktestResult] = ()
    bars_per_year: int = BARS_PER_YEAR


@dataclass(frozen=True)
class Check:
    """One question of the gate, its answer and the numbers it rests on."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer. `reasons`: the checks that failed, as sentences; empty exactly if promoted."""

    promoted: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float]
    checks: tuple[Check, ...] = ()
    window_first: str = ""
    window_last: str = ""
    terms: GateTerms = field(default_factory=GateTerms)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return {**asdict(self), "reasons": list(self.reasons), "checks": [asdict(check) for check in self.checks]}

    def to_json(self) -> str:
        """Return the verdict as canonical JSON."""
        return json.dumps(self.to_dict(), sort_keys=True)


def judge(evidence: Evidence, terms: GateTerms | None = None) -> Verdict:
    """Return the verdict on a challenger.

    Raises:
        InputError: the backtests are not of the same bars.
    """
    asked = terms or GateTerms()
    first, last, bars = _window(evidence)
    found = {
        "challenger": performance(evidence.challenger, evidence.bars_per_year),
        "champion": performance(evidence.champion, evidence.bars_per_year),
        "buy_and_hold": performance(evidence.buy_and_hold, evidence.bars_per_year),
    }
    seeds = [performance(result).total_return for result in evidence.seeds]
    p_value = _p_value(evidence, found, asked)
    checks = (
        *_window_checks(evidence, asked, first, bars),
        *_return_checks(found, seeds),
        Check("LEAD_NOT_LUCK", p_value <= asked.maximum_p_value, f"p = {p_value:.4f}, limit {asked.maximum_p_value}"),
    )
    failed = tuple(f"{check.name}: {check.detail}" for check in checks if not check.passed)
    metrics = {f"{who}_{name}": value for who, numbers in found.items() for name, value in numbers.to_dict().items()}
    metrics |= {"lead_p_value": p_value, "window_bars": float(bars), **seed_spread(seeds)}
    return Verdict(not failed, failed, metrics, checks, first.isoformat(), last.isoformat(), asked)


def seed_spread(total_returns: Sequence[float]) -> dict[str, float]:
    """Return how total return spreads over seeds; empty without any."""
    if not total_returns:
        return {}
    return {
        "seeds": float(len(total_returns)),
        "seeds_total_return_min": min(total_returns),
        "seeds_total_return_median": statistics.median(total_returns),
        "seeds_total_return_max": max(total_returns),
        "seeds_total_return_deviation": statistics.pstdev(total_returns),
    }


def _window(evidence: Evidence) -> tuple[date, date, int]:
    paths = [evidence.challenger, evidence.champion, evidence.buy_and_hold, *evidence.seeds]
    bars = {tuple(snapshot.timestamp for snapshot in path.snapshots) for path in paths}
    if len(bars) != 1:
        raise InputError("expected backtests over the same bars, found different ones; judge all on one window")
    (timestamps,) = bars
    return timestamps[0].date(), timestamps[-1].date(), len(timestamps)


def _window_checks(evidence: Evidence, terms: GateTerms, first: date, bars: int) -> tuple[Check, Check]:
    is_later = first > evidence.training_last and evidence.sessions_between >= terms.embargo_sessions
    later = f"training to {evidence.training_last}, {evidence.sessions_between} sessions between, window from {first}"
    return (
        Check("LATER_WINDOW", is_later, f"{later}, embargo {terms.embargo_sessions}"),
        Check("ENOUGH_BARS", bars >= terms.minimum_bars, f"{bars} bars, at least {terms.minimum_bars}"),
    )


def _return_checks(found: dict[str, Performance], seeds: Sequence[float]) -> tuple[Check, ...]:
    ours = found["challenger"].total_return
    holding, champion = found["buy_and_hold"].total_return, found["champion"].total_return
    checks = [
        Check("BEATS_HOLDING", ours > holding, f"{ours:+.4%} against {holding:+.4%} after costs"),
        Check("BEATS_CHAMPION", ours > champion, f"{ours:+.4%} against {champion:+.4%} after costs"),
    ]
    if seeds:
        median, bar = statistics.median([ours, *seeds]), max(holding, champion)
        detail = f"median of {len(seeds) + 1} seeds {median:+.4%} against {bar:+.4%}"
        checks.append(Check("MEDIAN_SEED", median > bar, detail))
    return tuple(checks)


def _p_value(evidence: Evidence, found: dict[str, Performance], terms: GateTerms) -> float:
    """Return the p-value of the lead over the better of champion and holding."""
    champion_is_better = found["champion"].total_return >= found["buy_and_hold"].total_return
    better = evidence.champion if champion_is_better else evidence.buy_and_hold
    ours, theirs = (simple_returns(equity_path(path.equity_usd)) for path in (evidence.challenger, better))
    if len(ours) < 2:
        return 1.0
    return lead_p_value(ours, theirs, seed=terms.bootstrap_seed, resamples=terms.resamples)
