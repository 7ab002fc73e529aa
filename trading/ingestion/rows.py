"""The kinds of raw rows, in the warehouse's column order, and their identity.

Each row is a key, a content, and `nominal_at` (a function of the key). A version of it adds `known_at`; the identity of
a version is sha256 over source, key, content, nominal_at and known_at. SQL says the same in `raw.bar_hash`,
`raw.action_hash` and `raw.news_hash` (migrations 0003 and 0012), `trading.universe_hash` (0013) and `raw.trade_hash`
(0035).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from trading.identity import row_hash
from trading.ingestion.reader import Kind

Value = str | bool | Decimal | datetime | date | tuple[str, ...] | None

# Column names of each table between `source` and `nominal_at`: those of the key, then those of the content.
TABLE: dict[Kind, str] = {
    "prices": "raw.price_bars",
    "actions": "raw.corporate_actions",
    "news": "raw.news_items",
    "universe": "trading.universe_members",
    "trades": "raw.trades",
}
KEY_COLUMNS: dict[Kind, dict[str, str]] = {
    "prices": {"symbol": "text", "interval": "text", "timestamp": "timestamptz"},
    "actions": {"symbol": "text", "kind": "text", "ex_date": "date"},
    "news": {"news_id": "text"},
    "universe": {"universe": "text", "symbol": "text", "effective_date": "date"},
    "trades": {"symbol": "text", "trade_id": "text"},
}
CONTENT_COLUMNS: dict[Kind, tuple[str, ...]] = {
    "prices": ("open", "high", "low", "close", "volume", "adjustment"),
    "actions": ("ratio", "amount", "currency", "new_symbol"),
    "news": ("headline", "body", "url", "symbols", "published_at", "is_date_only"),
    "universe": ("is_member",),
    "trades": ("timestamp", "price", "size", "side"),
}


@dataclass(frozen=True)
class RawRow:
    """One row ready for the warehouse; `key` and `content` in the order of the columns above.

    `hashed` is what of the content the identity covers, where that is less than all: rows of before a column was there.
    """

    source: str
    key: tuple[Value, ...]
    content: tuple[Value, ...]
    nominal_at: datetime
    hashed: tuple[Value, ...] | None = None

    def hash_when_known(self, known_at: datetime) -> bytes:
        """Return the identity of this row's version that is known from `known_at` on."""
        content = self.content if self.hashed is None else self.hashed
        return row_hash([self.source, *map(_canonical, self.key + content), self.nominal_at, known_at])


@dataclass(frozen=True)
class VersionedRow:
    """A row with the moment since when it is known here: one line of a raw table."""

    row: RawRow
    known_at: datetime

    @property
    def row_hash(self) -> bytes:
        """The identity of this version."""
        return self.row.hash_when_known(self.known_at)


def _canonical(value: Value) -> str | bool | Decimal | datetime | date | None:
    return "|".join(value) if isinstance(value, tuple) else value
