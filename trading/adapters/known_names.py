"""Is there such a source, symbol or interval? A mistyped name has no rows either, and that is not the answer to it."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from trading.errors import InputError
from trading.intervals import Interval

_SHOWN = 10

# By index, one look per name: bars, instruments, actions, news.
_UNKNOWN = """
select asked.symbol from unnest(%(symbols)s::text[]) as asked (symbol)
where not exists (select from trading.instruments as i where i.symbol = asked.symbol)
  and not exists (
      select from raw.sources as s join raw.price_bars as b on b.source = s.source and b.symbol = asked.symbol
  )
  and not exists (select from raw.corporate_actions as a where a.symbol = asked.symbol)
  and not exists (select from raw.news_items as n where n.symbols @> array[asked.symbol])
order by asked.symbol
"""

_INTERVALS = """
select distinct b.interval
from raw.sources as s join raw.price_bars as b on b.source = s.source and b.symbol = any(%s)
order by b.interval
"""


def refuse_unknown_source(conn: psycopg.Connection, source: str | None) -> None:
    """Raise InputError, naming the sources there are, where `source` is none of them; None is any."""
    known = [str(name) for (name,) in conn.execute("select s.source from raw.sources as s order by s.precedence")]
    if source is not None and source not in known:
        raise InputError(f"expected a source, one of {', '.join(known)}; found {source!r}")


def refuse_unknown_symbols(conn: psycopg.Connection, symbols: Sequence[str]) -> None:
    """Raise InputError, naming symbols there are, where nothing was ever published of one of `symbols`."""
    unknown = [repr(str(symbol)) for (symbol,) in conn.execute(_UNKNOWN, {"symbols": list(symbols)})]
    if not unknown:
        return
    known = [
        str(name)
        for (name,) in conn.execute("select distinct i.symbol from trading.instruments as i order by i.symbol")
    ]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    there = f"{', '.join(known[:_SHOWN])}{more}" if known else "none yet; ingest prices first"
    raise InputError(f"expected symbols that are known, found {', '.join(unknown)}; known: {there}")


def refuse_unknown_interval(conn: psycopg.Connection, interval: str, symbols: Sequence[str]) -> None:
    """Raise InputError where `interval` is none, or where `symbols` have bars, and none of this length: name those."""
    Interval.stored(interval)
    known = [str(name) for (name,) in conn.execute(_INTERVALS, (list(symbols),))]
    if known and interval not in known:
        raise InputError(
            f"expected an interval with bars of {', '.join(symbols)}, found {interval!r}; known: {', '.join(known)}"
        )
