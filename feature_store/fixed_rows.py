"""Rows of a view out of PostgreSQL as columns, fast: a binary COPY of fixed-width fields is an array of records.

Every field but text has one width and is never null (a missing number goes as NaN, which no feature is), so NumPy reads
the stream where it lies. Series, which are text, go as numbers of a list that is asked for first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from feature_store.views import shape_of

if TYPE_CHECKING:
    from polars import DataFrame

_HEAD, _TAIL = 19, 2  # of COPY's binary format: signature, flags and extension; the end's -1
_MICROS_TO_2000 = 946_684_800_000_000
TIMES = ("timestamp", "known_at", "decision_at")
NUMBERS = ("watermark", "row_id")
Name = tuple[str, str]


def read_rows(
    conn: psycopg.Connection, view: str, definition: str, interval: str, columns: Sequence[str], after: int, upto: int
) -> tuple[list[Name], DataFrame]:
    """Return (source, symbol) of the series, and their rows with after < watermark <= upto, sorted.

    Columns: `series` (the place in the list), `TIMES` (microseconds since 1970), `NUMBERS`, and the features. Sorted by
    (series, known_at, watermark, row_id). The caller's transaction is what is seen; takes about half a kilobyte a row.
    """
    relation = sql.Identifier(*view.split("."))
    series = conn.execute(
        sql.SQL(
            "select v.source, v.symbol from {} as v where v.definition = %s and v.interval = %s"
            " and v.watermark > %s and v.watermark <= %s group by v.source, v.symbol order by v.source, v.symbol"
        ).format(relation),
        (definition, interval, after, upto),
    ).fetchall()
    fields = [
        sql.SQL("s.place::integer"),
        sql.SQL("v.timestamp, v.known_at, {}").format(sql.Identifier("v", shape_of(view).decision_column)),
        sql.SQL("v.watermark, v.row_id"),
        *(sql.SQL("coalesce(v.{}, 'NaN')").format(sql.Identifier(column)) for column in columns),
    ]
    query = sql.SQL(
        "copy (select {fields} from unnest({sources}::text[], {symbols}::text[]) with ordinality as s (source, symbol, place)"
        " join {view} as v on v.source = s.source and v.symbol = s.symbol where v.definition = {definition}"
        " and v.interval = {interval} and v.watermark > {after} and v.watermark <= {upto}) to stdout (format binary)"
    ).format(
        fields=sql.SQL(", ").join(fields),
        view=relation,
        sources=[source for source, _ in series],
        symbols=[symbol for _, symbol in series],
        definition=definition,
        interval=interval,
        after=after,
        upto=upto,
    )
    with conn.cursor().copy(query) as stream:
        payload = b"".join(bytes(block) for block in stream)
    return [(source, symbol) for source, symbol in series], _frame(payload, columns)


def _frame(payload: bytes, columns: Sequence[str]) -> DataFrame:
    import numpy as np
    import polars as pl

    types = {"series": ">i4"} | dict.fromkeys((*TIMES, *NUMBERS), ">i8") | dict.fromkeys(columns, ">f8")
    record: list[Any] = [("fields", ">i2")]
    for name, kind in types.items():
        record += [(f"width of {name}", ">i4"), (name, kind)]
    layout = np.dtype(record)
    count = (len(payload) - _HEAD - _TAIL) // layout.itemsize
    rows = np.frombuffer(payload, dtype=layout, offset=_HEAD, count=count)
    # A stream of another layout would be numbers without meaning; its own words on widths say that it is this one.
    assert bool((rows["fields"] == len(types)).all()), "a record of the stream has another number of fields"
    assert _HEAD + count * layout.itemsize + _TAIL == len(payload), "the stream is no whole number of records"
    made = {name: rows[name].astype(kind.replace(">", "<")) for name, kind in types.items()}
    made["series"] -= 1
    for name in TIMES:
        made[name] += _MICROS_TO_2000
    return pl.DataFrame(made).sort("series", "known_at", "watermark", "row_id")
