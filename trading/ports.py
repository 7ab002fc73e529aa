"""What the domain asks of the world, as Protocols. Adapters satisfy them; nothing here connects.

The domain is handed these where a process or a Dagster resource is put together. A test's fake satisfies the Protocol
too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trading.nouns import Bar, Decision, Fill, Order, OrderIntent, PortfolioSnapshot, Split
from trading.portfolio import Transaction


class Clock(Protocol):
    """The session's clock: simulated in replay, real in paper and live."""

    def now(self) -> datetime:
        """Return the moment, with its zone."""


@runtime_checkable
class DecisionModel(Protocol):
    """Any model, rules included: states in, decisions out.

    `decide` takes float64[n, 6] in the order of `trading.strategy.STATE` and answers each row by itself: a row's answer
    has the same bits alone or in any batch. `sha256` is the hash of what decides, `to_bytes` its canonical form.
    """

    @property
    def kind(self) -> str:
        """The name under which `trading.learners.loading` finds the class again."""

    @property
    def sha256(self) -> str:
        """The hex hash of `to_bytes()`."""

    def decide(self, vectors: NDArray[np.float64]) -> list[Decision]:
        """Return one decision per row."""

    def to_bytes(self) -> bytes:
        """Return the model as canonical bytes; never a pickle."""


class MarketData(Protocol):
    """Raw bars and splits, as known at one (as_of, watermark)."""

    def bars(self, symbols: Sequence[str], first: datetime, last: datetime, as_of: datetime) -> Sequence[Bar]:
        """Return the bars with first <= timestamp <= last, by timestamp and then symbol."""

    def splits(self, symbols: Sequence[str], as_of: datetime) -> Sequence[Split]:
        """Return the splits known."""


class Broker(Protocol):
    """Where orders go. Submitting twice under one client order id is submitting once."""

    def submit(self, intent: OrderIntent) -> Order:
        """Send an order; the order that the broker already has under this id is returned, not sent again."""

    def order(self, client_order_id: str) -> Order | None:
        """Return what became of an order; None if the broker has never heard of it."""

    def fills(self, client_order_id: str) -> Sequence[Fill]:
        """Return the fills of an order so far."""


class Ledger(Protocol):
    """Where a session's orders, fills, postings and snapshots are kept. Each call is idempotent under its key."""

    def commit_intent(self, session_id: str, intent: OrderIntent) -> None:
        """Record an order before any broker hears of it."""

    def record_fill(self, session_id: str, fill: Fill, transaction: Transaction) -> None:
        """Record a fill and its postings in one transaction."""

    def record_split(self, session_id: str, split: Split, transaction: Transaction) -> None:
        """Record what a split did to a position."""

    def record_snapshot(self, session_id: str, snapshot: PortfolioSnapshot) -> None:
        """Record the portfolio at a bar's close."""


class SentimentReader(Protocol):
    """The analyst, as the loop sees it."""

    def sentiment(self, symbol: str, as_of: datetime, watermark: int) -> tuple[float, Sequence[Mapping[str, object]]]:
        """Return the score of the daily feature and the items it rests on."""
