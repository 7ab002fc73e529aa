"""Compare what a definition gives on cut inputs with what it should: in one statement, and in detail only if it differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from feature_store.leaks.subjects import Subject
from trading.leaks.causes import kind_of
from trading.leaks.findings import ROW_COLUMN, Finding

KEY = ("source", "symbol", "interval", "timestamp")

# What is stored as known at the moment: what a question at that moment is answered with, and training learns from. The
# order is that of the index, so that nothing is sorted.
_STORED = """
    select v.* from leak_series as s cross join lateral (
        select distinct on (v.timestamp) {columns}
        from {view} as v
        where v.definition = {definition} and v.source = s.source and v.symbol = s.symbol and v.interval = s.interval
            and v.watermark <= {newest} and v.known_at <= {at}
        order by v.timestamp desc, v.known_at desc, v.watermark desc, v.row_id desc
    ) as v
"""

# Only rows up to the newest known one of their series are of the past.
_MADE = """
    with {working} as ({rows})
    select {columns} from ({given}) as made
    join leak_newest as n using (source, symbol, interval)
    where made.timestamp <= n.newest
"""

_COMPARED = """
from ({made}) as m
full join ({expected}) as e
    on e.source = m.source and e.symbol = m.symbol and e.interval = m.interval and e.timestamp = m.timestamp
"""

_COUNTED = """
select
    count(*),
    count(*) filter (where m.symbol is null or e.symbol is null),
    count(*) filter (where m.symbol is not null and e.symbol is not null and ({new}) is distinct from ({old}))
"""

_DETAILS = """
create temporary table leak_differs on commit drop as
select
    coalesce(m.source, e.source) as source, coalesce(m.symbol, e.symbol) as symbol,
    coalesce(m.interval, e.interval) as interval, coalesce(m.timestamp, e.timestamp) as timestamp,
    m.symbol is not null as is_made, e.symbol is not null as is_expected,
    array[{new}]::double precision[] as new, array[{old}]::double precision[] as old
"""

# Where the version in force at the moment was compacted, an older one stands for it: nothing can be said of its row.
_NOT_COMPACTED = """
delete from leak_differs as d using features.compacted_rows as c
where c.definition = {definition} and c.source = d.source and c.symbol = d.symbol and c.interval = d.interval
    and c.timestamp = d.timestamp and c.known_at <= {at} and c.watermark <= {newest}
    and not exists (
        select from {view} as v
        where v.definition = c.definition and v.source = c.source and v.symbol = c.symbol and v.interval = c.interval
            and v.timestamp = c.timestamp and v.known_at <= {at} and v.watermark <= {newest}
            and (v.known_at, v.watermark, v.row_id) > (c.known_at, c.watermark, c.row_id))
"""


@dataclass(frozen=True)
class Comparison:
    """One cut of one definition.

    Attributes:
        working_columns: Those of `leak_known`.
        newest: The watermark up to which stored rows are read.
        news_up_to: The watermark by which a daily definition reads news, in place of what its rows say; None: as said.
    """

    subject: Subject
    at: datetime
    newest: int
    working_columns: tuple[str, ...]

    def expected(self) -> sql.Composed:
        """Return the rows that must come out: the stored ones, or those computed with the true future behind them."""
        if self.subject.definition is None:
            return self.made(("leak_known", "leak_future"), None)
        return sql.SQL(_STORED).format(columns=_columns("v", (*KEY, *self.subject.columns)), **self._stored())

    def made(self, inputs: Sequence[str], news_up_to: int | None) -> sql.Composed:
        """Return what the definition gives over the rows of `inputs`."""
        columns = sql.SQL(", ").join(self._column(name, news_up_to) for name in self.working_columns)
        rows = [sql.SQL("select {} from {}").format(columns, sql.Identifier(name)) for name in inputs]
        return sql.SQL(_MADE).format(
            working=sql.Identifier(self.subject.working),
            rows=sql.SQL(" union all ").join(rows),
            columns=_columns("made", (*KEY, *self.subject.columns)),
            given=sql.SQL(self.subject.sql),
        )

    def count(self, conn: psycopg.Connection, inputs: Sequence[str], news_up_to: int | None) -> tuple[int, int, int]:
        """Return how many rows were compared, how many are on one side only, and how many differ."""
        question = sql.SQL(_COUNTED + _COMPARED)
        row = conn.execute(question.format(**self._parts(inputs, news_up_to))).fetchone()
        assert row is not None, "counts are always one row"
        return row[0], row[1], row[2]

    def findings(
        self,
        conn: psycopg.Connection,
        inputs: Sequence[str],
        news_up_to: int | None,
        future: str,
        cause: str,
        rows: int,
    ) -> list[Finding]:
        """Return the first row of each column that differs."""
        conn.execute("drop table if exists pg_temp.leak_differs")
        where = " where m.symbol is null or e.symbol is null or ({new}) is distinct from ({old})"
        conn.execute(sql.SQL(_DETAILS + _COMPARED + where).format(**self._parts(inputs, news_up_to)))
        if self.subject.definition is not None:
            conn.execute(sql.SQL(_NOT_COMPACTED).format(**self._stored()))
        names = (ROW_COLUMN, *self.subject.columns)
        found = [self._first(conn, place, name, future, cause, rows) for place, name in enumerate(names)]
        return [one for one in found if one is not None]

    def _first(
        self, conn: psycopg.Connection, place: int, column: str, future: str, cause: str, rows: int
    ) -> Finding | None:
        is_row = column == ROW_COLUMN
        differs = (
            "not (d.is_made and d.is_expected)"
            if is_row
            else "d.is_made and d.is_expected and d.new[%(n)s] is distinct from d.old[%(n)s]"
        )
        values = (
            "case when d.is_expected then 'present' end, case when d.is_made then 'present' end"
            if is_row
            else "d.old[%(n)s], d.new[%(n)s]"
        )
        row = conn.execute(
            f"select d.symbol, d.timestamp, {values}, count(*) over (), k.known_at from leak_differs as d"
            " left join leak_known as k using (source, symbol, interval, timestamp)"
            f" where {differs} order by d.timestamp, d.symbol limit 1",
            {"n": place},
        ).fetchone()
        if row is None:
            return None
        symbol, timestamp, before, after, changed_rows, known_at = row
        both = isinstance(before, float) and isinstance(after, float)
        return Finding(
            column=column,
            symbol=symbol,
            timestamp=timestamp.isoformat(),
            decision_at=(known_at or self.at).isoformat(),
            moment=self.at.isoformat(),
            future=future,
            before=before,
            after=after,
            difference=after - before if both else None,
            changed_rows=changed_rows,
            kind=kind_of("feature", cause, changed_rows / max(1, rows)),
            cause=cause,
        )

    def _stored(self) -> dict[str, sql.Composable]:
        return {
            "view": sql.Identifier(*self.subject.view.split(".")),
            "definition": sql.Literal(self.subject.definition),
            "newest": sql.Literal(self.newest),
            "at": sql.Literal(self.at),
        }

    def _parts(self, inputs: Sequence[str], news_up_to: int | None) -> dict[str, sql.Composable]:
        return {
            "made": self.made(inputs, news_up_to),
            "expected": self.expected(),
            "new": _columns("m", self.subject.columns),
            "old": _columns("e", self.subject.columns),
        }

    def _column(self, name: str, news_up_to: int | None) -> sql.Composable:
        if name == "up_to" and news_up_to is not None:
            return sql.SQL("{}::bigint as up_to").format(sql.Literal(news_up_to))
        return sql.Identifier(name)


def _columns(relation: str, names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(relation, name) for name in names)
