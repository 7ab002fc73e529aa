"""Reading from a replica: what it does not hold yet is waited for, then refused, never left out in silence.

Watermarks are in the order of commits and a streaming replica replays commits in their order, so one that shows a
watermark holds everything up to it. A question that names a later one waits a little; one that names none is answered
as of the replica's own newest.
"""

from __future__ import annotations

import time

import psycopg

from trading.adapters.warehouse import newest_watermark
from trading.errors import ReplicaBehindError

PATIENCE_SECONDS = 5.0
_BETWEEN_LOOKS_SECONDS = 0.05


def is_replica(conn: psycopg.Connection) -> bool:
    """Return whether the server behind a connection is a standby; it says so by itself, nothing is asked."""
    return conn.info.parameter_status("in_hot_standby") == "on"


def hold(conn: psycopg.Connection, watermark: int | None) -> None:
    """Return once the server holds every publication up to `watermark`: on a primary, or with None, at once.

    Raises:
        ReplicaBehindError: a replica does not hold it after `PATIENCE_SECONDS`.
    """
    if watermark is None or not is_replica(conn):
        return
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (newest := newest_watermark(conn)) < watermark:
        if time.monotonic() > deadline:
            raise ReplicaBehindError(
                f"expected a replica that holds watermark {watermark}, found it at {newest}; ask again later, "
                f"ask --watermark {newest}, or ask the primary: unset TRADELOOM_POSTGRES_READ_URL"
            )
        time.sleep(_BETWEEN_LOOKS_SECONDS)
