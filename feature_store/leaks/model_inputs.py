"""The relations that a user's dbt model reads: what of each became known after a moment, taken away or said otherwise.

A relation is replaced by a temporary table of its name. Its later rows are of one part of the future (see
`trading.leaks.causes`); by that the gate finds out which part it was that changed a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

_PART_OF = {
    "corporate_actions": "actions",
    "news_items": "news",
    "news_scores": "news",
    "universe_members": "universe",
}
_SERIES = ("definition", "source", "symbol", "interval")
_PRICES = ("open", "high", "low", "close", "volume")
_NUMBERS = ("numeric", "double precision", "real")

# Which part of the future each row is, by what was there at the moment.
_MARKED = """
select r.*, case
        when r.known_at <= {at} then 'known'
        when min(r.known_at) over (partition by {series}, r.timestamp) <= {at} then 'restatements'
        when r.timestamp < max(r.timestamp) filter (where r.known_at <= {at}) over (partition by {series}) then 'late'
        else 'bars'
    end as leak_part
from {relation} as r
"""
_EVENTS = """
select array[{first_and_last}]::timestamptz[] from (
    select r.known_at, row_number() over versions as leak_version, {changed},
        r.known_at > min(r.known_at) over (
            partition by {series} order by r.timestamp desc rows between unbounded preceding and 1 preceding) as leak_is_late
    from {relation} as r
    window versions as (partition by {series}, r.timestamp order by r.known_at)
) as r
"""
_BOTH = "min(r.known_at) filter (where {0}), max(r.known_at) filter (where {0})"


@dataclass(frozen=True)
class Relation:
    """A table or view that a model reads, with its columns and their types."""

    schema: str
    name: str
    columns: dict[str, str]

    @property
    def parts(self) -> Sequence[str]:
        """The parts of the future that its later rows may be of."""
        return ("restatements", "late", "bars") if self._is_of_bars else (self._part,)

    @property
    def _part(self) -> str:
        return _PART_OF.get(self.name.removeprefix("stg_"), "bars")

    @property
    def _is_of_bars(self) -> bool:
        """Whether it has rows of a symbol in time: they may come late, and in versions."""
        return self._part == "bars" and {"symbol", "timestamp"} <= self.columns.keys()

    def replace(self, conn: psycopg.Connection, at: datetime, future: str, part: str | None) -> None:
        """Make the temporary table of what was known at `at`.

        Args:
            future: `truncated`: the later rows are gone; `scrambled`: they say something else.
            part: Only the later rows of this part are; all of them if None.
        """
        rows, later = self._rows(at, part)
        place = {
            "name": sql.Identifier("pg_temp", self.name),
            "rows": rows,
            "later": later,
            "columns": sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(name)) for name in self.columns),
            "otherwise": sql.SQL(", ").join(_otherwise(name, kind) for name, kind in self.columns.items()),
        }
        known = "create temporary table {name} on commit drop as select {columns} from {rows} as r where not ({later})"
        conn.execute(sql.SQL(known).format(**place))
        if future == "scrambled":
            conn.execute(
                sql.SQL("insert into {name} select {otherwise} from {rows} as r where {later}").format(**place)
            )

    def _rows(self, at: datetime, part: str | None) -> tuple[sql.Composable, sql.Composable]:
        """Return its rows `r` and the condition of those that became known after `at`, of one part."""
        relation, moment = sql.Identifier(self.schema, self.name), sql.Literal(at)
        if part is not None and part not in self.parts:
            return relation, sql.SQL("false")
        if part is None or not self._is_of_bars:
            return relation, sql.SQL("r.known_at > {}").format(moment)
        marked = sql.SQL(_MARKED).format(at=moment, series=self._series(), relation=relation)
        return sql.SQL("({})").format(marked), sql.SQL("r.leak_part = {}").format(sql.Literal(part))

    def events(self, conn: psycopg.Connection) -> list[datetime]:
        """Return when something became known that is not simply the next row: the first time and the last.

        Of bars: a late one, and a later version in which a price or the volume is another; each column by itself.
        """
        relation = sql.Identifier(self.schema, self.name)
        if self._is_of_bars:
            numbers = [name for name in _PRICES if name in self.columns]
            found = [sql.SQL(_BOTH).format(sql.SQL("r.leak_is_late"))]
            found += [
                sql.SQL(_BOTH).format(sql.SQL("leak_version > 1 and {}").format(_changed(name))) for name in numbers
            ]
            changed: list[sql.Composable] = [
                sql.SQL("r.{0} is distinct from lag(r.{0}) over versions as {1}").format(
                    sql.Identifier(name), _changed(name)
                )
                for name in numbers
            ]
            question = sql.SQL(_EVENTS).format(
                first_and_last=sql.SQL(", ").join(found),
                changed=sql.SQL(", ").join(changed or [sql.SQL("1 as leak_nothing")]),
                series=self._series(),
                relation=relation,
            )
        else:
            question = sql.SQL("select array[min(r.known_at), max(r.known_at)] from {} as r").format(relation)
        row = conn.execute(question).fetchone()
        return [at for at in row[0] if at is not None] if row else []

    def _series(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.SQL("r.{}").format(sql.Identifier(n)) for n in _SERIES if n in self.columns)


def _changed(name: str) -> sql.Identifier:
    return sql.Identifier(f"leak_changed_{name}")


def _otherwise(column: str, kind: str) -> sql.Composed:
    name = sql.Identifier(column)
    if kind in _NUMBERS:
        factor = sql.SQL("(1.3 + abs(hashtextextended(r.known_at::text, 7) % 900) / 1000.0)")
        return sql.SQL("(r.{name} * {factor})::{kind}").format(name=name, factor=factor, kind=sql.SQL(kind))
    if kind == "boolean":
        return sql.SQL("not r.{}").format(name)
    return sql.SQL("r.{}").format(name)
