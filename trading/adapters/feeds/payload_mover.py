"""Payloads that were committed with their batch go on to the object store, off the way of the bars (docs/decisions/0122).

A payload is in `raw.held_payloads` or in the object store at any time, for a moment in both; whoever reads one asks the
table first.
"""

from __future__ import annotations

from typing import ClassVar

import psycopg

from trading.adapters.feeds.beside import Beside
from trading.adapters.postgres import connection
from trading.ingestion.ports import PayloadStore

_AT_ONCE = 200


def held_payload(conn: psycopg.Connection, sha256: str) -> bytes | None:
    """Return a payload that has not been moved yet, or None."""
    found = conn.execute("select payload from raw.held_payloads where payload_sha256 = %s", (sha256,)).fetchone()
    return bytes(found[0]) if found else None


def move_payloads(url: str, store: PayloadStore) -> int:
    """Move up to 200 payloads; return how many.

    Raises:
        EngineError: an engine failed; what was not moved stays where it is.
    """
    with connection(url, application="tradeloom-feed-payloads") as conn:
        # Two feeds may move at once: each takes rows that the other has not locked.
        rows = conn.execute(
            "select held_id, payload from raw.held_payloads order by held_id limit %s for update skip locked",
            (_AT_ONCE,),
        ).fetchall()
        for _, payload in rows:
            store.put(bytes(payload))
        conn.execute("delete from raw.held_payloads where held_id = any(%s)", ([held_id for held_id, _ in rows],))
    return len(rows)


class PayloadMover(Beside):
    """Moves payloads in the background while its block runs; at its end, what is left.

    Args:
        every: Seconds between two looks.
    """

    name: ClassVar[str] = "feed-payloads"
    waiting: ClassVar[str] = "payloads wait in the warehouse"

    def __init__(self, url: str, store: PayloadStore, *, every: float = 1.0) -> None:
        """Nothing runs yet."""
        super().__init__(every)
        self._url, self._store = url, store

    def _take(self) -> None:
        while move_payloads(self._url, self._store) == _AT_ONCE:
            pass
