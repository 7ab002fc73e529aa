"""Single links of an explanation: each takes what is stored, computes what it can again, and says what is wrong.

A link's facts are plain values, ready for JSON; `problems` empty means verified. How links make a chain lives in
explain.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from feature_store.rows import FeatureRow
from feature_store.store import FeatureStore
from serving.explanation.batches import Batches
from serving.explanation.stored import StoredBar, StoredDecision, StoredFill, StoredOrder, StoredSession
from trading.adapters.ledger_rows import DecisionRow
from trading.nouns import Side
from trading.portfolio import CASH, COMMISSION, REALIZED_PNL, position_account


@dataclass(frozen=True)
class Link:
    """One link: facts for people and programs, and what is wrong with it."""

    facts: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the link as JSON can hold it."""
        return {**self.facts, "verified": not self.problems, "problems": self.problems}


def fill_link(fill: StoredFill) -> Link:
    """The fill itself: is it still what was written?"""
    done = fill.row.fill
    facts = {
        "fill_id": done.fill_id,
        "symbol": done.symbol,
        "side": done.side.value,
        "quantity": str(done.quantity),
        "price_usd": str(done.price_usd),
        "filled_at": done.filled_at.isoformat(),
        "reason": dict(fill.row.reason),
        "row_hash": fill.row_hash.hex(),
    }
    return Link(facts, _unless(fill.row.row_hash == fill.row_hash, "the stored fill was changed"))


def order_link(order: StoredOrder | None) -> Link:
    """What the broker said to the intent."""
    if order is None:
        return Link({}, ["there is no order"])
    intent = order.row.intent
    facts = {
        "client_order_id": intent.client_order_id,
        "broker": order.broker,
        "broker_order_id": order.broker_order_id,
        "status": order.status,
        "reason_code": order.reason_code,
    }
    return Link(facts)


def intent_link(order: StoredOrder | None) -> Link:
    """The order as it was committed before any broker heard of it."""
    if order is None:
        return Link({}, ["there is no intent"])
    intent = order.row.intent
    facts = {
        "client_order_id": intent.client_order_id,
        "decision_id": order.row.decision_id,
        "side": intent.side.value,
        "quantity": str(intent.quantity),
        "decision_price_usd": str(intent.decision_price_usd),
        "eligible_at": order.row.eligible_at.isoformat(),
        "row_hash": order.row_hash.hex(),
    }
    return Link(facts, _unless(order.row.row_hash == order.row_hash, "the stored intent was changed"))


def decision_link(decision: StoredDecision) -> Link:
    """The decision: what was asked, served and answered."""
    row = decision.row
    facts = {
        "decision_id": row.decision_id,
        "session_id": row.session_id,
        "symbol": row.symbol,
        "timestamp": row.timestamp.isoformat(),
        "as_of": row.as_of.isoformat(),
        "watermark": row.watermark,
        "decided_at": row.decided_at.isoformat(),
        "vector": row.vector,
        "action": row.action,
        "confidence": row.confidence,
        "outcome": row.outcome,
        "reason_code": row.reason_code,
        "reason": dict(row.reason),
        "trace_id": row.trace_id,
        "row_hash": decision.row_hash.hex(),
    }
    return Link(facts, _unless(row.row_hash == decision.row_hash, "the stored decision was changed"))


def bar_link(bar: StoredBar | None, recorded_hash: bytes | None) -> Link:
    """A raw bar and the batch it came in."""
    if bar is None:
        return Link({}, ["the bar is not there"])
    facts = {
        "bar_id": bar.bar_id,
        "timestamp": bar.timestamp.isoformat(),
        "open": str(bar.open),
        "close": str(bar.close),
        "row_hash": bytes(bar.row_hash).hex(),
        "batch_id": bar.batch_id,
    }
    problems = _unless(bar.is_intact, f"bar {bar.bar_id} was changed: its hash is not that of its columns")
    problems += _unless(bytes(bar.row_hash) == recorded_hash, f"bar {bar.bar_id} is not the one that was recorded")
    return Link(facts, problems)


def batch_link(batch_id: int, batches: Batches, row: DecisionRow) -> Link:
    """A delivery: its payload in S3 hashed and parsed again; of its rows, those that the decision could know."""
    check = batches.check(batch_id)
    facts = check.facts
    known = {
        "batch_id": batch_id,
        "source": facts.source,
        "kind": facts.kind,
        "mode": facts.mode,
        "received_at": facts.received_at.isoformat(),
        "payload_key": facts.payload_key,
        "payload_sha256": facts.payload_sha256,
    }
    problems = [] if check.problem is None else [check.problem]
    damages = [one.what for one in check.damages if row.symbol in one.symbols and one.known_at <= row.as_of]
    return Link(known, problems + damages)


def feature_links(decision: StoredDecision, store: FeatureStore) -> tuple[Link, Link]:
    """The feature row that was served and the indicator row that it was made from, each hashed again."""
    row = decision.row
    if row.feature_row_id is None:
        nothing = {"row_id": None, "note": "no feature row was known: the decision was refused for it"}
        return Link(nothing), Link({"row_id": None})
    daily = store.by_id("features.daily", row.feature_row_id)
    link = _row_link(daily, row.feature_row_id, row.feature_row_hash, store)
    if daily is None:
        return link, Link({}, ["there is no feature row to follow"])
    made_from = store.by_id("marts.indicators", daily.input_id)
    return link, _row_link(made_from, daily.input_id, bytes.fromhex(daily.input_hash), store)


def cost_link(fill: StoredFill, session: StoredSession, bar: StoredBar | None) -> Link:
    """Price, slippage and commission computed again from the open and the session's costs."""
    done = fill.row.fill
    again = session.costs.amounts(done.side, done.quantity, done.raw_open_usd)
    facts = {
        "open_usd": str(done.raw_open_usd),
        "price_usd": str(again.price_usd),
        "notional_usd": str(again.notional_usd),
        "commission_usd": str(again.commission_usd),
        "slippage_usd": str(again.slippage_usd),
        "costs": session.costs.to_dict(),
    }
    paid = (done.price_usd, done.notional_usd, done.commission_usd, done.slippage_usd)
    expected = (again.price_usd, again.notional_usd, again.commission_usd, again.slippage_usd)
    problems = _unless(paid == expected, "the amounts are not those that the session's costs give")
    problems += _unless(bar is not None and bar.open == done.raw_open_usd, "the open is not the bar's")
    return Link(facts, problems)


def timing_link(fill: StoredFill, order: StoredOrder | None, decision: StoredDecision, feature_row: Link) -> Link:
    """Nothing looked ahead: features known by the decision's moment, the fill not before the order could arrive."""
    row, done = decision.row, fill.row.fill
    known_at = feature_row.facts.get("known_at")
    facts = {
        "features_known_at": known_at,
        "as_of": row.as_of.isoformat(),
        "eligible_at": None if order is None else order.row.eligible_at.isoformat(),
        "filled_at": done.filled_at.isoformat(),
    }
    is_known = known_at is not None and datetime.fromisoformat(str(known_at)) <= row.as_of
    problems = _unless(is_known, "the features were not known when the decision was made")
    is_reached = order is not None and row.as_of <= order.row.eligible_at <= done.filled_at
    return Link(facts, problems + _unless(is_reached, "the fill lies before the order could reach the market"))


def posting_link(fill: StoredFill, lines: dict[str, Decimal]) -> Link:
    """The journal: balanced, and every account moved by exactly what the fill says."""
    done, gain = fill.row.fill, fill.row.realized_pnl_usd
    bought = done.side is Side.BUY
    moved = {
        CASH: (-done.notional_usd if bought else done.notional_usd) - done.commission_usd,
        COMMISSION: done.commission_usd,
        position_account(done.symbol): done.notional_usd if bought else gain - done.notional_usd,
        REALIZED_PNL: Decimal(0) if bought else -gain,
    }
    problems = _unless(sum(lines.values(), Decimal(0)) == 0 and bool(lines), "the postings do not balance")
    for account in sorted({*moved, *lines}):
        is_so = lines.get(account, Decimal(0)) == moved.get(account, Decimal(0))
        problems += _unless(is_so, f"{account} did not move by what the fill says")
    return Link({"postings": {account: str(amount) for account, amount in lines.items()}}, problems)


def _row_link(row: FeatureRow | None, row_id: int, recorded_hash: bytes | None, store: FeatureStore) -> Link:
    if row is None:
        return Link({"row_id": row_id}, [f"row {row_id} is not there"])
    facts = {
        "row_id": row.row_id,
        "view": row.view,
        "row_hash": row.row_hash,
        "definition": row.definition,
        "timestamp": row.timestamp.isoformat(),
        "known_at": row.known_at.isoformat(),
        "values": row.values,
        "input_id": row.input_id,
        "input_hash": row.input_hash,
    }
    problems = _unless(store.verify(row), f"{row.view} row {row_id} was changed: its hash is not that of its values")
    recorded = None if recorded_hash is None else recorded_hash.hex()
    problems += _unless(row.row_hash == recorded, f"{row.view} row {row_id} is not the one that was recorded")
    return Link(facts, problems)


def _unless(is_good: bool, problem: str) -> list[str]:
    return [] if is_good else [problem]
