"""The rules, one class each with one `validate`, in the order they are asked. Their words live in limits.py.

As in zipline's `controls.py`. Orders that only reduce a position pass the size rules: a limit must never lock a
position in.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from trading.nouns import ZERO, Side, product, quotient, usd
from trading.risk.limits import DenialReason, Denied, OrderProposal, RiskContext, RiskLimits, TradingState, denied

_SHOWN = Decimal("0.0001")  # a fraction of equity, as a refusal shows it


class RiskRule(Protocol):
    """One reason to refuse."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """Return the refusal, or None if this rule has nothing against the order."""


class KillSwitch:
    """Nothing when HALTED; only what reduces when REDUCING."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        if context.state is TradingState.HALTED:
            return denied(DenialReason.SESSION_HALTED, symbol=proposal.symbol, side=proposal.side)
        if context.state is TradingState.REDUCING and proposal.side is Side.BUY:
            return denied(DenialReason.SESSION_REDUCING, symbol=proposal.symbol, side=proposal.side)
        return None


class FreshFeatures:
    """No order rests on a feature row that is missing or too old, by its own definition or by the session's limits."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        if not context.check_features:
            return None
        facts = context.features
        if facts is None:
            return denied(DenialReason.STALE_FEATURES, symbol=proposal.symbol, found="no feature row")
        if facts.is_past_its_definition:
            return denied(
                DenialReason.STALE_FEATURES,
                symbol=proposal.symbol,
                closed_sessions=facts.closed_sessions,
                definition_allows=facts.max_closed_sessions,
            )
        age = proposal.as_of - facts.known_at
        if facts.age_sessions > limits.max_feature_age_sessions or age > limits.max_feature_age:
            return denied(
                DenialReason.STALE_FEATURES,
                symbol=proposal.symbol,
                age_sessions=facts.age_sessions,
                limit_sessions=limits.max_feature_age_sessions,
                age=age,
                limit=limits.max_feature_age,
            )
        return None


class MatchingSentiment:
    """The analyst and the feature row must give the same number, bit for bit: both come from one SQL function."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        facts = context.features
        if facts is None or facts.analyst_sentiment is None or facts.analyst_sentiment == facts.sentiment:
            return None
        return denied(
            DenialReason.SENTIMENT_MISMATCH,
            symbol=proposal.symbol,
            feature_sentiment=repr(facts.sentiment),
            analyst_sentiment=repr(facts.analyst_sentiment),
        )


class LongOnly:
    """No more is sold than is held."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        if proposal.side is Side.BUY or proposal.quantity <= context.position.quantity:
            return None
        return denied(
            DenialReason.SHORT_NOT_ALLOWED,
            symbol=proposal.symbol,
            quantity=proposal.quantity,
            held=context.position.quantity,
        )


class MaxOrderNotional:
    """One order is worth at most so much."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        if proposal.side is Side.SELL or proposal.notional_usd <= limits.max_order_notional_usd:
            return None
        return denied(
            DenialReason.NOTIONAL_EXCEEDS_LIMIT,
            symbol=proposal.symbol,
            notional_usd=proposal.notional_usd,
            limit_usd=limits.max_order_notional_usd,
        )


class MaxPositionQuantity:
    """At most so many shares are held."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        after = context.position.quantity + proposal.quantity
        if proposal.side is Side.SELL or after <= limits.max_position_quantity:
            return None
        return denied(
            DenialReason.POSITION_LIMIT_EXCEEDED,
            symbol=proposal.symbol,
            quantity_after=after,
            limit=limits.max_position_quantity,
        )


class MaxConcentration:
    """A position is at most so great a part of equity, at the decision price."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        after_usd = usd(product(context.position.quantity + proposal.quantity, proposal.price_usd))
        if proposal.side is Side.SELL or after_usd <= product(limits.max_concentration, context.equity_usd):
            return None
        part = quotient(after_usd, context.equity_usd) if context.equity_usd else ZERO
        return denied(
            DenialReason.CONCENTRATION_EXCEEDED,
            symbol=proposal.symbol,
            position_usd=after_usd,
            equity_usd=context.equity_usd,
            concentration=part.quantize(_SHOWN),
            limit=limits.max_concentration,
        )


class EnoughCash:
    """The order can be paid at the decision price. A gapped open shrinks it later; it is not refused for that."""

    def validate(self, proposal: OrderProposal, context: RiskContext, limits: RiskLimits) -> Denied | None:
        """See `RiskRule`."""
        if proposal.side is Side.SELL or proposal.notional_usd <= context.available_cash_usd:
            return None
        return denied(
            DenialReason.INSUFFICIENT_CASH,
            symbol=proposal.symbol,
            notional_usd=proposal.notional_usd,
            available_usd=context.available_cash_usd,
        )


RULES: tuple[RiskRule, ...] = (
    KillSwitch(),
    FreshFeatures(),
    MatchingSentiment(),
    LongOnly(),
    MaxOrderNotional(),
    MaxPositionQuantity(),
    MaxConcentration(),
    EnoughCash(),
)


def check(
    proposal: OrderProposal, context: RiskContext, limits: RiskLimits, rules: Sequence[RiskRule] = RULES
) -> Denied | None:
    """Return the first refusal, or None if the order may go out."""
    for rule in rules:
        refusal = rule.validate(proposal, context, limits)
        if refusal is not None:
            return refusal
    return None
