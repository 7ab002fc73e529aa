"""What a session wrote, read back set-wise for explanation and replay: a few questions, however many rows are
explained.

Rows come back as the very classes that wrote them, so that their hash is computed again by the same rule. What is
checked about them lives in explain.py and replay.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from trading.adapters.ledger import DECISION_COLUMNS
from trading.adapters.ledger_rows import DecisionRow, FillRow, IntentRow
from trading.costs import Costs
from trading.errors import InputError
from trading.nouns import Fill, OrderIntent, Side


@dataclass(frozen=True)
class StoredDecision:
    """A decision and the hash that was stored with it."""

    row: DecisionRow
    row_hash: bytes
    interval: str


@dataclass(frozen=True)
class StoredOrder:
    """An intent, its stored hash, and what the broker said."""

    row: IntentRow
    row_hash: bytes
    status: str
    broker: str | None
    broker_order_id: str | None
    reason_code: str | None


@dataclass(frozen=True)
class StoredFill:
    """A fill and the hash that was stored with it."""

    row: FillRow
    row_hash: bytes
    decision_id: str


@dataclass(frozen=True)
class StoredSession:
    """What of a session's terms an explanation needs."""

    session_id: str
    name: str
    mode: str
    costs: Costs
    status: str
    feature_service: dict[str, Any]


@dataclass(frozen=True)
class StoredBar:
    """A raw bar, the batch it came in, and whether its hash still follows from its columns."""

    bar_id: int
    symbol: str
    timestamp: datetime
    open: Decimal
    close: Decimal
    opens_at: datetime | None
    row_hash: bytes
    is_intact: bool
    batch_id: int


def read_decisions(conn: psycopg.Connection, decision_ids: Sequence[str] | None) -> list[StoredDecision]:
    """Return the decisions of these ids, or all, in the order in which they were made.

    Raises:
        InputError: an id that names no decision.
    """
    columns = ", ".join(f"d.{name}" for name in DECISION_COLUMNS)
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            f"select {columns}, d.row_hash, s.interval from trading.decisions as d"
            " inner join trading.sessions as s using (session_id)"
            " where %(ids)s::text[] is null or d.decision_id = any(%(ids)s)"
            " order by s.created_at, d.session_id, d.timestamp, d.symbol",
            {"ids": None if decision_ids is None else list(decision_ids)},
        ).fetchall()
    _expect_all("decision", decision_ids, {row["decision_id"] for row in found})
    return [_decision(row) for row in found]


def read_fills(conn: psycopg.Connection, fill_ids: Sequence[str] | None) -> list[StoredFill]:
    """Return the fills of these ids, or all, in the order in which they happened.

    Raises:
        InputError: an id that names no fill.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            "select f.*, i.decision_id, i.decision_price_usd, d.as_of from trading.fills as f"
            " inner join trading.order_intents as i using (client_order_id)"
            " inner join trading.decisions as d using (decision_id)"
            " inner join trading.sessions as s on s.session_id = f.session_id"
            " where %(ids)s::text[] is null or f.fill_id = any(%(ids)s)"
            " order by s.created_at, f.session_id, f.timestamp, f.symbol",
            {"ids": None if fill_ids is None else list(fill_ids)},
        ).fetchall()
    _expect_all("fill", fill_ids, {row["fill_id"] for row in found})
    return [_fill(row) for row in found]


def read_orders(conn: psycopg.Connection, decision_ids: Sequence[str]) -> dict[str, StoredOrder]:
    """Return the orders of decisions, by decision id."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            "select i.*, s.status, s.broker, s.broker_order_id, s.reason_code, d.as_of from trading.order_intents as i"
            " inner join trading.order_states as s using (client_order_id)"
            " inner join trading.decisions as d on d.decision_id = i.decision_id"
            " where i.decision_id = any(%s)",
            (list(decision_ids),),
        ).fetchall()
    return {row["decision_id"]: _order(row) for row in found}


def read_sessions(conn: psycopg.Connection, session_ids: Sequence[str]) -> dict[str, StoredSession]:
    """Return sessions by id."""
    found = conn.execute(
        "select session_id, name, mode, costs, status, feature_service from trading.sessions where session_id = any(%s)",
        (list(session_ids),),
    ).fetchall()
    return {
        session_id: StoredSession(session_id, name, mode, Costs.from_dict(costs), status, service)
        for session_id, name, mode, costs, status, service in found
    }


def read_bars(conn: psycopg.Connection, bar_ids: Sequence[int]) -> dict[int, StoredBar]:
    """Return raw bars by id, each with its hash computed again from its columns."""
    found = conn.execute(
        "select b.bar_id, b.symbol, b.timestamp, b.open, b.close,"
        " (select min(c.opens_at) from trading.calendar_sessions as c"
        "  inner join trading.instruments as i on i.calendar = c.calendar and i.symbol = b.symbol"
        "  where c.session_date = (b.timestamp at time zone 'UTC')::date),"
        " b.row_hash, raw.bar_hash(b) = b.row_hash, b.batch_id"
        " from raw.price_bars as b where b.bar_id = any(%s)",
        (sorted(set(bar_ids)),),
    ).fetchall()
    bars = [StoredBar(*row) for row in found]
    return {bar.bar_id: bar for bar in bars}


def read_postings(conn: psycopg.Connection, fill_ids: Sequence[str]) -> dict[str, dict[str, Decimal]]:
    """Return what the journal moved for fills: by fill id, the amount of each account."""
    found = conn.execute(
        "select p.transaction_id, p.account, sum(p.amount) from trading.postings as p"
        " where p.transaction_id = any(%s) group by 1, 2 order by min(p.line)",
        (list(fill_ids),),
    ).fetchall()
    lines: dict[str, dict[str, Decimal]] = {}
    for transaction_id, account, amount in found:
        lines.setdefault(transaction_id, {})[account] = amount
    return lines


def _expect_all(noun: str, asked: Sequence[str] | None, found: set[str]) -> None:
    missing = sorted(set(asked or ()) - found)
    if missing:
        raise InputError(
            f"expected the id of a {noun}, found {missing[0]}; `tradeloom explain {noun} --all` lists them"
        )


def _decision(row: dict[str, Any]) -> StoredDecision:
    values = {name: row[name] for name in DECISION_COLUMNS}
    for name in ("bar_row_hash", "feature_row_hash"):
        values[name] = None if values[name] is None else bytes(values[name])
    values["vector"] = None if values["vector"] is None else tuple(values["vector"])
    return StoredDecision(DecisionRow(**values), bytes(row["row_hash"]), row["interval"])


def _order(row: dict[str, Any]) -> StoredOrder:
    intent = OrderIntent(
        row["client_order_id"],
        row["symbol"],
        Side(row["side"]),
        row["quantity"],
        row["as_of"],
        row["decision_price_usd"],
    )
    written = IntentRow(intent, row["decision_id"], row["session_id"], row["eligible_at"])
    said = (row["status"], row["broker"], row["broker_order_id"], row["reason_code"])
    return StoredOrder(written, bytes(row["row_hash"]), *said)


def _fill(row: dict[str, Any]) -> StoredFill:
    fill = Fill(
        client_order_id=row["client_order_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=row["quantity"],
        price_usd=row["price_usd"],
        raw_open_usd=row["open_usd"],
        notional_usd=row["notional_usd"],
        commission_usd=row["commission_usd"],
        slippage_usd=row["slippage_usd"],
        filled_at=row["filled_at"],
        bar_timestamp=row["timestamp"],
        bar_id=row["bar_id"],
        bar_hash=bytes(row["bar_row_hash"]),
        sequence=row["sequence"],
    )
    written = FillRow(fill, row["session_id"], row["realized_pnl_usd"], row["reason"])
    return StoredFill(written, bytes(row["row_hash"]), row["decision_id"])
