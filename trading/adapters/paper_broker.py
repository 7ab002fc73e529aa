"""The paper broker: another party that takes orders, remembers them by client order id, and fills them at a bar's open.

Its book (`trading.paper_orders`) is written on a connection of its own, each order committed before it is
acknowledged, as a remote broker would: the loop can die between the two and must ask. How an order fills and what it
costs is the domain's (`trading.execution`, `trading.costs`), the same as in a backtest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import psycopg

from trading.adapters.postgres import engine_errors
from trading.costs import Costs
from trading.execution import execute
from trading.nouns import Bar, Fill, Order, OrderIntent, OrderStatus, Side
from trading.risk import Denied

_COLUMNS = "client_order_id, symbol, side, quantity, as_of, decision_price_usd"


class PaperBroker:
    """Takes orders and fills them at the open with the session's costs.

    Args:
        conn: An autocommitting connection that nobody else writes on.
        costs: What a fill costs.
    """

    name = "paper"

    def __init__(self, conn: psycopg.Connection, costs: Costs) -> None:
        self._conn = conn
        self._costs = costs

    def submit(self, intent: OrderIntent) -> Order:
        """Take an order; one that is already in the book under this id is answered, not taken twice.

        Raises:
            EngineUnavailableError: no answer; whether the order was taken is unknown, ask with `order`.
        """
        with engine_errors():
            self._conn.execute(
                f"insert into trading.paper_orders ({_COLUMNS}) values (%s, %s, %s, %s, %s, %s)"
                " on conflict (client_order_id) do nothing",
                (
                    intent.client_order_id,
                    intent.symbol,
                    intent.side.value,
                    intent.quantity,
                    intent.as_of,
                    intent.decision_price_usd,
                ),
            )
        return self._accepted(intent)

    def order(self, client_order_id: str) -> Order | None:
        """Return the order in the book under this id; None if the broker has never heard of it."""
        with engine_errors():
            found = self._conn.execute(
                f"select {_COLUMNS} from trading.paper_orders where client_order_id = %s", (client_order_id,)
            ).fetchone()
        return None if found is None else self._accepted(_intent(*found))

    def fills(self, client_order_id: str) -> Sequence[Fill]:
        """Return nothing: paper orders fill when the loop meets a bar, through `fill_at_open`."""
        return ()

    def fill_at_open(self, intent: OrderIntent, bar: Bar, cash_usd: Decimal, lot_size: Decimal) -> Fill | Denied:
        """Return what an order becomes at a bar's raw open: a fill, or why it cannot be one."""
        return execute(intent, bar, cash_usd, self._costs, lot_size)

    def _accepted(self, intent: OrderIntent) -> Order:
        return Order(intent, OrderStatus.ACCEPTED, broker_order_id=f"{self.name}-{intent.client_order_id}")


def _intent(
    client_order_id: str, symbol: str, side: str, quantity: Decimal, as_of: datetime, decision_price_usd: Decimal
) -> OrderIntent:
    return OrderIntent(client_order_id, symbol, Side(side), quantity, as_of, decision_price_usd)
