"""A user's dbt model asked on other inputs: which past row changes, and by which part of the future."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from feature_store.leaks.model_inputs import Relation
from feature_store.leaks.project import Model
from trading.leaks.causes import PARTS, kind_of
from trading.leaks.findings import ROW_COLUMN, Finding

_CLOCK = re.compile(
    r"\b(?:(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(\s*\)"
    r"|current_date|current_time(?:stamp)?|localtime(?:stamp)?)(?![\w(])",
    re.IGNORECASE,
)
_NO_SQL = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)  # texts and remarks


@dataclass(frozen=True)
class Shape:
    """What a model reads and gives."""

    relations: list[Relation]
    key: tuple[str, ...]
    decision: str
    columns: dict[str, str]


@dataclass(frozen=True)
class Asking:
    """A model asked again on other inputs, and compared with `leak_full`."""

    conn: psycopg.Connection
    model: Model
    shape: Shape
    kind: str

    def unrepeatable(self) -> dict[str, Finding]:
        """Return what differs when the same is asked twice, and the word by which it reads the clock."""
        self.conn.execute("savepoint true_inputs")
        self._answer(self.model.sql)
        end = datetime.max.replace(tzinfo=UTC)
        found = [
            _first(self.conn, self.shape, column, end, "scrambled") for column in (ROW_COLUMN, *self.shape.columns)
        ]
        self.conn.execute("rollback to savepoint true_inputs")
        told = {one.column: replace(one, kind="not_repeatable", cause="nothing") for one in found if one is not None}
        if not told and (word := _CLOCK.search(_NO_SQL.sub(" ", self.model.sql))):
            told[ROW_COLUMN] = Finding(
                ROW_COLUMN, "*", "", "", "", "scrambled", word.group(), None, None, 0, "reads_the_clock", "nothing"
            )
        return told

    def judge_at(self, at: datetime, future: str, first: dict[str, Finding]) -> int:
        """Compute the model on other inputs, keep the first finding of each column; return how many rows were compared."""
        self.conn.execute("savepoint true_inputs")
        self._asked(at, future, None)
        counted = self.conn.execute(
            sql.SQL("select count(*) from leak_full where {} <= %s").format(sql.Identifier(self.shape.decision)), (at,)
        ).fetchone()
        rows = int(counted[0]) if counted else 0
        found = [_first(self.conn, self.shape, column, at, future) for column in (ROW_COLUMN, *self.shape.columns)]
        self.conn.execute("rollback to savepoint true_inputs")
        for finding in (one for one in found if one is not None):
            known = first.get(finding.column)
            if known is None or finding.timestamp < known.timestamp:
                cause = self._cause(finding, at, future)
                share = finding.changed_rows / max(1, rows)
                first[finding.column] = replace(finding, cause=cause, kind=kind_of(self.kind, cause, share))
        return rows

    def _cause(self, finding: Finding, at: datetime, future: str) -> str:
        """Return the one part of the future that changes the row when it alone is taken; if none does, bars are what a model is of."""
        there = {part for relation in self.shape.relations for part in relation.parts}
        for part in (one for one in PARTS if one in there):
            self.conn.execute("savepoint true_inputs")
            self._asked(at, future, part)
            other = _first(self.conn, self.shape, finding.column, at, future)
            self.conn.execute("rollback to savepoint true_inputs")
            if other is not None and (other.symbol, other.timestamp) == (finding.symbol, finding.timestamp):
                return part
        return "bars" if "bars" in there else "several"

    def _asked(self, at: datetime, future: str, part: str | None) -> None:
        text = self.model.sql
        for one in self.shape.relations:
            one.replace(self.conn, at, future, part)
            written = rf'"?\b{re.escape(one.schema)}\b"?\."?\b{re.escape(one.name)}\b"?'
            text = re.sub(written, f'pg_temp."{one.name}"', text)
        self._answer(text)

    def _answer(self, text: str) -> None:
        self.conn.execute(sql.SQL("create temporary table leak_other on commit drop as {}").format(sql.SQL(text)))


def _first(conn: psycopg.Connection, shape: Shape, column: str, at: datetime, future: str) -> Finding | None:
    """Return the first row decided by `at` that is another one in `leak_other`; why is not asked yet."""
    is_row = column == ROW_COLUMN
    one_sided, differs = "f.symbol is null or o.symbol is null", "f.symbol = o.symbol and f.{0} is distinct from o.{0}"
    name, decision = sql.Identifier(shape.decision if is_row else column), sql.Identifier(shape.decision)
    parts: dict[str, Any] = {
        "name": name,
        "decision": decision,
        "using": sql.SQL(" and ").join(sql.SQL("f.{0} = o.{0}").format(sql.Identifier(one)) for one in shape.key),
        "differs": sql.SQL(one_sided if is_row else differs).format(name),
        "past": sql.SQL("coalesce(f.{0} <= {1}, o.{0} <= {1})").format(decision, sql.Literal(at)),
    }
    question = sql.SQL(
        "select coalesce(f.symbol, o.symbol), coalesce(f.timestamp, o.timestamp), coalesce(f.{decision}, o.{decision}),"
        " f.{name}, o.{name}, count(*) over ()"
        " from leak_full as f full join leak_other as o on {using}"
        " where {past} and ({differs}) order by 2, 1 limit 1"
    )
    row = conn.execute(question.format(**parts)).fetchone()
    if row is None:
        return None
    symbol, timestamp, decided, before, after, changed = row
    old, new = _shown(before), _shown(after)
    return Finding(
        column=column,
        symbol=str(symbol),
        timestamp=timestamp.isoformat(),
        decision_at=decided.isoformat(),
        moment=at.isoformat(),
        future=future,
        before=("present" if before is not None else None) if is_row else old,
        after=("present" if after is not None else None) if is_row else new,
        difference=new - old if isinstance(old, float) and isinstance(new, float) else None,
        changed_rows=changed,
        kind="unknown",
        cause="several",
    )


def _shown(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if value is None:
        return None
    return float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else str(value)
