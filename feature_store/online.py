"""The newest rows of series as of (t, w): what decisions are made from. One statement for any number of symbols.

A question about now is answered by key from features.newest_daily; where its row was not known or published by the
moment asked about, the series is read backwards through one index to the first version that was. A sorted read of many
questions lives in joining.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from feature_store.ages import Calendars
from feature_store.retention import Answered, refuse_compacted
from feature_store.rows import FeatureRow
from feature_store.views import DAILY, MadeFrom, shape_of

_SYMBOL, _TIMESTAMP, _KNOWN_AT, _WATERMARK = 3, 5, 6, 7  # in `row_columns`
NEWEST = 2**63 - 1  # no watermark is greater

_ORIGIN = {
    MadeFrom.INDICATORS: sql.SQL("r.decision_at, r.sentiment_items, r.indicator_row_id, r.indicator_row_hash, null"),
    MadeFrom.BARS: sql.SQL("r.nominal_at, null, r.bar_id, r.bar_hash, r.state"),
}

# The greatest timestamp known, in its newest version. No bar is known a day before its label (the day begins at
# UTC+14 first), which spares a question about the past all rows since. Without a source the one of best precedence that
# has a row then answers.
_PROBE = """
    select v.*
    from raw.sources as s
    cross join lateral (
        select n.* from {view} as n
        where {key}n.definition = %(definition)s and n.source = s.source and n.symbol = q.symbol
            and n.interval = %(interval)s and n.known_at <= {as_of} and n.watermark <= %(watermark)s
            and n.timestamp <= {as_of} + interval '1 day'
        order by n.timestamp desc, n.known_at desc, n.watermark desc, n.row_id desc
        limit 1
    ) as v
    where {source}::text is null or s.source = {source}
    order by s.precedence
    limit 1
"""

# The narrow index of 0025 is over this number; the texts are still compared, with the row that it finds.
_KEYS = {
    DAILY: "features.series_key(n.definition, n.source, n.symbol, n.interval)"
    " = features.series_key(%(definition)s, s.source, q.symbol, %(interval)s) and "
}

_LATEST = """
select
    {columns},
    (select exists (select from features.compactions as c where c.definition = %(definition)s)) as was_compacted,
    (select max(i.watermark) from trading.instruments as i) as instruments_to
from unnest(%(symbols)s::text[]) with ordinality as q (symbol, place)
cross join lateral ({probe}) as r
order by q.place
"""

# By key alone. Nothing newer than these rows exists, so none of them stands where a compacted version stood.
_NEWEST = """
select {columns}, false as was_compacted, (select max(i.watermark) from trading.instruments as i) as instruments_to
from features.newest_daily as r
where r.definition = %(definition)s and r.interval = %(interval)s and r.symbol = any(%(symbols)s::text[])
    and (%(source)s::text is null or r.source = %(source)s)
"""


@dataclass(frozen=True)
class Series:
    """Which rows are asked for: of a view, under a definition, at an interval, from a source (None: by precedence).

    Attributes:
        columns: Every feature column of the definition, in its order.
        max_age_sessions: The definition's own limit; None for a definition without one.
    """

    view: str
    definition: str
    columns: tuple[str, ...]
    max_age_sessions: int | None = None
    interval: str = "1d"
    source: str | None = None


def probe(view: str, as_of: LiteralString, source: LiteralString) -> sql.Composed:
    """Return the look for one symbol's newest row, given q.symbol and two expressions for the moment and the source."""
    return sql.SQL(_PROBE).format(
        view=sql.Identifier(*view.split(".")),
        key=sql.SQL(_KEYS.get(view, "")),
        as_of=sql.SQL(as_of),
        source=sql.SQL(source),
    )


def row_columns(view: str, columns: tuple[str, ...]) -> sql.Composed:
    """Return the select list that `to_row` reads, from a relation named r."""
    numbers = sql.SQL("").join(sql.SQL(", r.{}").format(sql.Identifier(column)) for column in columns)
    return sql.SQL(
        "r.row_id, r.row_hash, r.source, r.symbol, r.interval, r.timestamp, r.known_at, r.watermark,"
        " r.source_watermark, {origin}{numbers}"
    ).format(origin=_ORIGIN[shape_of(view).made_from], numbers=numbers)


def to_row(series: Series, found: Sequence[Any], age_sessions: int | None = None) -> FeatureRow:
    """Return the row that a select of `row_columns` found; what follows the columns is not read."""
    row_id, row_hash, source, symbol, interval, timestamp, known_at, watermark, source_watermark = found[:9]
    decision_at, items, input_id, input_hash, state = found[9:14]
    values: dict[str, float | None] = dict(zip(series.columns, found[14:], strict=False))
    return FeatureRow(
        view=series.view,
        definition=series.definition,
        row_id=row_id,
        row_hash=row_hash.hex(),
        source=source,
        symbol=symbol,
        interval=interval,
        timestamp=timestamp,
        known_at=known_at,
        watermark=watermark,
        source_watermark=source_watermark,
        decision_at=decision_at,
        values=values,
        sentiment=values.get("sentiment"),
        sentiment_items=items,
        input_id=input_id,
        input_hash=input_hash.hex(),
        state=tuple(state or ()),
        age_sessions=age_sessions,
        max_age_sessions=series.max_age_sessions,
    )


def latest_rows(
    conn: psycopg.Connection,
    series: Series,
    symbols: Sequence[str],
    as_of: datetime,
    watermark: int | None,
    calendars: Calendars,
) -> list[FeatureRow]:
    """Return, for each symbol that has one, the row of the greatest timestamp known at `as_of`, in its newest version
    by `watermark`, in the order asked.

    Raises:
        CompactedError: the version that was known then was taken away by retention.
    """
    asked: dict[str, Any] = {
        "definition": series.definition,
        "symbols": list(symbols),
        "interval": series.interval,
        "as_of": as_of,
        "watermark": NEWEST if watermark is None else watermark,
        "source": series.source,
    }
    found = _found(conn, series, asked)
    if not found:
        return []
    was_compacted, instruments_to = any(row[-2] for row in found), found[0][-1]
    named = [(row[_SYMBOL], row[_TIMESTAMP]) for row in found]
    ages = calendars.ages(conn, named, series.interval, as_of, asked["watermark"], instruments_to)
    rows = [to_row(series, row, age) for row, age in zip(found, ages, strict=True)]
    if was_compacted:
        answered = [Answered(r.source, r.symbol, r.timestamp, r.known_at, r.watermark, as_of) for r in rows]
        refuse_compacted(conn, series.definition, series.interval, answered, asked["watermark"])
    return rows


def _found(conn: psycopg.Connection, series: Series, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows that answer, in the order of the symbols asked.

    The newest row answers if it was known and published by then. A symbol of several sources is looked up: the newest
    row of one says nothing of the other's precedence.
    """
    with conn.cursor(binary=True) as cursor:
        if series.view != DAILY:
            return cursor.execute(_latest(series.view, series.columns), asked, prepare=True).fetchall()
        as_of, upto = asked["as_of"], asked["watermark"]
        answers: dict[str, tuple[Any, ...]] = {}
        look_up = set()
        for row in cursor.execute(_newest(series.columns), asked, prepare=True).fetchall():
            if row[_SYMBOL] in answers or row[_KNOWN_AT] > as_of or row[_WATERMARK] > upto:
                look_up.add(row[_SYMBOL])
            answers[row[_SYMBOL]] = row
        if look_up:
            answers = {symbol: row for symbol, row in answers.items() if symbol not in look_up}
            again = {**asked, "symbols": sorted(look_up)}
            found = cursor.execute(_latest(series.view, series.columns), again, prepare=True).fetchall()
            answers.update((row[_SYMBOL], row) for row in found)
    return [answers[symbol] for symbol in asked["symbols"] if symbol in answers]


@lru_cache(maxsize=64)
def _latest(view: str, columns: tuple[str, ...]) -> bytes:
    """The statement as bytes: the same text again is the same prepared statement."""
    return (
        sql.SQL(_LATEST)
        .format(columns=row_columns(view, columns), probe=probe(view, "%(as_of)s", "%(source)s"))
        .as_string()
        .encode()
    )


@lru_cache(maxsize=64)
def _newest(columns: tuple[str, ...]) -> bytes:
    return sql.SQL(_NEWEST).format(columns=row_columns(DAILY, columns)).as_string().encode()
