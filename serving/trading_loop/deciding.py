"""From the services' answers to decisions and intents: the bar's whole second half, without touching anything.

Pure: answers, books and bars in, rows out. Sizing is `trading.strategy.target_order`, refusals are
`trading.risk.check`; both are shared with the backtest. Symbols are decided in name order from one cash snapshot, each
BUY leaving less for the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from serving.trading_loop.session import Session
from trading.adapters.event_chain import Event
from trading.adapters.ledger import OpenOrder, SessionBooks
from trading.adapters.ledger_rows import DecisionRow, IntentRow, client_order_id_of, decision_id_of
from trading.adapters.market_data import BarGroup
from trading.adapters.recalls import OpenRecall
from trading.adapters.services import OracleAnswer, SentimentAnswer
from trading.backtest import intent_of
from trading.nouns import Action, Bar, Instrument, Side, product, usd
from trading.risk import (
    DenialReason,
    Denied,
    FeatureFacts,
    OrderProposal,
    RiskContext,
    TradingState,
    check,
    denied,
)
from trading.strategy import NothingToDo, target_order


@dataclass(frozen=True)
class Answered:
    """What the services said about one symbol, how many sessions old its feature row was, and which bar was recalled."""

    oracle: OracleAnswer
    analyst: SentimentAnswer | None
    age_sessions: int
    recalled: OpenRecall | None = None


@dataclass(frozen=True)
class BarQuestion:
    """What all decisions of one bar share."""

    session: Session
    watermark: int
    state: TradingState
    instruments: dict[str, Instrument]
    equity_usd: Decimal
    decided_at: datetime
    trace_id: str


ValueT = TypeVar("ValueT")
Outcome = OrderProposal | NothingToDo | Denied


def decide_bar(
    question: BarQuestion, group: BarGroup, answers: dict[str, Answered], books: SessionBooks
) -> tuple[list[DecisionRow], list[IntentRow]]:
    """Return the decisions of one bar and the orders they ask for; `books` gains the orders."""
    decisions, intents = [], []
    for symbol, session_bar in group.bars.items():
        answered = answers[symbol]
        outcome = _outcome(question, session_bar.bar, answered, books)
        decision = _decision_row(question, session_bar.bar, answered, books, outcome)
        decisions.append(decision)
        if isinstance(outcome, OrderProposal):
            row = _intent_row(question, decision, outcome)
            intents.append(row)
            books.open_orders.append(OpenOrder(row.intent, row.eligible_at, group.timestamp, is_acknowledged=False))
    return decisions, intents


def events_of(decisions: list[DecisionRow], intents: list[IntentRow]) -> list[Event]:
    """Return what the chain remembers of a bar's decisions: ids and the hashes of the rows."""
    intended = {row.decision_id: row for row in intents}
    events = []
    for decision in decisions:
        made = {
            "decision_id": decision.decision_id,
            "outcome": decision.outcome,
            "reason_code": decision.reason_code,
            "row_hash": decision.row_hash.hex(),
        }
        events.append(Event("DecisionMade", decision.as_of, made))
        if decision.decision_id in intended:
            row = intended[decision.decision_id]
            order = {"client_order_id": row.intent.client_order_id, "row_hash": row.row_hash.hex()}
            events.append(Event("OrderIntended", decision.as_of, order))
    return events


def _outcome(question: BarQuestion, bar: Bar, answered: Answered, books: SessionBooks) -> Outcome:
    oracle = answered.oracle
    if oracle.action is None:
        found = oracle.reason or "no usable feature row"
        return denied(DenialReason.STALE_FEATURES, symbol=bar.symbol, found=found)
    action = Action(oracle.action)
    if answered.recalled is not None and action is not Action.HOLD:
        recall = answered.recalled
        return denied(
            DenialReason.DATA_RECALLED, symbol=bar.symbol, bar=recall.timestamp.date(), recall_id=recall.recall_id
        )
    if action is not Action.HOLD and any(order.intent.symbol == bar.symbol for order in books.open_orders):
        return NothingToDo("order_pending")
    proposal = target_order(
        action,
        books.portfolio.position(bar.symbol),
        price_usd=bar.close,
        equity_usd=question.equity_usd,
        symbols=len(question.session.symbols),
        as_of=bar.known_at,
        lot_size=question.instruments[bar.symbol].lot_size,
    )
    if not isinstance(proposal, OrderProposal):
        return proposal
    context = RiskContext(
        available_cash_usd=_available_cash_usd(books),
        equity_usd=question.equity_usd,
        position=books.portfolio.position(bar.symbol),
        state=question.state,
        features=_facts(answered),
    )
    return check(proposal, context, question.session.terms.limits) or proposal


def _available_cash_usd(books: SessionBooks) -> Decimal:
    """Return the cash that no waiting BUY has been promised, at decision prices."""
    promised = (
        usd(product(order.intent.quantity, order.intent.decision_price_usd))
        for order in books.open_orders
        if order.intent.side is Side.BUY
    )
    return books.portfolio.cash_usd - sum(promised, Decimal(0))


def _facts(answered: Answered) -> FeatureFacts | None:
    row = answered.oracle.feature_row
    if row is None or row.sentiment is None:
        return None
    analyst = None if answered.analyst is None else answered.analyst.score
    return FeatureFacts(
        row.known_at, answered.age_sessions, row.sentiment, analyst, row.age_sessions, row.max_age_sessions
    )


def _decision_row(
    question: BarQuestion, bar: Bar, answered: Answered, books: SessionBooks, outcome: Outcome
) -> DecisionRow:
    session, oracle, analyst = question.session, answered.oracle, answered.analyst
    row = oracle.feature_row
    name, code, reason = _words(outcome, oracle.action)
    return DecisionRow(
        decision_id=decision_id_of(session.session_id, bar.symbol, bar.timestamp),
        session_id=session.session_id,
        symbol=bar.symbol,
        timestamp=bar.timestamp,
        as_of=bar.known_at,
        watermark=question.watermark,
        source=bar.source,
        bar_id=_present(bar.bar_id),
        bar_row_hash=_present(bar.row_hash),
        definition=row.definition if row else None,
        feature_row_id=row.row_id if row else None,
        feature_row_hash=row.row_hash if row else None,
        feature_timestamp=row.timestamp if row else None,
        vector=oracle.vector,
        model_name=session.terms.model_name,
        model_version=oracle.model_version,
        weights_sha256=oracle.weights_sha256,
        snapshot_id=oracle.snapshot_id,
        scorer=session.scorer,
        scorer_version=session.scorer_version,
        sentiment=row.sentiment if row else None,
        analyst_sentiment=analyst.score if analyst else None,
        sentiment_items=list(analyst.items) if analyst else [],
        action=oracle.action,
        confidence=oracle.confidence,
        price_usd=bar.close,
        position_quantity=books.portfolio.quantity(bar.symbol),
        cash_usd=books.portfolio.cash_usd,
        equity_usd=question.equity_usd,
        outcome=name,
        reason_code=code,
        reason=reason,
        environment=oracle.environment,
        decided_at=question.decided_at,
        trace_id=question.trace_id,
    )


def _words(outcome: Outcome, action: int | None) -> tuple[str, str | None, dict[str, Any]]:
    match outcome:
        case OrderProposal():
            return "ordered", None, {"side": outcome.side.value, "quantity": str(outcome.quantity)}
        case Denied():
            return "denied", outcome.reason.value, dict(outcome.details)
        case NothingToDo():
            return ("held" if action == Action.HOLD else "nothing_to_do"), outcome.reason, {}


def _intent_row(question: BarQuestion, decision: DecisionRow, proposal: OrderProposal) -> IntentRow:
    intent = intent_of(proposal, client_order_id_of(decision.decision_id))
    eligible_at = intent.as_of + question.session.terms.latency
    return IntentRow(intent, decision.decision_id, decision.session_id, eligible_at)


def acknowledged(order: OpenOrder) -> OpenOrder:
    """Return the order as one that the broker has taken."""
    return replace(order, is_acknowledged=True)


def _present(value: ValueT | None) -> ValueT:
    if value is None:
        raise ValueError("expected a bar with its identity")
    return value
