"""An explanation in plain words: what happened, why, on what knowledge, and whether all of it checks out."""

from __future__ import annotations

from decimal import Decimal

from serving.explanation.stored import StoredDecision, StoredFill, StoredOrder
from trading.nouns import Action
from trading.strategy import STATE

_OUTCOMES = {
    "hold": "The model said HOLD, so nothing was to be done.",
    "buy_when_long": "The shares were already held, so there was nothing to buy.",
    "sell_when_flat": "Nothing was held, so there was nothing to sell.",
    "order_pending": "An earlier order was still on its way, and an order is not doubled.",
}


def fill_in_words(fill: StoredFill, decision: StoredDecision, session_name: str, problems: list[str]) -> str:
    """Return the story of a fill."""
    done, row = fill.row.fill, decision.row
    verb = "bought" if done.side == "buy" else "sold"
    lines = [
        f"At the open of {done.bar_timestamp:%Y-%m-%d} session {session_name!r} {verb}"
        f" {_number(done.quantity)} {done.symbol} at {_number(done.price_usd)} USD (open {_number(done.raw_open_usd)},"
        f" slippage {_number(done.slippage_usd)} USD, commission {_number(done.commission_usd)} USD).",
        *(f"The quantity is not the order's: {why}." for why in fill.row.reason.values()),
        *_why(decision),
        f"All of it was known at {row.as_of:%Y-%m-%d %H:%M} UTC, {'before' if row.as_of < done.filled_at else 'at'} that open.",
        _verdict(problems),
    ]
    return " ".join(lines)


def decision_in_words(
    decision: StoredDecision, order: StoredOrder | None, session_name: str, problems: list[str]
) -> str:
    """Return the story of a decision: why it ordered, or why not."""
    row = decision.row
    opening = f"On the bar of {row.timestamp:%Y-%m-%d} session {session_name!r} decided on {row.symbol}."
    return " ".join([opening, *_why(decision), _what_came(decision, order), _verdict(problems)])


def _why(decision: StoredDecision) -> list[str]:
    row = decision.row
    if row.action is None or row.vector is None:
        return [f"Model {row.model_name} version {row.model_version} was not asked: no usable feature row was known."]
    state = ", ".join(f"{name} {value:.6g}" for name, value in zip(STATE, row.vector, strict=True))
    said = (
        f"Model {row.model_name} version {row.model_version} answered {Action(row.action).name}"
        f" with confidence {row.confidence or 0.0:.2f} to {state}"
        f" (feature row {row.feature_row_id}, definition {str(row.definition)[:12]})."
    )
    return [said, _news(decision)]


def _news(decision: StoredDecision) -> str:
    items = decision.row.sentiment_items
    if not items:
        return "No news named the symbol in its last five sessions, so sentiment was 0."
    first = items[0]
    rest = f" and {len(items) - 1} more" if len(items) > 1 else ""
    return f"The sentiment came from {str(first.get('headline'))!r} ({_signed(first.get('score'))}){rest}."


def _what_came(decision: StoredDecision, order: StoredOrder | None) -> str:
    row = decision.row
    if row.outcome == "denied":
        details = ", ".join(f"{name} {value}" for name, value in row.reason.items())
        return f"The order was refused: {row.reason_code} ({details})."
    if order is None:
        return _OUTCOMES.get(str(row.reason_code), f"No order was sent: {row.reason_code}.")
    intent = order.row.intent
    ordered = f"It ordered to {intent.side.value} {_number(intent.quantity)} {intent.symbol}"
    ended = (
        f", which ended without a fill ({order.reason_code})" if order.status == "cancelled" else f" ({order.status})"
    )
    return f"{ordered}{ended}."


def _verdict(problems: list[str]) -> str:
    if not problems:
        return "Every link was found and every hash computed again: it checks out."
    return f"IT DOES NOT CHECK OUT: {'; '.join(problems)}."


def _number(value: Decimal) -> str:
    plain = format(value.normalize(), "f")
    return plain if "." not in plain or len(plain.split(".")[1]) > 1 else f"{plain}0"


def _signed(score: object) -> str:
    return f"{score:+.2f}" if isinstance(score, float | int) else "not scored"
