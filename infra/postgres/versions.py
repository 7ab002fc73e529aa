"""How much of the versioned tables is superseded: what `tradeloom doctor` shows."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from infra.errors import NotRunningError

_SHARES = """
select view, count(*), sum(row_count)::bigint, sum(superseded)::bigint, sum(intermediate)::bigint
from features.version_shares()
where row_count > 0
group by view
order by view
"""


@dataclass(frozen=True)
class VersionShare:
    """Of one versioned table: its rows, those that a later version superseded, and those of them that are no first print."""

    view: str
    definitions: int
    row_count: int
    superseded: int
    intermediate: int


def version_shares(url: str) -> list[VersionShare]:
    """Return the share of each versioned table that has rows; none where the tables are not there yet.

    Raises:
        NotRunningError: PostgreSQL does not answer.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as conn:
            if conn.execute("select to_regprocedure('features.version_shares()')").fetchone() == (None,):
                return []
            return [VersionShare(*row) for row in conn.execute(_SHARES)]
    except psycopg.OperationalError as error:
        raise NotRunningError(f"expected PostgreSQL to answer, found: {str(error).splitlines()[0]}") from error
