"""From which day a live fetch asks that names none: from what is here on, so that days nobody looked at are not left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import psycopg

from trading.ingestion.reader import Kind

# By the index: the newest bar of each symbol of one source.
_NEWEST_BARS = """
select a.symbol, newest.timestamp
from unnest(%(symbols)s::text[]) as a (symbol)
cross join lateral (
    select b.timestamp from raw.price_bars as b
    where b.source = %(source)s and b.symbol = a.symbol and b.interval = %(interval)s
    order by b.timestamp desc limit 1
) as newest
"""

# Of actions and news there may be none for months: what counts is up to when they were asked for.
_NEWEST_ASKS = """
select a.symbol, max((f.ask ->> 'end')::timestamptz)
from unnest(%(symbols)s::text[]) as a (symbol)
inner join raw.fetches as f on f.source = %(source)s and f.kind = %(kind)s and f.ask -> 'symbols' ? a.symbol
where exists (select from raw.fetched_pages as p where p.fetch_id = f.fetch_id and p.cursor is null)
group by a.symbol
"""


@dataclass(frozen=True)
class Resumption:
    """The first day to ask for, UTC; `behind` is the symbol that it comes from, `new` are those of which nothing is here."""

    first: date
    behind: str | None
    new: tuple[str, ...]

    def sentence(self) -> str:
        """Return the day and why it is this one, in one line."""
        told = [f"where {self.behind} is newest here"] if self.behind else []
        told += [f"of {', '.join(self.new)} nothing is here, ask for more with --from"] if self.new else []
        return f"without --from it begins on {self.first}: {'; '.join(told)}"


def resumption(
    conn: psycopg.Connection,
    kind: Kind,
    interval: str,
    sources: Mapping[str, Sequence[str]],
    now: datetime,
) -> Resumption:
    """Return from which day on symbols are asked for so that none has a hole: from the newest of the one furthest behind.

    Args:
        sources: Symbol -> its sources, the first first: the first of them that has something of it counts.
        now: The clock. A symbol of which nothing is here begins yesterday.
    """
    newest: dict[str, datetime] = {}
    for source in dict.fromkeys(name for names in sources.values() for name in names):
        wanted = [symbol for symbol, names in sources.items() if source in names]
        found = _newest(conn, kind, interval, source, wanted)
        for symbol in found.keys() - newest.keys():
            newest[symbol] = found[symbol]
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    new = tuple(symbol for symbol in sources if symbol not in newest)
    behind = min(newest, key=lambda symbol: newest[symbol], default=None)
    days = [newest[behind].astimezone(UTC).date()] if behind else []
    return Resumption(min(days + [yesterday] * bool(new)), behind, new)


def _newest(
    conn: psycopg.Connection, kind: Kind, interval: str, source: str, symbols: Sequence[str]
) -> dict[str, datetime]:
    asked = {"symbols": list(symbols), "source": source, "kind": kind, "interval": interval}
    return dict(conn.execute(_NEWEST_BARS if kind == "prices" else _NEWEST_ASKS, asked).fetchall())
