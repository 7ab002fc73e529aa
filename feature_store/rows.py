"""A feature row as the store answers it, and its identity computed again from what it says.

The SQL twin of the identity is features.indicator_hash / features.daily_hash (migration 0004). Indicator rows of a
definition whose parameter `row_hash` is 2 have the record form of features.indicator_sql (migration 0015).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from feature_store.views import is_of_bars
from trading.identity import canon, epoch_micros

RECORD_FORM = 2

# Numbers of PostgreSQL's own types, the same in every release.
_BYTES_OID, _TEXT_OID, _FLOAT8_OID, _FLOAT8_ARRAY_OID, _TIME_OID = 17, 25, 701, 1022, 1184
_MICROS_TO_2000 = 946_684_800_000_000


@dataclass(slots=True)
class FeatureRow:
    """One version of one row of a view, complete: its identity can be computed from it alone.

    Not frozen, which would cost an online read of a hundred rows a fifth of its time; nobody changes one, and
    `computed_hash` would tell.

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
        age_sessions: Sessions of the symbol's calendar that closed after the row's own, as of the question; None where
            the symbol has no calendar. It is the question's as much as the row's, so it is no part of either identity.
        max_age_sessions: The limit that the definition sets; None if it sets none.
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
    age_sessions: int | None = field(default=None, compare=False)
    max_age_sessions: int | None = field(default=None, compare=False)

    @property
    def is_stale(self) -> bool:
        """Whether the row is older than its definition allows; a row that nobody can date is."""
        limit = self.max_age_sessions
        return limit is not None and (self.age_sessions is None or self.age_sessions > limit)

    def computed_hash(self, form: int = 1) -> str:
        """Return the identity of what this row says, in hex; equal to `row_hash` unless something was changed.

        Args:
            form: The `row_hash` of the definition's parameters; 1 if it has none.
        """
        if form == RECORD_FORM:
            return sha256(self._record()).hexdigest()
        name = "\x1f".join((self.definition, self.source, self.symbol, self.interval))
        times = b"".join(timestamp_bytes(t) for t in (self.timestamp, self.known_at, self.decision_at))
        content = canon(name) + times + bytes.fromhex(self.input_hash)
        numbers = float_array(tuple(self.values.values()))
        if is_of_bars(self.view):
            return sha256(content + numbers + float_array(self.state)).hexdigest()
        return sha256(content + struct.pack(">i", self.sentiment_items) + numbers).hexdigest()

    def _record(self) -> bytes:
        """Return what PostgreSQL's record_send gives for the key, the times, the bar, the numbers and the state."""
        fields = [(_TEXT_OID, text.encode()) for text in (self.definition, self.source, self.symbol, self.interval)]
        fields += [(_TIME_OID, timestamp_bytes(t)) for t in (self.timestamp, self.known_at, self.decision_at)]
        fields.append((_BYTES_OID, bytes.fromhex(self.input_hash)))
        numbers = [(_FLOAT8_OID, None if v is None else struct.pack(">d", v)) for v in self.values.values()]
        return record((*fields, *numbers, (_FLOAT8_ARRAY_OID, float_array(self.state))))


def record(fields: Sequence[tuple[int, bytes | None]]) -> bytes:
    """Return PostgreSQL's binary form of a record from the type and the bytes of each field; None is null."""
    items = (
        struct.pack(">ii", oid, -1) if content is None else struct.pack(">ii", oid, len(content)) + content
        for oid, content in fields
    )
    return struct.pack(">i", len(fields)) + b"".join(items)


def timestamp_bytes(moment: datetime) -> bytes:
    """Return what PostgreSQL's timestamptz_send gives: microseconds since 2000-01-01 UTC."""
    return struct.pack(">q", epoch_micros(moment) - _MICROS_TO_2000)


def float_array(values: Sequence[float | None]) -> bytes:
    """Return what PostgreSQL's array_send gives for a one-dimensional double precision array."""
    has_null = any(value is None for value in values)
    head = struct.pack(">iiiii", 1, int(has_null), _FLOAT8_OID, len(values), 1)
    items = (struct.pack(">i", -1) if v is None else struct.pack(">id", 8, v) for v in values)
    return head + b"".join(items)
