from dataclasses import FrozenInstanceError, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from trading.backtest import BacktestSettings
from trading.costs import FREE
from trading.errors import InputError
from trading.evaluation import GateTerms, evidence_on, judge, lead_p_value, walk_forward
from trading.nouns import Action, Decision
from trading.strategy import BuyAndHold, MacdCross

BEFORE = date(2019, 12, 1)


class Idle:
    """Never trades."""

    kind = "idle"
    sha256 = ""

    def decide(self, vectors: np.ndarray) -> list[Decision]:
        return [Decision(Action.HOLD, 1.0) for _ in vectors]

    def to_bytes(self) -> bytes:
        return b""


@pytest.fixture
def window(make_world):
    """A window in which MACD's sign leads the price: the cross is far better than holding."""
    return [make_world(symbol, bars=120, seed=seed, macd_leads=True) for seed, symbol in enumerate("AB")]


def evidence(window, challenger, champion, **changes):
    settings = BacktestSettings(Decimal(100_000), FREE)
    made = evidence_on(
        window,
        challenger=challenger,
        champion=champion,
        training_last=BEFORE,
        sessions_between=5,
        seeds=changes.pop("seeds", ()),
        settings=settings,
    )
    return replace(made, **changes)


def failed(verdict):
    return {check.name for check in verdict.checks if not check.passed}


def test_a_challenger_that_beats_champion_and_holding_is_promoted(window):
    verdict = judge(evidence(window, MacdCross(), Idle(), seeds=[MacdCross(0.02), MacdCross(0.03)]))
    assert verdict.promoted
    assert verdict.reasons == ()
    assert verdict.metrics["challenger_total_return"] > verdict.metrics["buy_and_hold_total_return"]
    assert verdict.metrics["seeds"] == 2.0


def test_an_equal_challenger_is_refused_with_its_reasons(window):
    verdict = judge(evidence(window, MacdCross(), MacdCross()))
    assert not verdict.promoted
    assert failed(verdict) == {"BEATS_CHAMPION", "LEAD_NOT_LUCK"}
    assert verdict.reasons[0].startswith("BEATS_CHAMPION: +")


def test_holding_alone_is_never_promoted_over_idling(window):
    assert "BEATS_HOLDING" in failed(judge(evidence(window, BuyAndHold(), Idle())))


def test_one_lucky_seed_is_refused(window):
    verdict = judge(evidence(window, MacdCross(), Idle(), seeds=[Idle(), Idle()]))
    assert failed(verdict) == {"MEDIAN_SEED"}


def test_a_window_that_training_saw_or_that_is_too_near_is_refused(window):
    inside = window[0].bars[3].timestamp.date()
    assert "LATER_WINDOW" in failed(judge(evidence(window, MacdCross(), Idle(), training_last=inside)))
    assert "LATER_WINDOW" in failed(judge(evidence(window, MacdCross(), Idle(), sessions_between=4)))


def test_a_short_window_says_nothing(window):
    assert "ENOUGH_BARS" in failed(judge(evidence(window, MacdCross(), Idle()), GateTerms(minimum_bars=121)))


def test_backtests_of_different_bars_are_not_compared(window, make_world):
    other = evidence([make_world(bars=10)], MacdCross(), Idle())
    with pytest.raises(InputError, match="same bars"):
        judge(replace(evidence(window, MacdCross(), Idle()), champion=other.champion))


def test_a_verdict_is_frozen_and_plain(window):
    verdict = judge(evidence(window, MacdCross(), Idle()))
    with pytest.raises(FrozenInstanceError):
        verdict.promoted = False
    assert '"promoted": true' in verdict.to_json()
    assert judge(evidence(window, MacdCross(), Idle())).to_json() == verdict.to_json()


def test_no_lead_is_surely_luck_and_a_steady_lead_is_not():
    theirs = np.random.default_rng(0).normal(0, 0.01, 200)
    assert lead_p_value(theirs, theirs, seed=1) == 1.0
    assert lead_p_value(theirs + 0.001, theirs, seed=1, resamples=99) == 0.01


def test_p_values_of_no_lead_are_spread_evenly():
    """Under no lead a p below 0.1 should come about one time in ten."""
    generator = np.random.default_rng(5)
    found = [
        lead_p_value(generator.normal(0, 0.01, 150), generator.normal(0, 0.01, 150), seed=s, resamples=200)
        for s in range(200)
    ]
    assert 0.05 < np.mean(np.array(found) <= 0.1) < 0.17
    assert 0.4 < np.mean(found) < 0.6


def test_unpaired_returns_are_refused():
    with pytest.raises(InputError, match="paired"):
        lead_p_value(np.zeros(3), np.zeros(4), seed=0)


def test_walk_forward_never_trains_on_what_it_tests():
    sessions = [date(2020, 1, 1) + timedelta(days=day) for day in range(100)]
    folds = walk_forward(sessions, folds=3, test_sessions=20, embargo_sessions=5)
    assert [(fold.test_first, fold.test_last) for fold in folds] == [
        (sessions[40], sessions[59]),
        (sessions[60], sessions[79]),
        (sessions[80], sessions[99]),
    ]
    assert [sessions.index(fold.test_first) - sessions.index(fold.training_last) - 1 for fold in folds] == [5, 5, 5]
    with pytest.raises(InputError, match="at least 85"):
        walk_forward(sessions[:84], folds=3, test_sessions=20, embargo_sessions=5)
    with pytest.raises(InputError, match="in order"):
        walk_forward(sessions[::-1], folds=1, test_sessions=5, embargo_sessions=0)


def test_each_side_is_judged_on_the_features_it_reads(window, make_world):
    """The champion's features may be of an older definition: here they misled it, the challenger's did not."""
    misled = [make_world(symbol, bars=120, seed=seed, macd_leads=False) for seed, symbol in enumerate("AB")]
    settings = BacktestSettings(Decimal(100_000), FREE)
    made = evidence_on(
        window, challenger=MacdCross(), champion=MacdCross(), training_last=BEFORE, sessions_between=5,
        settings=settings, champion_window=misled,
    )  # fmt: skip
    assert made.champion == evidence(misled, MacdCross(), MacdCross()).champion
    assert made.challenger == evidence(window, MacdCross(), MacdCross()).challenger
