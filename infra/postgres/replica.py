"""How far a replica is behind its primary: what `tradeloom doctor` shows."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from infra.errors import NotRunningError

_NEWEST = "select raw.newest_watermark()"
_STANDBY = "select pg_is_in_recovery(), raw.newest_watermark()"


@dataclass(frozen=True)
class ReplicaLag:
    """What a replica holds beside its primary.

    Attributes:
        is_replica: False where the address is of a server that takes writes: nothing keeps it in step.
        watermark: The newest publication that it holds; `behind`: how many the primary has after it.
    """

    is_replica: bool
    watermark: int
    behind: int

    def sentence(self) -> str:
        """Return it in words."""
        if not self.is_replica:
            return "expected a streaming replica at TRADELOOM_POSTGRES_READ_URL, found a server that takes writes"
        return f"at watermark {self.watermark}, {self.behind} behind the primary"


def replica_lag(replica_url: str, primary_url: str) -> ReplicaLag:
    """Return how far the replica is behind; the replica is asked first, so that its lag is never told too small.

    Raises:
        NotRunningError: one of them does not answer.
    """
    try:
        with psycopg.connect(replica_url, connect_timeout=10) as conn:
            found = conn.execute(_STANDBY).fetchone()
        with psycopg.connect(primary_url, connect_timeout=10) as conn:
            newest = conn.execute(_NEWEST).fetchone()
    except psycopg.OperationalError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotRunningError(f"expected the replica and its primary to answer, found: {reason}") from error
    assert found is not None, "a select without from has one row"
    assert newest is not None, "a select without from has one row"
    return ReplicaLag(bool(found[0]), int(found[1]), int(newest[0]) - int(found[1]))
