"""Waiting for what is published: PostgreSQL's LISTEN, bounded, and a look of one's own where a notification was lost.

A notification comes with the commit of what it tells of (migration 0047), so whoever is woken finds it there.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Literal

import psycopg
from psycopg import sql

from trading.adapters.postgres import engine_errors

Topic = Literal["publications", "features"]


@dataclass(frozen=True)
class WakeUp:
    """Something newer is there, up to this watermark; `was_told`: by a notification, or else found by asking."""

    watermark: int
    was_told: bool


class WakeUps:
    """Tells when something newer is there; a context that holds one connection.

    Listens before it first asks, so nothing falls between. What was published before the block began wakes nobody:
    look at what is there first, then wait.

    Args:
        topic: `publications` for raw rows, `features` for what derives from them.
        period: Seconds after which it asks itself, at the latest.
    """

    def __init__(self, url: str, topic: Topic = "features", *, period: float = 30.0) -> None:
        """Take note of the terms."""
        self._url, self._topic, self._period = url, topic, period
        self._seen = 0

    def __enter__(self) -> WakeUps:
        """Listen from now on."""
        with engine_errors():
            self._conn = psycopg.connect(self._url, autocommit=True, application_name="tradeloom-wake-up")
            self._conn.execute(sql.SQL("listen {}").format(sql.Identifier(f"tradeloom_{self._topic}")))
            self._seen = self._newest()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        self._conn.close()

    def wait(self, seconds: float) -> WakeUp | None:
        """Return as soon as something newer than the last time is there; None if nothing is within `seconds`.

        Raises:
            EngineUnavailableError: PostgreSQL went away.
        """
        until = monotonic() + seconds
        with engine_errors():
            while True:
                left = until - monotonic()
                was_told = self._is_told(max(0.0, min(left, self._period)))
                newest = self._newest()
                if newest > self._seen:
                    self._seen = newest
                    return WakeUp(newest, was_told)
                if left <= 0:
                    return None

    def _is_told(self, seconds: float) -> bool:
        return any(True for _ in self._conn.notifies(timeout=seconds, stop_after=1))

    def _newest(self) -> int:
        row = self._conn.execute(_NEWEST[self._topic]).fetchone()
        return int(row[0]) if row and row[0] is not None else 0


# Watermarks are taken in the order of these ids, so the newest row has the newest.
_NEWEST: dict[Topic, str] = {
    "publications": "select b.watermark from raw.ingestion_batches as b where b.status = 'published' "
    "order by b.batch_id desc limit 1",
    "features": "select a.watermark from features.advances as a order by a.advance_id desc limit 1",
}
