"""How long each instrument was listed, from corporate actions and from splits at long gaps: new versions of instruments.

A delisting or a symbol change ends the old symbol on the day before its ex-date; a symbol change makes a draft of the new
one that keeps what the old one had. After each batch what the actions and parts say is compared with the instruments,
and only what differs is published; so it does not matter which of the prices and the actions came first, and a
run that dies in between is completed by the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import psycopg

from trading.adapters import warehouse
from trading.adapters.completeness import republish_session_quality
from trading.adapters.gaps import known_parts
from trading.adapters.instruments import InstrumentRow, insert_version, newest_instruments

_DAY = timedelta(days=1)

# Per symbol the last of its standing ends; one that was withdrawn counts only by being there: it sets the end back.
_ENDS = """
select
    a.symbol,
    max(a.ex_date) filter (where a.new_symbol is distinct from a.symbol),
    (array_agg(a.new_symbol order by a.ex_date desc) filter (where a.new_symbol <> a.symbol))[1],
    max(a.known_at)
from raw.actions_as_of('infinity', %s) as a
where a.source = %s and a.kind in ('symbol_change', 'delisting')
group by a.symbol
"""

_LAST_BEFORE = """
select
    (select max(b.timestamp) from raw.price_bars as b where b.source = %(source)s and b.symbol = %(before)s),
    (select min(b.known_at) from raw.price_bars as b where b.source = %(source)s and b.symbol = %(name)s)
"""


@dataclass(frozen=True)
class End:
    """The end of a symbol: its last day (None: it goes on), what it became, and since when that is known."""

    symbol: str
    last_day: date | None
    becomes: str | None
    known_at: datetime


def publish_listings(url: str, source: str) -> dict[str, str]:
    """Publish what actions and parts change about instruments; return symbol -> calendar of new drafts.

    Takes a watermark only if something changed.
    """
    with warehouse.publishing(url) as conn:
        if not _versions(conn, _ends(conn, source)):
            return {}
    with warehouse.publishing(url) as conn:
        watermark = warehouse.take_watermark(conn, f"listings of {source}")
        return _publish(conn, source, watermark)


def _publish(conn: psycopg.Connection, source: str, watermark: int) -> dict[str, str]:
    ends = _ends(conn, source)
    before = newest_instruments(conn, [end.symbol for end in ends])
    versions = _versions(conn, ends)
    drafts, since = {}, []
    for row, known_at in versions:
        insert_version(conn, row, known_at, watermark)
        if row.symbol in before:
            days = (before[row.symbol][0].delisted_on, row.delisted_on)
            since += [day for day in days if day is not None]
        else:
            drafts[row.symbol] = row.calendar
    if since:
        republish_session_quality(conn, source, min(since), watermark)
    return drafts


def _ends(conn: psycopg.Connection, source: str) -> list[End]:
    stated = [
        End(symbol, ex_date - _DAY if ex_date else None, becomes if ex_date else None, known_at)
        for symbol, ex_date, becomes, known_at in conn.execute(_ENDS, (warehouse.newest_watermark(conn), source))
    ]
    named = {end.symbol for end in stated}
    return [*stated, *(end for end in _ends_of_wholes(conn, source) if end.symbol not in named)]


def _ends_of_wholes(conn: psycopg.Connection, source: str) -> Iterable[End]:
    """Return the end of each symbol after which a later part goes on under another name."""
    previous: dict[str, str] = {}
    for part in known_parts(conn, source):
        before = previous.get(part.symbol, part.symbol)
        about = {"source": source, "before": before, "name": part.name}
        last, known_at = conn.execute(_LAST_BEFORE, about).fetchone() or (None, None)
        if last is not None and known_at is not None:
            yield End(before, last.date(), None, known_at)
        previous[part.symbol] = part.name


def _versions(conn: psycopg.Connection, ends: list[End]) -> list[tuple[InstrumentRow, datetime]]:
    """Return the versions that instruments lack, each with the time since which it is known."""
    symbols = {end.symbol for end in ends} | {end.becomes for end in ends if end.becomes}
    newest = newest_instruments(conn, symbols)
    found = []
    for end in ends:
        if end.symbol not in newest:
            continue  # nobody has described it yet: its first bar will
        row, known_at = newest[end.symbol]
        if row.delisted_on != end.last_day:
            found.append((replace(row, delisted_on=end.last_day), max(known_at, end.known_at)))
        if end.becomes and end.last_day and end.becomes not in newest:
            fresh = replace(row, symbol=end.becomes, listed_on=end.last_day + _DAY, delisted_on=None, is_draft=True)
            found.append((fresh, end.known_at))
            newest[end.becomes] = (fresh, end.known_at)
    return found
