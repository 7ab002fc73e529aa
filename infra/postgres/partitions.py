"""Partitions that stand ahead of the time, and what `tradeloom doctor` says of them. How one is made: migration 0050."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from infra.errors import NotRunningError

_STANDING = """
select t.relation, count(p.name), min(p.from_at) filter (where isfinite(p.from_at)), max(p.to_at),
    coalesce(max(p.from_at) > now(), false),
    count(*) filter (where p.from_at <= now() and p.to_at > now()) > 0
from raw.partitioned_tables as t left join raw.partitions as p on p.relation = t.relation
group by t.relation order by t.relation
"""


@dataclass(frozen=True)
class Standing:
    """The partitions of one table: how many, since when, up to when, and whether now and the time after it have one."""

    relation: str
    count: int
    first_at: datetime | None
    up_to: datetime | None
    is_ahead: bool
    has_now: bool

    @property
    def ok(self) -> bool:
        """Whether what comes now and next has a partition that stands."""
        return self.is_ahead and self.has_now

    def sentence(self) -> str:
        """Return how they stand in one line, with what to do where they do not."""
        if self.first_at is None or self.up_to is None:
            return f"{self.count}; none ahead: run `tradeloom up`"
        words = (
            f"{self.count} since {self.first_at.astimezone(UTC):%Y-%m-%d}, up to {self.up_to.astimezone(UTC):%Y-%m-%d}"
        )
        return words if self.ok else f"{words}; none ahead: run `tradeloom up`"


def make_ahead(url: str) -> list[str]:
    """Make the partitions that shall stand ahead of now; return the names of those that did not stand yet.

    Raises:
        NotRunningError: PostgreSQL does not answer.
    """
    with _connected(url) as conn:
        made = conn.execute("select raw.make_partitions_ahead()").fetchone()
    return list(made[0]) if made else []


def analyze_tables(url: str) -> None:
    """Gather the statistics of the partitioned tables as wholes, which autovacuum never does.

    Raises:
        NotRunningError: PostgreSQL does not answer.
    """
    with _connected(url) as conn:
        for (relation,) in conn.execute("select relation from raw.partitioned_tables order by relation").fetchall():
            conn.execute(f"analyze only {relation}")
            conn.commit()  # publishers that also analyse wait for one table only


def standing(url: str) -> list[Standing]:
    """Return how the partitions of each table stand; none where no table has partitions yet.

    Raises:
        NotRunningError: PostgreSQL does not answer.
    """
    with _connected(url) as conn:
        if conn.execute("select to_regclass('raw.partitions')").fetchone() == (None,):
            return []
        return [Standing(*row) for row in conn.execute(_STANDING)]


def _connected(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(
            url, connect_timeout=10, application_name="tradeloom-partitions", options="-c timezone=UTC"
        )
    except psycopg.OperationalError as error:
        raise NotRunningError(f"expected PostgreSQL to answer, found: {str(error).splitlines()[0]}") from error
