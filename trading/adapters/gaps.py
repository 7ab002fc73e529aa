"""What the warehouse knows of gaps: the stored bars next to a delivery, and which gaps the user has split before.

Which parts a symbol has is read from the batches that made them, so that a feed which goes on calling both companies by
one ticker is understood without saying it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Any

import psycopg

from trading.calendar import exchange_sessions
from trading.ingestion.gaps import Days, Gap, Neighbours, Part, Stored, long_gaps, stretches

# A symbol has few intervals: they are found one after the other by the index, not by reading its bars.
_NEIGHBOURS = """
with recursive asked as (
    select a.symbol, a.day::timestamp at time zone 'UTC' as starts_at
    from unnest(%(symbols)s::text[], %(days)s::date[]) as a (symbol, day)
),
kept (symbol, interval) as (
    select s.symbol, (
        select min(b.interval) from raw.price_bars as b where b.source = %(source)s and b.symbol = s.symbol
    )
    from (select distinct symbol from asked) as s
    union all
    select k.symbol, (
        select min(b.interval) from raw.price_bars as b
        where b.source = %(source)s and b.symbol = k.symbol and b.interval > k.interval
    )
    from kept as k where k.interval is not null
)
select
    a.symbol, (a.starts_at at time zone 'UTC')::date,
    max((found.before at time zone 'UTC')::date), max((found.at_or_before at time zone 'UTC')::date),
    min((found.at_or_after at time zone 'UTC')::date), min((found.after at time zone 'UTC')::date)
from asked as a
inner join kept as k on k.symbol = a.symbol and k.interval is not null
cross join lateral (
    select
        (select max(b.timestamp) from raw.price_bars as b where b.source = %(source)s and b.symbol = a.symbol
            and b.interval = k.interval and b.timestamp < a.starts_at) as before,
        (select max(b.timestamp) from raw.price_bars as b where b.source = %(source)s and b.symbol = a.symbol
            and b.interval = k.interval and b.timestamp < a.starts_at + interval '1 day') as at_or_before,
        (select min(b.timestamp) from raw.price_bars as b where b.source = %(source)s and b.symbol = a.symbol
            and b.interval = k.interval and b.timestamp >= a.starts_at) as at_or_after,
        (select min(b.timestamp) from raw.price_bars as b where b.source = %(source)s and b.symbol = a.symbol
            and b.interval = k.interval and b.timestamp >= a.starts_at + interval '1 day') as after
) as found
group by 1, 2
"""

_OTHERS = """
select exists (
    select from raw.price_bars as b
    where b.source = %s and b.symbol <> %s
      and b.timestamp >= (%s::date + 1)::timestamp at time zone 'UTC'
      and b.timestamp < %s::date::timestamp at time zone 'UTC'
)
"""

_PARTS = """
select distinct p ->> 0, (p ->> 1)::date, p ->> 2
from raw.ingestion_batches as b cross join lateral jsonb_array_elements(b.reader -> 'context' -> 'parts') as p
where b.source = %s and b.kind = 'prices' and b.status = 'published' and b.reader -> 'context' ? 'parts'
order by 1, 2
"""


def known_parts(conn: psycopg.Connection, source: str) -> tuple[Part, ...]:
    """Return the parts into which the source's symbols were split, by symbol and day."""
    return tuple(Part(*found) for found in conn.execute(_PARTS, (source,)))


def unexplained_gaps(
    conn: psycopg.Connection, source: str, days: Days, calendars: Mapping[str, str]
) -> tuple[Gap, ...]:
    """Return the long gaps inside a delivery, and between it and what is stored, that nobody has explained yet."""
    stored = Stored(
        _neighbours(conn, source, days), lambda symbol, before, after: _others(conn, source, symbol, before, after)
    )
    return tuple(long_gaps(days, stored, calendars, sessions_between))


@cache
def sessions_between(calendar: str, before: date, after: date) -> int:
    """Return how many sessions of a calendar lie strictly between two days."""
    return sum(before < session.session_date < after for session in exchange_sessions(calendar, before, after))


def as_json(parts: Iterable[Part]) -> list[list[str]]:
    """Return parts as a batch records them."""
    return [[part.symbol, part.first.isoformat(), part.name] for part in parts]


def from_json(recorded: Iterable[Iterable[str]]) -> list[Part]:
    """Return the parts that `as_json` wrote."""
    return [Part(symbol, date.fromisoformat(first), name) for symbol, first, name in recorded]


def _neighbours(conn: psycopg.Connection, source: str, days: Days) -> dict[tuple[str, date], Neighbours]:
    ends = {(symbol, day) for symbol in days for ends in stretches(days[symbol]) for day in ends}
    asked: dict[str, Any] = {"source": source}
    asked |= {"symbols": [symbol for symbol, _ in sorted(ends)], "days": [day for _, day in sorted(ends)]}
    rows = conn.execute(_NEIGHBOURS, asked)
    found = {(symbol, day): Neighbours(*nearest) for symbol, day, *nearest in rows}
    # The other end of a gap may be stored only: what is stored on its far side is the day itself.
    return found | {
        (symbol, nearest): Neighbours(at_or_before=nearest, at_or_after=nearest)
        for (symbol, _), around in found.items()
        for nearest in (around.before, around.after)
        if nearest is not None and (symbol, nearest) not in found
    }


def _others(conn: psycopg.Connection, source: str, symbol: str, before: date, after: date) -> bool:
    row = conn.execute(_OTHERS, (source, symbol, before, after)).fetchone()
    return bool(row and row[0])
