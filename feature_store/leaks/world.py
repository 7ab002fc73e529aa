"""A `World` from the warehouse: every version of what some series rest on, for definitions written in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from trading.leaks.world import World

if TYPE_CHECKING:
    from pandas import DataFrame

    from feature_store.leaks.subjects import Subject

BARS = 360  # of each symbol, the newest
SYMBOLS = 5  # those with most bars, revised ones counted again
TIMES = ("timestamp", "known_at", "ex_date", "published_at", "effective_date", "session_date", "closes_at")

# In the lots of today's instrument, as training and judging deal: one step per symbol, the same in every future.
_BARS = """
select b.symbol, b.timestamp, b.open, b.high, b.low, b.close, b.volume, b.known_at,
    coalesce(l.lot_size, 1) as lot_size
from raw.price_bars as b
left join lateral (
    select i.lot_size from trading.instruments as i where i.symbol = b.symbol order by i.watermark desc limit 1
) as l on true
where b.source = %(source)s and b.interval = %(interval)s and b.symbol = any(%(symbols)s) and b.timestamp >= %(first)s
order by b.symbol, b.timestamp, b.known_at, b.watermark
"""
_ACTIONS = """
select a.symbol, a.kind, features.as_timestamp(a.ex_date) as ex_date, a.ratio, a.known_at
from raw.corporate_actions as a
where a.source = %(source)s and a.symbol = any(%(symbols)s) order by a.symbol, a.ex_date, a.known_at, a.watermark
"""
_NEWS = """
select n.news_id, s.symbol, n.published_at, z.score, n.known_at
from raw.news_items as n
cross join lateral unnest(n.symbols) as s (symbol)
left join features.news_scores as z
    on z.item_id = n.item_id and z.scorer = %(scorer)s and z.scorer_version = %(scorer_version)s
where s.symbol = any(%(symbols)s) and n.known_at >= %(first)s order by n.news_id, s.symbol, n.known_at, n.watermark
"""
_UNIVERSE = """
select m.symbol, features.as_timestamp(m.effective_date) as effective_date, m.is_member, m.known_at
from trading.universe_members as m
where m.symbol = any(%(symbols)s) order by m.symbol, m.effective_date, m.known_at, m.watermark
"""
# Sessions are recorded when they are past: each was known when it opened.
_SESSIONS = """
select features.as_timestamp(c.session_date) as session_date, true as is_open, c.closes_at, c.opens_at as known_at
from trading.calendar_sessions as c
where c.session_date >= (%(first)s::timestamptz at time zone 'UTC')::date
    and c.calendar = (select i.calendar from trading.instruments as i where i.symbol = any(%(symbols)s) limit 1)
order by c.session_date
"""
# Of versions known at one moment the newest publication counts, as in a training set.
_FEATURES = """
select distinct on (f.symbol, f.timestamp, f.known_at) f.symbol, f.timestamp, f.known_at, {columns}
from features.daily as f
where f.definition = %(definition)s and f.source = %(source)s and f.interval = %(interval)s
    and f.symbol = any(%(symbols)s) and f.timestamp >= %(first)s
order by f.symbol, f.timestamp, f.known_at, f.watermark desc, f.row_id desc
"""
_FIRST = """
select min(t.timestamp) from (
    select distinct b.timestamp from raw.price_bars as b
    where b.source = %(source)s and b.interval = %(interval)s and b.symbol = any(%(symbols)s)
    order by b.timestamp desc limit %(bars)s) as t
"""


_FULLEST = """
select b.symbol from raw.price_bars as b
where b.source = %(source)s and b.interval = %(interval)s and b.symbol = any(%(symbols)s)
group by b.symbol order by count(*) desc, b.symbol limit %(count)s
"""


def read_world(
    conn: psycopg.Connection,
    daily: Subject,
    source: str,
    symbols: Sequence[str],
    interval: str = "1d",
    bars: int = BARS,
) -> World | None:
    """Return the newest `bars` of the fullest series with all that is known about them; None if there are no bars."""
    from psycopg import sql

    asked: dict[str, Any] = {
        "source": source,
        "symbols": list(symbols),
        "count": SYMBOLS,
        "interval": interval,
        "bars": bars,
        "scorer": daily.scorer,
        "scorer_version": daily.scorer_version,
        "definition": daily.definition,
    }
    asked["symbols"] = sorted(row[0] for row in conn.execute(_FULLEST, asked))
    first = conn.execute(_FIRST, asked).fetchone()
    if first is None or first[0] is None:
        return None
    asked["first"] = first[0]
    columns = sql.SQL(", ").join(sql.Identifier("f", name) for name in daily.columns)
    questions = {"bars": _BARS, "actions": _ACTIONS, "news": _NEWS, "universe": _UNIVERSE, "sessions": _SESSIONS}
    frames = {name: _frame(conn, sql.SQL(text), asked) for name, text in questions.items()}
    return World(**frames, features=_frame(conn, sql.SQL(_FEATURES).format(columns=columns), asked))


def _frame(conn: psycopg.Connection, question: Any, asked: dict[str, Any]) -> DataFrame:
    from pandas import DataFrame

    cursor = conn.execute(question, asked)
    names = [column.name for column in cursor.description or []]
    frame = DataFrame(cursor.fetchall(), columns=names)
    for name in names:
        if name in TIMES:
            frame[name] = frame[name].astype("datetime64[us, UTC]")
        elif name not in ("symbol", "kind", "news_id", "is_open", "is_member"):
            frame[name] = frame[name].astype("float64")
    return frame
