"""What is kept up every day: the series that were fetched from a vendor up to lately, by the calendar they trade on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from trading.ingestion.reader import Kind

_CALENDARS = """
select distinct newest.calendar
from (
    select distinct on (i.symbol) i.symbol, i.calendar
    from trading.instruments as i
    order by i.symbol, i.watermark desc
) as newest
order by newest.calendar
"""

# A source of a fall-back list that was asked and passed over has no bars of the symbol, so it is not kept up.
# Weeks and months are made of days (trading.bars_of): a bar of them is not over after most sessions.
_FOLLOWED = """
with asked as (
    select distinct f.source, f.kind, f.ask ->> 'interval' as interval, wanted.symbol
    from raw.fetches as f
    cross join lateral jsonb_array_elements_text(f.ask -> 'symbols') as wanted (symbol)
    where (f.ask ->> 'end')::timestamptz >= %(since)s and f.ask ->> 'interval' not in ('1w', '1mo')
),

listed as (
    select distinct on (i.symbol) i.symbol, i.calendar, i.delisted_on
    from trading.instruments as i
    where i.symbol in (select a.symbol from asked as a)
    order by i.symbol, i.watermark desc
)

select a.source, a.interval, a.kind, array_agg(a.symbol order by a.symbol collate "C")
from asked as a
inner join listed as l on a.symbol = l.symbol
where l.calendar = %(calendar)s and (l.delisted_on is null or l.delisted_on >= %(since)s::date)
    and (a.kind <> 'prices' or exists (
        select from raw.price_bars as b
        where b.source = a.source and b.symbol = a.symbol and b.interval = a.interval
    ))
group by a.source, a.interval, a.kind
order by a.source, a.interval, a.kind
"""


@dataclass(frozen=True)
class Followed:
    """The series of one source and interval, on one calendar, that are kept up: kind -> symbols."""

    source: str
    interval: str
    symbols: dict[Kind, list[str]]


def instrument_calendars(conn: psycopg.Connection) -> list[str]:
    """Return the exchange calendars that instruments trade on, in name order."""
    return [str(calendar) for (calendar,) in conn.execute(_CALENDARS)]


def followed(conn: psycopg.Connection, calendar: str, since: datetime) -> list[Followed]:
    """Return what vendors were asked for up to `since` or later, of instruments on the calendar that are still listed."""
    found: dict[tuple[str, str], Followed] = {}
    for source, interval, kind, symbols in conn.execute(_FOLLOWED, {"calendar": calendar, "since": since}):
        found.setdefault((source, interval), Followed(source, interval, {})).symbols[kind] = symbols
    return list(found.values())
