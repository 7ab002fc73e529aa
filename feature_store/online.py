"""The newest row of a series as of (t, w): what a decision is made from. One statement, found through one index."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from feature_store.rows import FeatureRow

NEWEST = 2**63 - 1  # no watermark is greater

_ORIGIN = {
    "features.daily": sql.SQL(
        "r.decision_at, r.sentiment_items, r.indicator_row_id, r.indicator_row_hash, '{}'::double precision[]"
    ),
    "marts.indicators": sql.SQL("r.nominal_at, null, r.bar_id, r.bar_hash, r.state"),
}


def row_columns(view: str, columns: tuple[str, ...]) -> sql.Composed:
    """Return the select list that `to_row` reads, from a relation named r."""
    numbers = sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(column)) for column in columns)
    return sql.SQL(
        "r.row_id, r.row_hash, r.source, r.symbol, r.interval, r.timestamp, r.known_at, r.watermark,"
        " r.source_watermark, {origin}, array[{numbers}]::double precision[]"
    ).format(origin=_ORIGIN[view], numbers=numbers)


def to_row(view: str, definition: str, columns: tuple[str, ...], found: tuple[Any, ...]) -> FeatureRow:
    """Return the row that a select of `row_columns` found."""
    row_id, row_hash, source, symbol, interval, timestamp, known_at, watermark, source_watermark = found[:9]
    decision_at, items, input_id, input_hash, state, numbers = found[9:]
    values: dict[str, float | None] = dict(zip(columns, numbers, strict=True))
    return FeatureRow(
        view=view,
        definition=definition,
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
        state=tuple(state),
    )


def latest_row(
    conn: psycopg.Connection,
    view: str,
    definition: str,
    columns: tuple[str, ...],
    symbol: str,
    interval: str,
    as_of: datetime,
    watermark: int | None,
    source: str | None,
) -> FeatureRow | None:
    """Return the row of the greatest timestamp known at `as_of`, in its newest version by `watermark`.

    Without a source the one of best precedence that has a row then answers.
    """
    query = sql.SQL("""
        select {columns}
        from raw.sources as s
        cross join lateral (
            select v.* from {view} as v
            where v.definition = %(definition)s and v.source = s.source and v.symbol = %(symbol)s
                and v.interval = %(interval)s and v.known_at <= %(as_of)s and v.watermark <= %(watermark)s
            order by v.timestamp desc, v.known_at desc, v.watermark desc, v.row_id desc
            limit 1
        ) as r
        where %(source)s::text is null or s.source = %(source)s
        order by s.precedence
        limit 1""").format(columns=row_columns(view, columns), view=sql.Identifier(*view.split(".")))
    found = conn.execute(
        query,
        {
            "definition": definition,
            "symbol": symbol,
            "interval": interval,
            "as_of": as_of,
            "watermark": NEWEST if watermark is None else watermark,
            "source": source,
        },
    ).fetchone()
    return None if found is None else to_row(view, definition, columns, found)
