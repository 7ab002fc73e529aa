"""A feature row as the store answers it, and its identity computed again from what it says.

The SQL twin of the identity is features.indicator_hash / features.daily_hash (migration 0004).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from trading.identity import canon, epoch_micros

_FLOAT8_OID = 701
_MICROS_TO_2000 = 946_684_800_000_000


@dataclass(frozen=True)
class FeatureRow:
    """One version of one row of a view, complete: its identity can be computed from it alone.

    Attributes:
        timestamp: What the row is about: the bar's timestamp.
        known_at: When the latest of its inputs was known; the row is never seen as of an earlier time.
        watermark: The publication that made this version; source_watermark: the newest one it reflects.
        row_hash: sha256 (hex) over the canonical row.
        decision_at: The bar's nominal time; in a daily row, only news known by then counts.
        values: Feature column -> value, in the definition's order; None before an indicator's first value.
        sentiment, sentiment_items: Of a daily row; None in an indicator row.
        input_id, input_hash: The row it was made from: the indicator row of a daily row, the bar of an indicator row.
        state: The recursive state of an indicator row; empty in a daily row.
    """

    view: str
    definition: str
    row_id: int
    row_hash: str
    source: str
    symbol: str
    interval: str
    timestamp: datetime
    known_at: datetime
    watermark: int
    source_watermark: int
    decision_at: datetime
    values: dict[str, float | None]
    sentiment: float | None
    sentiment_items: int | None
    input_id: int
    input_hash: str
    state: tuple[float, ...] = ()

    def computed_hash(self) -> str:
        """Return the identity of what this row says, in hex; equal to `row_hash` unless something was changed."""
        name = "\x1f".join((self.definition, self.source, self.symbol, self.interval))
        times = b"".join(timestamp_bytes(t) for t in (self.timestamp, self.known_at, self.decision_at))
        content = canon(name) + times + bytes.fromhex(self.input_hash)
        numbers = float_array(tuple(self.values.values()))
        if self.view == "marts.indicators":
            return sha256(content + numbers + float_array(self.state)).hexdigest()
        return sha256(content + struct.pack(">i", self.sentiment_items) + numbers).hexdigest()


def timestamp_bytes(moment: datetime) -> bytes:
    """Return what PostgreSQL's timestamptz_send gives: microseconds since 2000-01-01 UTC."""
    return struct.pack(">q", epoch_micros(moment) - _MICROS_TO_2000)


def float_array(values: Sequence[float | None]) -> bytes:
    """Return what PostgreSQL's array_send gives for a one-dimensional double precision array."""
    has_null = any(value is None for value in values)
    head = struct.pack(">iiiii", 1, int(has_null), _FLOAT8_OID, len(values), 1)
    items = (struct.pack(">i", -1) if v is None else struct.pack(">id", 8, v) for v in values)
    return head + b"".join(items)
