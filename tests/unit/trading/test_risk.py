from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from trading.errors import InputError
from trading.nouns import Position, Side
from trading.risk import (
    DenialReason,
    FeatureFacts,
    OrderProposal,
    RiskContext,
    RiskLimits,
    TradingState,
    check,
)

AS_OF = datetime(2020, 1, 2, 21, tzinfo=UTC)
FACTS = FeatureFacts(known_at=AS_OF, age_sessions=0, sentiment=0.25, analyst_sentiment=0.25)
BUY = OrderProposal("AAA", Side.BUY, Decimal(100), Decimal(50), AS_OF)
SELL = replace(BUY, side=Side.SELL)
FLAT = RiskContext(Decimal(10_000), Decimal(10_000), Position("AAA"), features=FACTS)
LONG = RiskContext(Decimal(5_000), Decimal(10_000), Position("AAA", Decimal(100), Decimal(5_000)), features=FACTS)
LIMITS = RiskLimits()


def reason(proposal, context, limits=LIMITS):
    refusal = check(proposal, context, limits)
    return refusal and refusal.reason


def test_an_order_within_all_limits_goes_out():
    assert check(BUY, FLAT, LIMITS) is None
    assert check(SELL, LONG, LIMITS) is None


@pytest.mark.parametrize(
    ("proposal", "context", "limits", "expected"),
    [
        (BUY, replace(FLAT, available_cash_usd=Decimal("4999.99")), LIMITS, DenialReason.INSUFFICIENT_CASH),
        (BUY, FLAT, RiskLimits(max_order_notional_usd=Decimal("4999.99")), DenialReason.NOTIONAL_EXCEEDS_LIMIT),
        (BUY, LONG, RiskLimits(max_position_quantity=Decimal(199)), DenialReason.POSITION_LIMIT_EXCEEDED),
        (BUY, FLAT, RiskLimits(max_concentration=Decimal("0.49")), DenialReason.CONCENTRATION_EXCEEDED),
        (BUY, replace(FLAT, features=None), LIMITS, DenialReason.STALE_FEATURES),
        (BUY, replace(FLAT, features=replace(FACTS, age_sessions=1)), LIMITS, DenialReason.STALE_FEATURES),
        (
            BUY,
            replace(FLAT, features=replace(FACTS, known_at=AS_OF - timedelta(days=4, microseconds=1))),
            LIMITS,
            DenialReason.STALE_FEATURES,
        ),
        (
            BUY,
            replace(FLAT, features=replace(FACTS, closed_sessions=4, max_closed_sessions=3)),
            LIMITS,
            DenialReason.STALE_FEATURES,
        ),
        (
            BUY,
            replace(FLAT, features=replace(FACTS, closed_sessions=None, max_closed_sessions=3)),
            LIMITS,
            DenialReason.STALE_FEATURES,
        ),
        (
            SELL,
            replace(LONG, features=replace(FACTS, analyst_sentiment=0.25000000000000006)),
            LIMITS,
            DenialReason.SENTIMENT_MISMATCH,
        ),
        (SELL, FLAT, LIMITS, DenialReason.SHORT_NOT_ALLOWED),
        (SELL, replace(LONG, state=TradingState.HALTED), LIMITS, DenialReason.SESSION_HALTED),
        (BUY, replace(FLAT, state=TradingState.REDUCING), LIMITS, DenialReason.SESSION_REDUCING),
    ],
)
def test_each_rule_refuses_with_its_own_code(proposal, context, limits, expected):
    assert reason(proposal, context, limits) is expected


def test_limits_are_inclusive():
    limits = RiskLimits(
        max_order_notional_usd=Decimal(5000), max_position_quantity=Decimal(100), max_concentration=Decimal("0.5")
    )
    assert check(BUY, replace(FLAT, available_cash_usd=Decimal(5000)), limits) is None


def test_a_definition_without_a_limit_allows_any_age_of_its_own():
    facts = replace(FACTS, closed_sessions=400, max_closed_sessions=None)
    assert check(BUY, replace(FLAT, features=facts), LIMITS) is None
    assert check(BUY, replace(FLAT, features=replace(facts, closed_sessions=3, max_closed_sessions=3)), LIMITS) is None


def test_size_limits_never_lock_a_position_in():
    tight = RiskLimits(
        max_order_notional_usd=Decimal(1), max_position_quantity=Decimal(1), max_concentration=Decimal("0.01")
    )
    assert check(SELL, replace(LONG, available_cash_usd=Decimal(0), state=TradingState.REDUCING), tight) is None


def test_a_refusal_reads_as_code_and_numbers():
    refusal = check(BUY, replace(FLAT, available_cash_usd=Decimal(1)), LIMITS)
    assert str(refusal) == "INSUFFICIENT_CASH: symbol=AAA, notional_usd=5000.00000000, available_usd=1"


def test_a_session_without_an_analyst_has_nothing_to_compare():
    assert check(BUY, replace(FLAT, features=replace(FACTS, analyst_sentiment=None)), LIMITS) is None


def test_stored_limits_come_back_equal():
    limits = RiskLimits(max_concentration=Decimal("0.25"), max_feature_age=timedelta(hours=3))
    assert RiskLimits.from_dict(limits.to_dict()) == limits


def test_limits_that_nothing_could_meet_are_refused():
    with pytest.raises(InputError):
        RiskLimits(max_concentration=Decimal(0))
