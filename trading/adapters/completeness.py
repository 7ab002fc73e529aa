"""Which sessions are complete, by source and interval: `raw.session_quality`, written where bars are published.

A symbol is expected from its first bar at that source on, until its instrument says that it was delisted; so a symbol
that stops arriving shows as missing, and a gap shows for as long as it is open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from trading.adapters.sessions import read_sessions
from trading.calendar import Sessions, bar_label

# Only sessions whose answer this batch may have changed are looked at: those between its bars, the gap back to each
# symbol's earlier bars, and, for a symbol that begins earlier than known, everything after its new beginning.
_AFFECTED = """
select least(min(new_first), min(old_last) filter (where old_last < new_first)),
       greatest(max(new_last), max(case when old_first is null or new_first < old_first then source_last end))
from (
    select b.symbol, min(b.timestamp) as new_first, max(b.timestamp) as new_last
    from raw.price_bars as b
    where b.source = %(source)s and b.interval = %(interval)s and b.watermark = %(watermark)s group by b.symbol
) as arrived
cross join lateral (
    select min(o.timestamp) as old_first, max(o.timestamp) as old_last
    from raw.price_bars as o
    where o.source = %(source)s and o.interval = %(interval)s
      and o.symbol = arrived.symbol and o.watermark < %(watermark)s
) as earlier
cross join (
    select max(s.timestamp) as source_last from raw.price_bars as s
    where s.source = %(source)s and s.interval = %(interval)s
) as whole
"""

_SERIES = """
select b.symbol, d.calendar, min(b.timestamp)::date, d.delisted_on
from raw.price_bars as b
inner join (
    select distinct on (i.symbol) i.symbol, i.calendar, i.delisted_on
    from trading.instruments as i order by i.symbol, i.watermark desc
) as d using (symbol)
where b.source = %(source)s and b.interval = %(interval)s
group by b.symbol, d.calendar, d.delisted_on
"""

_PRESENT = """
select b.timestamp::date, array_agg(distinct b.symbol) from raw.price_bars as b
where b.source = %(source)s and b.interval = %(interval)s
  and b.timestamp >= %(first)s and b.timestamp < %(last)s::timestamptz + interval '1 day'
group by b.timestamp::date
"""

_NEWEST = """
select distinct on (q.session_date) q.session_date, q.expected_symbols, q.missing_symbols
from raw.session_quality as q
where q.source = %(source)s and q.interval = %(interval)s
  and q.session_date between %(first)s::timestamptz::date and %(last)s::timestamptz::date
order by q.session_date, q.watermark desc
"""


@dataclass(frozen=True)
class Series:
    """One symbol at one source: when it begins there, and when its instrument ends."""

    symbol: str
    calendar: str
    first_date: date
    delisted_on: date | None

    def is_expected(self, day: date) -> bool:
        """Tell whether a session on `day` should have a bar of this symbol."""
        return self.first_date <= day and (self.delisted_on is None or day <= self.delisted_on)


def publish_session_quality(conn: psycopg.Connection, source: str, intervals: set[str], watermark: int) -> int:
    """Write what the bars of `watermark` changed about the sessions' completeness; return how many sessions changed."""
    changed = 0
    for interval in sorted(intervals):
        about = {"source": source, "interval": interval, "watermark": watermark}
        first, last = conn.execute(_AFFECTED, about).fetchone() or (None, None)
        if first is not None:
            changed += _publish(conn, {**about, "first": first, "last": last})
    return changed


def republish_session_quality(conn: psycopg.Connection, source: str, since: date, watermark: int) -> int:
    """Judge the sessions from `since` on again, after instruments changed; return how many sessions changed."""
    rows = conn.execute(
        "select b.interval, max(b.timestamp) from raw.price_bars as b where b.source = %s group by 1", (source,)
    ).fetchall()
    first = bar_label(since)
    about = {"source": source, "watermark": watermark, "first": first}
    return sum(
        _publish(conn, {**about, "interval": interval, "last": last}) for interval, last in rows if last >= first
    )


def expectations(series: Iterable[Series], sessions: Mapping[str, Sessions]) -> dict[date, list[str]]:
    """Return session date -> symbols that should have a bar, in name order, over the sessions given by calendar."""
    expected: dict[date, list[str]] = defaultdict(list)
    for one in sorted(series, key=lambda each: each.symbol):
        for session in sessions[one.calendar].ordered:
            if one.is_expected(session.session_date):
                expected[session.session_date].append(one.symbol)
    return expected


def _publish(conn: psycopg.Connection, about: dict[str, Any]) -> int:
    series = [Series(*found) for found in conn.execute(_SERIES, about)]
    calendars = {one.calendar for one in series}
    sessions = read_sessions(conn, calendars, about["first"].date(), about["last"].date())
    present: dict[date, set[str]] = {day: set(symbols) for day, symbols in conn.execute(_PRESENT, about)}
    newest = {day: (expected, missing) for day, expected, missing in conn.execute(_NEWEST, about)}
    found = {
        day: (expected, [symbol for symbol in expected if symbol not in present.get(day, set())])
        for day, expected in expectations(series, sessions).items()
    }
    changed = {day: symbols for day, symbols in found.items() if newest.get(day) != symbols}
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy raw.session_quality (source, interval, session_date, expected_symbols, missing_symbols, is_complete, "
            "watermark) from stdin"
        ) as copy,
    ):
        for day, (expected, missing) in sorted(changed.items()):
            copy.write_row(
                (about["source"], about["interval"], day, expected, missing, not missing, about["watermark"])
            )
    return len(changed)
