"""How far a fetch has come, in the warehouse: `raw.fetches`, `raw.fetched_pages`, `raw.fetch_holes`; and the sources' declarations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from trading.adapters.postgres import connection, engine_errors
from trading.adapters.sources.vendor import Vendor
from trading.errors import AlreadyRunningError
from trading.ingestion.ports import Ask, Hole
from trading.ingestion.reader import Mode
from trading.telemetry import current_trace_id

_APPLICATION = "tradeloom-fetch"

# The sample serves last (precedence 100); a vendor comes before it, after those that were used first.
_DECLARE = """
insert into raw.sources (source, precedence, lag, adjustment)
select
    %(source)s,
    (select coalesce(max(s.precedence), 10) + 1 from raw.sources as s where s.precedence < 100),
    %(lag)s, %(adjustment)s
where not exists (select from raw.sources as s where s.source = %(source)s)
"""

_UNFINISHED = """
select f.fetch_id, f.ask ->> 'end', coalesce(p.page, 0), p.cursor
from raw.fetches as f
left join lateral (
    select q.page, q.cursor from raw.fetched_pages as q where q.fetch_id = f.fetch_id order by q.page desc limit 1
) as p on true
where f.source = %(source)s and f.kind = %(kind)s and f.mode = %(mode)s
    and f.ask - 'end' = %(ask)s - 'end' and (%(any_end)s or f.ask = %(ask)s)
order by f.fetch_id desc limit 1
"""

_REMEMBERED = """
select p.cursor
from raw.fetched_pages as p
inner join raw.fetches as f on p.fetch_id = f.fetch_id
where f.source = %s and f.kind = %s and f.mode = %s and p.cursor is not null
order by p.fetch_id desc, p.page desc limit 1
"""


@dataclass(frozen=True)
class Progress:
    """Where a fetch stands: the pages that are published, the cursor after the last of them, the end that it asks for."""

    fetch_id: int
    pages: int
    cursor: str | None
    end: datetime


def declare(url: str, vendor: Vendor) -> None:
    """Record what a vendor declares, once: the lag of before stays, since nominal times were derived from it."""
    with connection(url, application=_APPLICATION) as conn:
        conn.execute("lock table raw.sources in share row exclusive mode")
        conn.execute(_DECLARE, {"source": vendor.name, "lag": vendor.lag, "adjustment": vendor.adjustment})


@contextmanager
def alone(url: str, vendor: Vendor, ask: Ask) -> Iterator[None]:
    """Keep a second run of the same ask out while the block runs; a killed process lets go of it.

    Raises:
        AlreadyRunningError: another process is at it.
    """
    what = f"{vendor.name} {ask.kind} {ask.interval} {' '.join(ask.symbols)} {ask.start.isoformat()}"
    with engine_errors(), psycopg.connect(url, autocommit=True, application_name=_APPLICATION) as conn:
        row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (what,)).fetchone()
        if row is None or not row[0]:
            raise AlreadyRunningError(
                f"expected no other run that fetches the same {ask.kind} of {vendor.name}, found one; let it end"
            )
        yield


def unfinished(url: str, vendor: Vendor, mode: Mode, ask: Ask, *, any_end: bool) -> Progress | None:
    """Return the newest fetch of this ask if it has not ended, or None; with `any_end` one up to another end too."""
    asked = {"source": vendor.name, "kind": ask.kind, "mode": mode, "ask": Jsonb(ask.as_dict()), "any_end": any_end}
    with connection(url, application=_APPLICATION) as conn:
        found = conn.execute(_UNFINISHED, asked).fetchone()
    if found is None or (found[2] > 0 and found[3] is None):
        return None
    return Progress(found[0], found[2], found[3], datetime.fromisoformat(found[1]))


def begin(url: str, vendor: Vendor, mode: Mode, ask: Ask, began_at: datetime, run_id: str | None) -> Progress:
    """Record that a fetch begins; with the cursor of the newest page of any fetch, where the vendor remembers."""
    values = (vendor.name, ask.kind, mode, Jsonb(ask.as_dict()), run_id, current_trace_id(), began_at)
    with connection(url, application=_APPLICATION) as conn:
        row = conn.execute(
            "insert into raw.fetches (source, kind, mode, ask, dagster_run_id, trace_id, began_at) "
            "values (%s, %s, %s, %s, %s, %s, %s) returning fetch_id",
            values,
        ).fetchone()
        newest = conn.execute(_REMEMBERED, values[:3]).fetchone() if vendor.remembers else None
    assert row is not None, "an insert that returns gives one row"
    return Progress(row[0], 0, newest[0] if newest else None, ask.end)


def record_page(conn: psycopg.Connection[Any], fetch_id: int, page: int, cursor: str, batch_id: int) -> None:
    """Record a page in the transaction that publishes it."""
    conn.execute(
        "insert into raw.fetched_pages (fetch_id, page, cursor, batch_id) values (%s, %s, %s, %s)",
        (fetch_id, page, cursor, batch_id),
    )


def record_hole(url: str, fetch_id: int, hole: Hole) -> None:
    """Record what the vendor does not give; told again by a run that goes on, it is there once."""
    with connection(url, application=_APPLICATION) as conn:
        conn.execute(
            "insert into raw.fetch_holes (fetch_id, what, why) values (%s, %s, %s) on conflict do nothing",
            (fetch_id, hole.what, hole.why),
        )


def holes(url: str, fetch_id: int) -> tuple[Hole, ...]:
    """Return what the vendor did not give in this fetch, in the order in which that was found, earlier runs included."""
    with connection(url, application=_APPLICATION) as conn:
        query = "select what, why from raw.fetch_holes where fetch_id = %s order by recorded_at"
        return tuple(Hole(*found) for found in conn.execute(query, (fetch_id,)))


def record_end(url: str, fetch_id: int, page: int) -> None:
    """Record that the vendor has nothing more."""
    with connection(url, application=_APPLICATION) as conn:
        conn.execute("insert into raw.fetched_pages (fetch_id, page) values (%s, %s)", (fetch_id, page))
