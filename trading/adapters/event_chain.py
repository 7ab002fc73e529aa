"""The chain of events of a session: each event carries the hash of the one before it.

The hash is made here and checked by a trigger of the same rule (`trading.event_hash`, migration 0010), so neither a
careless writer nor a later edit can leave a chain that still fits. Wall time is not part of it: a session that was
killed and run again ends with the same head as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from trading.identity import row_hash

GENESIS = bytes(32)
"""The previous hash of a session's first event."""


@dataclass(frozen=True)
class Event:
    """What happened, in the past tense, on the session's own clock."""

    kind: str
    occurred_at: datetime
    payload: dict[str, Any]


@dataclass(frozen=True)
class ChainedEvent:
    """An event as it is stored."""

    session_id: str
    sequence: int
    kind: str
    occurred_at: datetime
    payload: str
    previous_hash: bytes
    hash: bytes

    def recomputed_hash(self) -> bytes:
        """Return the hash that this event's content must have."""
        return event_hash(self.session_id, self.sequence, self.kind, self.occurred_at, self.payload, self.previous_hash)


@dataclass(frozen=True)
class ChainHead:
    """The last event of a chain."""

    sequence: int
    hash: bytes


def event_hash(
    session_id: str, sequence: int, kind: str, occurred_at: datetime, payload: str, previous_hash: bytes
) -> bytes:
    """Return the hash of one event; the SQL twin is `trading.event_hash`."""
    return row_hash((session_id, sequence, kind, occurred_at, payload, previous_hash))


def canonical_json(value: Any) -> str:
    """Return one text per value: sorted keys, no spaces, decimals and times as text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def head(conn: psycopg.Connection, session_id: str) -> ChainHead:
    """Return the last event of a session's chain, or its beginning."""
    found = conn.execute(
        "select sequence, hash from trading.events where session_id = %s order by sequence desc limit 1", (session_id,)
    ).fetchone()
    return ChainHead(0, GENESIS) if found is None else ChainHead(found[0], bytes(found[1]))


def append(conn: psycopg.Connection, session_id: str, events: Sequence[Event]) -> ChainHead:
    """Append `events` to the chain in the transaction that is open; return the new head."""
    last, rows = head(conn, session_id), []
    for event in events:
        payload, sequence = canonical_json(event.payload), last.sequence + 1
        digest = event_hash(session_id, sequence, event.kind, event.occurred_at, payload, last.hash)
        rows.append((session_id, sequence, event.kind, event.occurred_at, payload, last.hash, digest))
        last = ChainHead(sequence, digest)
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into trading.events (session_id, sequence, kind, occurred_at, payload, previous_hash, hash)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            rows,
        )
    return last


def read_chain(conn: psycopg.Connection, session_id: str) -> list[ChainedEvent]:
    """Return a session's whole chain, in order."""
    with conn.cursor(row_factory=class_row(ChainedEvent)) as cursor:
        return cursor.execute(
            "select session_id, sequence, kind, occurred_at, payload, previous_hash, hash from trading.events"
            " where session_id = %s order by sequence",
            (session_id,),
        ).fetchall()


def broken_link(chain: Iterable[ChainedEvent]) -> int | None:
    """Return the sequence of the first event that does not follow from the one before it, or None."""
    previous = GENESIS
    for sequence, event in enumerate(chain, start=1):
        follows = (event.sequence, bytes(event.previous_hash)) == (sequence, previous)
        if not follows or event.recomputed_hash() != bytes(event.hash):
            return event.sequence
        previous = bytes(event.hash)
    return None
