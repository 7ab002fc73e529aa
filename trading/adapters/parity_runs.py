"""`trading.parity_runs`, read: what the newest run of parity found. Runs are made in serving/explanation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

_NEWEST = """
select
    r.parity_id, r.recorded_at, r.mode, r.environment, r.checked, r.identical, r.elsewhere, r.differing, r.served_in_all,
    r.identical_in_all, r.kinds, r.causes, r.first_difference, r.seconds
from trading.parity_runs as r
order by r.parity_id desc
limit 1
"""


@dataclass(frozen=True)
class ParityRun:
    """One run: what was asked in it, and how all that was ever served stood; `kinds` is None of runs of old."""

    parity_id: int
    recorded_at: datetime
    mode: str
    environment: str
    checked: int
    identical: int
    elsewhere: int
    differing: int
    served_in_all: int
    identical_in_all: int
    kinds: dict[str, dict[str, int]] | None
    causes: dict[str, int]
    first_difference: dict[str, Any] | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the run as JSON values, with the share that is identical (1 where nothing was served)."""
        share = self.identical_in_all / self.served_in_all if self.served_in_all else 1.0
        return {**asdict(self), "recorded_at": self.recorded_at.isoformat(), "share_identical": share}


def newest_run(conn: psycopg.Connection) -> ParityRun | None:
    """Return the newest run, None before the first."""
    with conn.cursor(row_factory=class_row(ParityRun)) as cursor:
        return cursor.execute(_NEWEST).fetchone()
