"""The ledger in PostgreSQL: writes what a session decided, ordered, filled and holds, and reads it back after a crash.

Every function works in the caller's open transaction; the loop says which steps commit together. What may never happen
is refused by the tables themselves (migration 0010): a transaction that does not balance, negative cash or shares, a
fill without order, intent and decision. Reading back what a person wants explained lives in serving/explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import psycopg
from psycopg.types.json import Jsonb

from trading.adapters.ledger_rows import DecisionRow, FillRow, IntentRow
from trading.adapters.market_data import KnownSplit
from trading.nouns import OrderIntent, PortfolioSnapshot, Position, Side
from trading.portfolio import CASH, Portfolio, Transaction
from trading.risk import Denied, TradingState

CURRENCY = "USD"


@dataclass(frozen=True)
class OpenOrder:
    """An order neither filled nor cancelled; not acknowledged: we do not know whether the broker has it."""

    intent: OrderIntent
    eligible_at: datetime
    decided_timestamp: datetime
    is_acknowledged: bool


@dataclass
class SessionBooks:
    """What a session holds: its portfolio, the last price of each symbol, its open orders and when each was last
    bought.
    """

    portfolio: Portfolio
    prices_usd: dict[str, Decimal]
    open_orders: list[OpenOrder]
    bought_on: dict[str, date]
    applied_splits: set[tuple[str, date]]


class Ledger:
    """The books of one session, in one connection."""

    def __init__(self, conn: psycopg.Connection, session_id: str) -> None:
        """Bind to a connection whose transactions the caller opens and commits."""
        self._conn = conn
        self.session_id = session_id

    def begins_step(self, timestamp: datetime, step: str) -> bool:
        """Claim a step of a bar; False if it is already done. The claim commits with what the step writes."""
        claimed = self._conn.execute(
            "insert into trading.session_steps (session_id, timestamp, step) values (%s, %s, %s)"
            " on conflict do nothing returning true",
            (self.session_id, timestamp, step),
        ).fetchone()
        return claimed is not None

    def steps_done(self) -> set[tuple[datetime, str]]:
        """Return every step of every bar that has been committed."""
        rows = self._conn.execute(
            "select timestamp, step from trading.session_steps where session_id = %s", (self.session_id,)
        )
        return {(timestamp, step) for timestamp, step in rows.fetchall()}

    def trading_state(self) -> TradingState:
        """Return the newest state of the session's kill switch."""
        found = self._conn.execute(
            "select state from trading.session_switches where session_id = %s order by switch_id desc limit 1",
            (self.session_id,),
        ).fetchone()
        return TradingState.ACTIVE if found is None else TradingState(found[0])

    def write_decisions(self, decisions: Sequence[DecisionRow]) -> None:
        """Record the decisions of one bar."""
        columns = DECISION_COLUMNS
        marks = ", ".join(["%s"] * (len(columns) + 1))
        rows = [(*(_column(getattr(row, name)) for name in columns), row.row_hash) for row in decisions]
        self._many(f"insert into trading.decisions ({', '.join(columns)}, row_hash) values ({marks})", rows)

    def write_intents(self, intents: Sequence[IntentRow]) -> None:
        """Record the orders of one bar, before any broker hears of them."""
        self._many(
            "insert into trading.order_intents (client_order_id, decision_id, session_id, symbol, side, quantity,"
            " decision_price_usd, eligible_at, row_hash) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    row.intent.client_order_id,
                    row.decision_id,
                    row.session_id,
                    row.intent.symbol,
                    row.intent.side.value,
                    row.intent.quantity,
                    row.intent.decision_price_usd,
                    row.eligible_at,
                    row.row_hash,
                )
                for row in intents
            ],
        )

    def write_acknowledgements(self, broker: str, broker_order_ids: dict[str, str]) -> None:
        """Record which orders the broker has taken, by client order id; one already recorded stays as it is."""
        self._many(
            "insert into trading.orders (client_order_id, session_id, broker, broker_order_id)"
            " values (%s, %s, %s, %s) on conflict (client_order_id) do nothing",
            [(client, self.session_id, broker, theirs) for client, theirs in broker_order_ids.items()],
        )

    def write_fill(self, row: FillRow) -> None:
        """Record one fill."""
        fill = row.fill
        self._conn.execute(
            "insert into trading.fills (fill_id, client_order_id, session_id, symbol, side, quantity,"
            " price_usd, open_usd,"
            " notional_usd, slippage_usd, commission_usd, realized_pnl_usd, sequence, timestamp, filled_at, bar_id,"
            " bar_row_hash, reason, row_hash)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                fill.fill_id,
                fill.client_order_id,
                row.session_id,
                fill.symbol,
                fill.side.value,
                fill.quantity,
                fill.price_usd,
                fill.raw_open_usd,
                fill.notional_usd,
                fill.slippage_usd,
                fill.commission_usd,
                row.realized_pnl_usd,
                fill.sequence,
                fill.bar_timestamp,
                fill.filled_at,
                fill.bar_id,
                fill.bar_hash,
                Jsonb(dict(row.reason)),
                row.row_hash,
            ),
        )

    def write_cancellation(self, client_order_id: str, timestamp: datetime, refusal: Denied) -> None:
        """Record that an order ended without a fill, and why."""
        self._conn.execute(
            "insert into trading.order_cancellations (client_order_id, session_id, timestamp, reason_code, reason)"
            " values (%s, %s, %s, %s, %s)",
            (client_order_id, self.session_id, timestamp, refusal.reason.value, Jsonb(dict(refusal.details))),
        )

    def write_transaction(self, transaction_id: str, timestamp: datetime, transaction: Transaction) -> None:
        """Record the postings of one transaction; one that moves no dollar has none."""
        self._many(
            "insert into trading.postings (session_id, transaction_id, line, account, currency, amount, timestamp)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [
                (self.session_id, transaction_id, line, posting.account, CURRENCY, posting.amount_usd, timestamp)
                for line, posting in enumerate(transaction.postings, start=1)
            ],
        )

    def write_split(
        self, known: KnownSplit, timestamp: datetime, before: Position, after: Position, paid_usd: Decimal
    ) -> None:
        """Record what a split did to a position."""
        self._conn.execute(
            "insert into trading.position_splits (session_id, symbol, ex_date, timestamp, ratio, quantity_before,"
            " quantity_after, cash_in_lieu_usd, action_id) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                self.session_id,
                known.split.symbol,
                known.split.ex_date,
                timestamp,
                known.split.ratio,
                before.quantity,
                after.quantity,
                paid_usd,
                known.action_id,
            ),
        )

    def write_positions(self, positions: Iterable[Position], timestamp: datetime) -> None:
        """Replace the positions that a bar has changed."""
        self._many(
            "insert into trading.positions (session_id, symbol, quantity, cost_usd, realized_pnl_usd, timestamp)"
            " values (%s, %s, %s, %s, %s, %s) on conflict (session_id,"
            " symbol) do update set quantity = excluded.quantity,"
            " cost_usd = excluded.cost_usd, realized_pnl_usd = excluded.realized_pnl_usd,"
            " timestamp = excluded.timestamp",
            [
                (self.session_id, held.symbol, held.quantity, held.cost_usd, held.realized_pnl_usd, timestamp)
                for held in positions
            ],
        )

    def write_snapshot(self, snapshot: PortfolioSnapshot, prices_usd: dict[str, Decimal]) -> None:
        """Record the portfolio at a bar's close, with the last price of every symbol seen so far."""
        self._conn.execute(
            "insert into trading.portfolio_snapshots (session_id, timestamp, cash_usd, positions_value_usd, equity_usd,"
            " quantities, prices_usd) values (%s, %s, %s, %s, %s, %s, %s)",
            (
                self.session_id,
                snapshot.timestamp,
                snapshot.cash_usd,
                snapshot.positions_value_usd,
                snapshot.equity_usd,
                Jsonb({symbol: str(quantity) for symbol, quantity in snapshot.quantities.items()}),
                Jsonb({symbol: str(price) for symbol, price in prices_usd.items()}),
            ),
        )

    def books(self) -> SessionBooks:
        """Return what the session holds, as the last committed step left it."""
        conn, session = self._conn, (self.session_id,)
        held = conn.execute(
            "select symbol, quantity, cost_usd, realized_pnl_usd from trading.positions where session_id = %s", session
        ).fetchall()
        cash = conn.execute(
            "select balance from trading.accounts where session_id = %s and account = %s", (self.session_id, CASH)
        ).fetchone()
        prices = conn.execute(
            "select prices_usd from trading.portfolio_snapshots where session_id = %s order by timestamp desc limit 1",
            session,
        ).fetchone()
        bought = conn.execute(
            "select symbol, max((timestamp at time zone 'UTC')::date) from trading.fills"
            " where session_id = %s and side = 'buy' group by symbol",
            session,
        ).fetchall()
        splits = conn.execute(
            "select symbol, ex_date from trading.position_splits where session_id = %s", session
        ).fetchall()
        return SessionBooks(
            portfolio=Portfolio(cash[0] if cash else Decimal(0), {row[0]: Position(*row) for row in held}),
            prices_usd={symbol: Decimal(price) for symbol, price in (prices[0] if prices else {}).items()},
            open_orders=self.open_orders(),
            bought_on=dict(bought),
            applied_splits={(symbol, ex_date) for symbol, ex_date in splits},
        )

    def open_orders(self) -> list[OpenOrder]:
        """Return the orders that have neither filled nor been cancelled, by client order id."""
        rows = self._conn.execute(
            "select s.client_order_id, s.symbol, s.side, s.quantity, d.as_of, i.decision_price_usd, s.eligible_at,"
            " d.timestamp, s.status = 'open' from trading.order_states as s"
            " inner join trading.order_intents as i using (client_order_id)"
            " inner join trading.decisions as d on d.decision_id = s.decision_id"
            " where s.session_id = %s and s.status in ('in_flight', 'open') order by s.client_order_id",
            (self.session_id,),
        ).fetchall()
        return [
            OpenOrder(
                OrderIntent(client, symbol, Side(side), quantity, as_of, price), eligible_at, timestamp, acknowledged
            )
            for client, symbol, side, quantity, as_of, price, eligible_at, timestamp, acknowledged in rows
        ]

    def _many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            with self._conn.cursor() as cursor:
                cursor.executemany(statement, rows)


DECISION_COLUMNS = (
    "decision_id",
    "session_id",
    "symbol",
    "timestamp",
    "as_of",
    "watermark",
    "source",
    "bar_id",
    "bar_row_hash",
    "definition",
    "feature_row_id",
    "feature_row_hash",
    "feature_timestamp",
    "vector",
    "model_name",
    "model_version",
    "weights_sha256",
    "snapshot_id",
    "scorer",
    "scorer_version",
    "sentiment",
    "analyst_sentiment",
    "sentiment_items",
    "action",
    "confidence",
    "price_usd",
    "position_quantity",
    "cash_usd",
    "equity_usd",
    "outcome",
    "reason_code",
    "reason",
    "environment",
    "decided_at",
    "trace_id",
)
"""The columns of `trading.decisions`, each a field of `DecisionRow`."""


def _column(value: object) -> object:
    """Adapt one field: mappings and lists of them are jsonb, a tuple is float8[]."""
    if isinstance(value, (dict, list)):
        return Jsonb(value)
    if isinstance(value, tuple):
        return list(value)
    return value
