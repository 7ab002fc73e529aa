"""Which sessions are complete, by source and interval: `raw.session_quality`, written where bars are published.

A symbol is expected from its first bar at that source on, until its instrument says that it was delisted; so a symbol
that stops arriving shows as missing, and a gap shows for as long as it is open. Within the day a symbol counts as there
when it has as many bars as its calendar's session holds, so half days and breaks count as what they are; a week or a
month is one bar, recorded under the date of its label.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import psycopg

from trading.adapters.sessions import read_sessions
from trading.calendar import Session, Sessions, bar_label
from trading.intervals import Interval

_DAY = timedelta(days=1)
# Sessions times symbols that are looked at together: some 10 MB.
_CELLS_AT_ONCE = 100_000

# Only sessions whose answer this batch may have changed are looked at: those between its bars, the gap back to each
# symbol's earlier bars, and, for a symbol that begins earlier than known, everything after its new beginning. The end of
# the source is asked only then: it is read out of all its bars.
_AFFECTED = """
select least(min(new_first), min(old_last) filter (where old_last < new_first)),
       greatest(max(new_last), case when bool_or(old_first is null or new_first < old_first) then (
           select max(s.timestamp) from raw.price_bars as s where s.source = %(source)s and s.interval = %(interval)s
       ) end)
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
order by 1
"""

# A vendor may cut the day by a grid of its own, with a bar more for it; fewer bars than the session holds are too few.
_PRESENT_WITHIN = """
select s.session_date, array_agg(y.symbol)
from unnest(%(calendars)s::text[], %(dates)s::date[], %(opens)s::timestamptz[], %(closes)s::timestamptz[], %(bars)s::int[])
    as s (calendar, session_date, opens_at, closes_at, bars)
inner join unnest(%(symbols)s::text[], %(of_symbols)s::text[]) as y (symbol, calendar) on s.calendar = y.calendar
cross join lateral (
    select count(distinct b.timestamp) as bars from raw.price_bars as b
    where b.source = %(source)s and b.interval = %(interval)s and b.symbol = y.symbol
      and b.timestamp > s.opens_at - %(length)s::interval and b.timestamp < s.closes_at
) as found
where found.bars >= s.bars
group by s.session_date
order by 1
"""

_NEWEST = """
select distinct on (q.session_date) q.session_date, q.expected_symbols, q.missing_symbols
from raw.session_quality as q
where q.source = %(source)s and q.interval = %(interval)s
  and q.session_date between %(first)s::timestamptz::date - 1 and %(last)s::timestamptz::date + 1
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
    changed = 0
    for name, last in rows:
        interval = Interval.stored(name)
        first = bar_label(since) if interval.is_intraday else interval.label(since)
        if last >= first:
            about = {"source": source, "watermark": watermark, "interval": name, "first": first, "last": last}
            changed += _publish(conn, about)
    return changed


def expectations(series: Iterable[Series], sessions: Mapping[str, Sessions]) -> dict[date, list[str]]:
    """Return session date -> symbols that should have a bar, in name order, over the sessions given by calendar.

    Days between which no symbol begins or ends share one list.
    """
    ordered = sorted(series, key=lambda each: each.symbol)
    begun, ended = sorted(one.first_date for one in ordered), sorted(filter(None, (one.delisted_on for one in ordered)))
    calendars: dict[date, list[str]] = defaultdict(list)
    for name in sorted({one.calendar for one in ordered}):
        for session in sessions[name].ordered:
            calendars[session.session_date].append(name)
    lists: dict[tuple[int, int, tuple[str, ...]], list[str]] = {}
    expected = {}
    for day, names in calendars.items():
        alike = bisect_right(begun, day), bisect_left(ended, day), tuple(names)
        if alike not in lists:
            lists[alike] = [one.symbol for one in ordered if one.calendar in names and one.is_expected(day)]
        if lists[alike]:
            expected[day] = lists[alike]
    return expected


def bars_of(session: Session, interval: Interval) -> int:
    """Return how many bars a session holds: one, or as many as its trading time cut from each opening on."""
    if not interval.is_intraday:
        return 1
    return sum(-((opens_at - closes_at) // interval.length) for opens_at, closes_at in session.stretches)


def _touched_sessions(conn: psycopg.Connection, calendars: set[str], about: Mapping[str, Any]) -> dict[str, Sessions]:
    """Return the sessions that the bars first..last lie in; of weeks and months each as one, dated by its label."""
    interval, first, last = Interval.stored(about["interval"]), about["first"], about["last"]
    if interval.is_intraday:
        found = read_sessions(conn, calendars, first.date() - _DAY, last.date() + _DAY)
        end = last + interval.length
        return {
            name: Sessions.of(one for one in each.ordered if one.opens_at < end and first < one.closes_at)
            for name, each in found.items()
        }
    until = interval.label_end(last).date() - _DAY
    found = read_sessions(conn, calendars, first.date(), until, planned=True)
    return {name: _labelled(each, interval) for name, each in found.items()} if interval.name != "1d" else found


def _labelled(sessions: Sessions, interval: Interval) -> Sessions:
    first_of = {interval.label(one.session_date).date(): one for one in reversed(sessions.ordered)}
    return Sessions.of(replace(one, session_date=label) for label, one in first_of.items())


class _ByDay:
    """Which symbols have all bars of each session, read day by day: a whole history's would not fit into memory."""

    def __init__(self, rows: Iterator[tuple[date, list[str]]]) -> None:
        """Take what the warehouse gives in the order of days."""
        self._rows = rows
        self._next = next(rows, None)

    def up_to(self, last: date) -> dict[date, set[str]]:
        """Return session date -> symbols of the days that were not returned yet, up to `last`."""
        found = {}
        while self._next is not None and self._next[0] <= last:
            found[self._next[0]] = set(self._next[1])
            self._next = next(self._rows, None)
        return found


def _asked(series: Sequence[Series], sessions: Mapping[str, Sessions], about: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the query for the symbols that have all bars of a session, by day, and its parameters."""
    interval = Interval.stored(about["interval"])
    if not interval.is_intraday:
        return _PRESENT, about
    of_sessions = [(name, one) for name, each in sessions.items() for one in each.ordered]
    return _PRESENT_WITHIN, {
        **about,
        "length": interval.length,
        "calendars": [name for name, _ in of_sessions],
        "dates": [one.session_date for _, one in of_sessions],
        "opens": [one.opens_at for _, one in of_sessions],
        "closes": [one.closes_at for _, one in of_sessions],
        "bars": [bars_of(one, interval) for _, one in of_sessions],
        "symbols": [one.symbol for one in series],
        "of_symbols": [one.calendar for one in series],
    }


def _publish(conn: psycopg.Connection, about: dict[str, Any]) -> int:
    series = [Series(*found) for found in conn.execute(_SERIES, about)]
    sessions = _touched_sessions(conn, {one.calendar for one in series}, about)
    days = sorted({one.session_date for each in sessions.values() for one in each.ordered})
    step, changed = max(1, _CELLS_AT_ONCE // max(1, len(series))), 0
    with conn.cursor("sessions_present") as cursor:
        cursor.itersize = step
        cursor.execute(*_asked(series, sessions, about))
        present = _ByDay(iter(cursor))
        for start in range(0, len(days), step):
            first, last = days[start], days[min(start + step, len(days)) - 1]
            these = {name: Sessions(each.between(first, last)) for name, each in sessions.items()}
            expected, there = expectations(series, these), present.up_to(last)
            changed += _write(conn, {**about, "first": first, "last": last}, expected, there)
    return changed


def _write(
    conn: psycopg.Connection,
    about: Mapping[str, Any],
    expected_by_day: Mapping[date, list[str]],
    present: Mapping[date, set[str]],
) -> int:
    newest = {day: (expected, missing) for day, expected, missing in conn.execute(_NEWEST, about)}
    found = {day: (expected, _missing(expected, present.get(day, set()))) for day, expected in expected_by_day.items()}
    changed = {day: symbols for day, symbols in found.items() if newest.get(day) != symbols}
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy raw.session_quality (source, interval, session_date, expected_symbols, missing_symbols, is_complete, "
            "watermark) from stdin"
        ) as copy,
    ):
        for day, (expected, missing) in sorted(changed.items()):
            told = _array(tuple(expected)), _array(tuple(missing)), not missing
            copy.write_row((about["source"], about["interval"], day, *told, about["watermark"]))
    return len(changed)


def _missing(expected: list[str], there: set[str]) -> list[str]:
    return [] if there.issuperset(expected) else [symbol for symbol in expected if symbol not in there]


@lru_cache(maxsize=16)  # sessions that follow one another expect the same symbols, often thousands
def _array(symbols: tuple[str, ...]) -> str:
    """Return symbols as PostgreSQL writes an array of text."""
    quoted = (symbol.replace("\\", "\\\\").replace('"', '\\"') for symbol in symbols)
    return "{" + ",".join(f'"{symbol}"' for symbol in quoted) + "}"
