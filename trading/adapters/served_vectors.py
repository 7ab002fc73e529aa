"""`trading.served_vectors`: what the oracle's /decide answered outside sessions, so that parity covers it too.

The row and its identity, and the writing of it. Reading back what is computed again lives in serving/explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from trading.adapters.event_chain import canonical_json
from trading.identity import row_hash


@dataclass(frozen=True)
class ServedVector:
    """One answer: the question's moment as it was understood, what was served, and by which model.

    `trace_id` and `served_at` are for people and no part of the identity.
    """

    symbol: str
    interval: str
    position: int
    as_of: datetime
    watermark: int
    source: str | None
    view: str
    definition: str
    feature_row_id: int | None
    feature_row_hash: bytes | None
    feature_timestamp: datetime | None
    vector: Sequence[float] | None
    model_name: str
    model_version: str
    weights_sha256: str
    action: int | None
    confidence: float | None
    reason: str | None
    environment: Mapping[str, Any]
    trace_id: str
    served_at: datetime

    @property
    def row_hash(self) -> bytes:
        """The identity of this answer."""
        plain = [getattr(self, name) for name in _PLAIN]
        vector = [] if self.vector is None else [len(self.vector), *self.vector]
        return row_hash([*plain, canonical_json(dict(self.environment)), *vector])


COLUMNS = tuple(one.name for one in fields(ServedVector))
_PLAIN = tuple(name for name in COLUMNS if name not in {"vector", "environment", "trace_id", "served_at"})

_INSERT = sql.SQL("insert into trading.served_vectors ({}, row_hash) values ({})").format(
    sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), sql.SQL(", ").join([sql.Placeholder()] * (len(COLUMNS) + 1))
)


def record_served(conn: psycopg.Connection, served: Sequence[ServedVector]) -> None:
    """Write answers in the caller's transaction, which does not wait for the disk.

    A crash of PostgreSQL itself may lose the last half second of them: an answer is a log entry here, no booking.
    """
    conn.execute("set local synchronous_commit = off")
    with conn.cursor() as cursor:
        cursor.executemany(_INSERT, [_values(one) for one in served])


def _values(served: ServedVector) -> list[Any]:
    values = [getattr(served, name) for name in COLUMNS]
    values[COLUMNS.index("environment")] = Jsonb(dict(served.environment))
    values[COLUMNS.index("vector")] = None if served.vector is None else list(served.vector)
    return [*values, served.row_hash]
