"""The as-of join: many (symbol, moment) questions, each answered by the latest row known then, in its newest version.

Two plans that give the same answer. Few questions go to PostgreSQL as one statement, a look into the index each. Many
go to a local copy of the definition's rows (copies.py), joined in memory (joining.py); what is not in the copy yet is
fetched first. `plan_of` chooses by the sizes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from feature_store.copies import Copies, Copy
from feature_store.joining import answers
from feature_store.online import NEWEST, Series, probe
from feature_store.questions import ANSWERED, Questions
from feature_store.views import shape_of

if TYPE_CHECKING:
    import numpy as np
    import polars
    from pandas import DataFrame

    from feature_store.joining import Integers, Versions

# Measured (docs/benchmarks.md): a question costs PostgreSQL about 30 us, a warm copy of a million rows about 0.2 s, and
# a row to copy about 7 us once.
FEW = 5_000
WORTH_COPYING = 50  # rows to fetch per question

_ATTEMPTS = 3

_LOOKUPS = """
select {columns}
from unnest(%(symbols)s::text[], %(moments)s::timestamptz[], %(sources)s::text[])
    with ordinality as q (symbol, as_of, source, place)
left join lateral ({probe}) as r on true
order by q.place
"""


class Plan(StrEnum):
    """How a join is answered."""

    LOOKUPS = "lookups"
    COPY = "copy"


def plan_of(questions: int, rows_missing: int) -> Plan:
    """Return the faster plan; a copy is also begun where it pays only the next time."""
    worthwhile = questions > FEW and rows_missing <= questions * WORTH_COPYING
    return Plan.COPY if worthwhile else Plan.LOOKUPS


def lookups(
    conn: psycopg.Connection, of: Series, columns: Sequence[str], asked: Questions, watermark: int | None
) -> DataFrame:
    """Answer by one statement on the warehouse."""
    from pandas import DataFrame, Timestamp

    named = ("source", *ANSWERED, *columns)
    fields = sql.SQL(", ").join(
        sql.SQL("r.{}").format(sql.Identifier(shape_of(of.view).decision_column if name == "decision_at" else name))
        for name in named
    )
    with conn.cursor(binary=True) as cursor:
        found = cursor.execute(
            sql.SQL(_LOOKUPS).format(columns=fields, probe=probe(of.view, "q.as_of", "q.source")),
            {
                "symbols": asked.frame["symbol"].astype(object).tolist(),
                "moments": [Timestamp(moment, unit="us", tz="UTC").to_pydatetime() for moment in asked.as_of.tolist()],
                "sources": asked.frame["source"].astype(object).tolist() if asked.has_source else [None] * len(asked),
                "definition": of.definition,
                "interval": of.interval,
                "watermark": NEWEST if watermark is None else watermark,
            },
        ).fetchall()
    return _answered(asked, DataFrame(found, columns=list(named), dtype=object), columns)


def by_copy(
    conn: psycopg.Connection,
    copies: Copies,
    of: Series,
    columns: Sequence[str],
    asked: Questions,
    watermark: int | None,
) -> DataFrame:
    """Answer from the local copy, brought up to date first."""
    for attempt in range(_ATTEMPTS):
        try:
            return _from_copy(conn, copies.refreshed(conn, of), columns, asked, watermark)
        except FileNotFoundError:  # another process made one chunk of several, or somebody emptied the folder
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _from_copy(
    conn: psycopg.Connection, copy: Copy, columns: Sequence[str], asked: Questions, watermark: int | None
) -> DataFrame:
    codes, symbols, sources = _coded(asked)
    precedence = [name for (name,) in conn.execute("select source from raw.sources order by precedence").fetchall()]
    versions = copy.versions()
    upto = copy.upto if watermark is None else watermark
    place = answers(versions, symbols, codes, asked.as_of, upto, precedence, sources)
    if not copy.chunks:
        return _nothing(asked, columns)
    rows = copy.rows([name for name in ("decision_at", *columns) if name not in ("timestamp", "known_at")])
    return _assembled(asked, columns, versions, place, rows)


def _coded(asked: Questions) -> tuple[np.ndarray[Any, Any], list[str], list[str] | None]:
    """Return each question's number, and the symbol (and source) that a number stands for."""
    import pandas

    if not asked.has_source:
        codes, names = pandas.factorize(asked.frame["symbol"])
        return codes, [str(name) for name in names], None
    pairs = asked.frame.groupby(["source", "symbol"], sort=False, observed=True)
    named = [(str(source), str(symbol)) for source, symbol in pairs.size().index]
    return pairs.ngroup().to_numpy(), [symbol for _, symbol in named], [source for source, _ in named]


def _assembled(
    asked: Questions, columns: Sequence[str], versions: Versions, place: Integers, rows: polars.DataFrame
) -> DataFrame:
    """Pick the answers out of the columns, one after the other: the rows are far more than fit a processor's cache."""
    import numpy as np
    import pandas

    index, missing = asked.frame.index, place < 0
    safe = np.where(missing, 0, place)
    found: dict[str, Any] = {str(name): values for name, values in asked.frame.items()}
    if not asked.has_source:
        found["source"] = pandas.Series(_sources(versions, safe, missing), index=index).astype("str")
    for name, micros in (
        ("timestamp", versions.timestamp),
        ("known_at", versions.known_at),
        ("decision_at", rows["decision_at"].to_numpy()),
    ):
        moments = np.where(missing, np.iinfo(np.int64).min, micros[safe]).view("M8[us]")
        found[name] = pandas.Series(pandas.DatetimeIndex(moments, tz="UTC"), index=index)
    for name, numbers in (("watermark", versions.watermark), ("row_id", versions.row_id)):
        found[name] = pandas.Series(pandas.arrays.IntegerArray(numbers[safe], missing.copy()), index=index)
    for name in columns:
        values = rows[name].to_numpy()[safe]
        values[missing] = np.nan
        found[name] = pandas.Series(values, index=index, copy=False)
    return pandas.DataFrame(found, copy=False)


def _sources(versions: Versions, safe: Integers, missing: np.ndarray[Any, Any]) -> Any:
    import numpy as np
    import pandas

    names = sorted({source for source, _ in versions.names})
    of_series = np.array([names.index(source) for source, _ in versions.names] + [-1])
    series = np.where(missing, -1, versions.series[safe])
    return pandas.Categorical.from_codes(of_series[series], categories=pandas.Index(names))


def _answered(asked: Questions, found: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Put the questions before what a statement found for them, in the kinds of columns that the copy gives."""
    import pandas

    found.index = asked.frame.index
    times = dict.fromkeys(("timestamp", "known_at", "decision_at"), "datetime64[us, UTC]")
    numbers = dict.fromkeys(("watermark", "row_id"), "Int64")
    found = found.astype(times | numbers | dict.fromkeys(columns, "float64") | {"source": "str"})
    return pandas.concat([asked.frame, found.drop(columns="source") if asked.has_source else found], axis=1)


def _nothing(asked: Questions, columns: Sequence[str]) -> DataFrame:
    from pandas import DataFrame

    return _answered(
        asked, DataFrame(index=asked.frame.index, columns=["source", *ANSWERED, *columns], dtype=object), columns
    )
