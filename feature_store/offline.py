"""Feature history as frames: as of one moment, or each row as of its own decision time (training).

Look-ahead is impossible by the question asked, not by care: a row enters only in a version that was known then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from feature_store.online import NEWEST
from feature_store.retention import Answered, refuse_compacted, was_compacted
from feature_store.views import shape_of

if TYPE_CHECKING:
    from pandas import DataFrame

IDENTITY = ("source", "symbol", "interval", "timestamp", "decision_at", "known_at", "watermark", "row_id", "row_hash")

# The versions of the asked series that were known then. A series without a named source is the one of best precedence.
_VERSIONS = """
    with serving as (
        select distinct on (w.symbol) w.symbol, s.source
        from unnest(%(symbols)s::text[]) as w (symbol)
        join raw.sources as s on %(source)s::text is null or s.source = %(source)s
        where exists (
            select from {view} as v
            where v.definition = %(definition)s and v.source = s.source and v.symbol = w.symbol
                and v.interval = %(interval)s and v.known_at <= %(as_of)s and v.watermark <= %(watermark)s
        )
        order by w.symbol, s.precedence
    ),

    versions as (
        select v.*, {decision_at} as decided_at
        from serving as s
        join {view} as v
            on v.definition = %(definition)s and v.source = s.source and v.symbol = s.symbol
            and v.interval = %(interval)s
        where v.known_at <= %(as_of)s and v.watermark <= %(watermark)s
            and v.timestamp between %(start)s and %(end)s
    )
"""

_AS_OF = """
    select distinct on (v.symbol, v.timestamp) {columns}
    from versions as v
    order by v.symbol, v.timestamp, v.known_at desc, v.watermark desc, v.row_id desc
"""

# The decision about a bar falls when its row is first known; of that moment the newest version answers. A row that was
# older then than its definition allows is left out: a decision on it would have been refused. Its session has as many
# after it as the limit at the earliest that many days later, which spares all other rows the count.
_AT_DECISION = """
    select {columns}
    from (
        select distinct on (v.symbol, v.timestamp) v.*
        from versions as v
        order by v.symbol, v.timestamp, v.known_at, v.watermark desc, v.row_id desc
    ) as v
    where %(max_age_sessions)s::integer is null
        or v.known_at < v.timestamp + make_interval(days => %(max_age_sessions)s)
        or coalesce((
            select a.age_sessions <= %(max_age_sessions)s
            from features.age_at(v.symbol, v.interval, v.timestamp, v.known_at, %(watermark)s) as a
        ), true)
    order by v.symbol, v.timestamp
"""

BATCH_ROWS = 10_000


class History:
    """What a frame is asked for: series, definition, columns, and the knowledge to answer from."""

    def __init__(
        self,
        view: str,
        definition: str,
        columns: Sequence[str],
        symbols: Sequence[str],
        *,
        interval: str = "1d",
        as_of: datetime | None = None,
        watermark: int | None = None,
        source: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        max_age_sessions: int | None = None,
    ) -> None:
        self.view = view
        self.columns = tuple(columns)
        self.parameters: dict[str, Any] = {
            "definition": definition,
            "symbols": sorted(set(symbols)),
            "interval": interval,
            "as_of": as_of or "infinity",
            "watermark": NEWEST if watermark is None else watermark,
            "source": source,
            "start": start or "-infinity",
            "end": end or "infinity",
            "max_age_sessions": max_age_sessions,
        }


def history(conn: psycopg.Connection, asked: History) -> DataFrame:
    """Return every row of the series, each in its newest version as of one moment.

    Raises:
        CompactedError: one of these versions was taken away by retention.
    """
    frame = _frame(conn, asked, _AS_OF)
    of = asked.parameters
    if was_compacted(conn, of["definition"]):
        refuse_compacted(
            conn, of["definition"], of["interval"], answered(frame, [of["as_of"]] * len(frame)), of["watermark"]
        )
    return frame


def answered(frame: DataFrame, moments: Sequence[datetime | str]) -> list[Answered]:
    """Return the versions that a frame of rows shows, each with the moment that was asked about."""
    keys = ("source", "symbol", "timestamp", "known_at", "watermark")
    return [
        Answered(source, symbol, timestamp.to_pydatetime(), known_at.to_pydatetime(), int(watermark), moment)
        for (source, symbol, timestamp, known_at, watermark), moment in zip(
            zip(*(frame[name] for name in keys), strict=True), moments, strict=True
        )
    ]


def at_decision(conn: psycopg.Connection, asked: History) -> DataFrame:
    """Return every row of the series, each in the version that was known when it was first decided on."""
    return _frame(conn, asked, _AT_DECISION)


def batches_at_decision(conn: psycopg.Connection, asked: History, size: int = BATCH_ROWS) -> Iterator[DataFrame]:
    """Yield what `at_decision` returns, at most `size` rows at a time: the server keeps the rest."""
    query, names = _query(asked, _AT_DECISION)
    with conn.transaction(), conn.cursor(name="at_decision", binary=True) as cursor:
        cursor.itersize = size
        cursor.execute(query, asked.parameters)
        while found := cursor.fetchmany(size):
            yield _framed(found, names, asked)


def _frame(conn: psycopg.Connection, asked: History, selection: str) -> DataFrame:
    query, names = _query(asked, selection)
    return _framed(conn.execute(query, asked.parameters).fetchall(), names, asked)


def _query(asked: History, selection: str) -> tuple[sql.Composed, list[str]]:
    names = [*IDENTITY, *asked.columns]
    fields = sql.SQL(", ").join(
        sql.SQL("v.decided_at") if name == "decision_at" else sql.SQL("v.{}").format(sql.Identifier(name))
        for name in names
    )
    query = sql.SQL(_VERSIONS).format(
        view=sql.Identifier(*asked.view.split(".")),
        decision_at=sql.Identifier("v", shape_of(asked.view).decision_column),
    ) + sql.SQL(selection).format(columns=fields)
    return query, names


def _framed(found: Sequence[tuple[Any, ...]], names: Sequence[str], asked: History) -> DataFrame:
    from pandas import DataFrame

    frame = DataFrame(found, columns=list(names))
    frame["row_hash"] = [found.hex() for found in frame["row_hash"]]
    for name in ("timestamp", "decision_at", "known_at"):
        frame[name] = frame[name].astype("datetime64[us, UTC]")
    return frame.astype(dict.fromkeys(asked.columns, "float64"))
