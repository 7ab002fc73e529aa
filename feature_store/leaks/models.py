"""Judge a dbt model that is a view or a table: its SQL over inputs without their future, and with another one.

Each relation that the model reads is replaced by a temporary table of the same name that holds what of it was known at
the moment. So each must have `known_at`, and the model says of each row since when it may be known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from feature_store.leaks.project import Model
from feature_store.leaks.subjects import TIMELESS, read_by_functions
from trading.errors import InputError
from trading.leaks.causes import kind_of
from trading.leaks.findings import ROW_COLUMN, Finding, Report

KEY = ("source", "symbol", "interval", "timestamp")  # those of them that a model has; symbol and timestamp at least
MOMENTS = ("decision_at", "known_at")  # a row's moment, unless the declaration names another column
KINDS = ("feature", "label", "series")
_SHARES = [1 / 3, 0.5, 0.95]
_NUMBERS = ("numeric", "double precision", "real")

_READ = """
select distinct n.nspname || '.' || c.relname, n.nspname, c.relname
from pg_rewrite as r
join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
join pg_class as c on c.oid = d.refobjid
join pg_namespace as n on n.oid = c.relnamespace
where r.ev_class = 'pg_temp.leak_model'::regclass and c.oid <> r.ev_class order by 1
"""
_DESCRIBED = """
select attname, format_type(atttypid, null) from pg_attribute
where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum
"""


@dataclass(frozen=True)
class _Shape:
    """What a model reads and gives."""

    relations: list[tuple[str, str, str]]
    key: tuple[str, ...]
    decision: str
    columns: dict[str, str]


def judge_model(conn: psycopg.Connection, model: Model) -> Report:
    """Return what leaks of a model; the transaction of `conn` must be rolled back after.

    Raises:
        InputError: it declares nothing, or cannot be judged: see the message.
    """
    if model.leaks is None:
        raise InputError(
            f"expected {model.name} to declare itself, found nothing; add to its YAML: "
            "config: {meta: {leaks: {decision_at: known_at}}}"
        )
    kind = str(model.leaks.get("kind", "feature"))
    if kind not in KINDS:
        raise InputError(f"expected the kind of {model.name} to be one of {', '.join(KINDS)}, found {kind}")
    shape = _shape(conn, model)
    conn.execute(sql.SQL("create temporary table leak_full on commit drop as {}").format(sql.SQL(model.sql)))
    when, first, rows = _moments(conn, shape), dict[str, Finding](), 0
    for at in when:
        for future in ("truncated", "scrambled"):
            rows = max(rows, _judge_at(conn, model, shape, at, future, kind, first))
    early, warming = _warm_up(conn, shape), dict[str, Finding]()
    for at in early:
        _judge_at(conn, model, shape, at, "truncated", kind, warming)
    first = warming | first  # what a mistake is, is told better with more rows
    if not rows:
        raise InputError(f"expected rows of {model.name} to judge, found none; build what it reads first")
    return Report(model.relation, kind, tuple(shape.columns), rows, len(early) + len(when), tuple(first.values()))


def _shape(conn: psycopg.Connection, model: Model) -> _Shape:
    try:
        conn.execute(sql.SQL("create temporary view leak_model as {}").format(sql.SQL(model.sql)))
    except psycopg.Error as error:
        raise InputError(f"expected the SQL of {model.name} to run, found: {str(error).splitlines()[0]}") from error
    _refuse_reading_functions(conn, model)
    relations = [(row[0], row[1], row[2]) for row in conn.execute(_READ) if row[0] not in TIMELESS]
    described = _described(conn, "pg_temp.leak_model")
    conn.execute("drop view pg_temp.leak_model")
    if len({name for _, _, name in relations}) < len(relations):
        raise InputError(f"expected {model.name} to read relations of different names, found two of one name")
    for relation, _, _ in relations:
        if "known_at" not in _described(conn, relation):
            raise InputError(
                f"expected {relation}, which {model.name} reads, to have known_at, found none: its future cannot be taken "
                "away; read rows that say when they were known"
            )
    key = tuple(name for name in KEY if name in described)
    asked = (model.leaks or {}).get("decision_at")
    decision = str(asked) if asked else next((name for name in MOMENTS if name in described), "")
    if not {"symbol", "timestamp"} <= set(key) or decision not in described:
        raise InputError(
            f"expected {model.name} to give symbol, timestamp and {decision or 'known_at'}, found {', '.join(described)}"
        )
    columns = {n: t for n, t in described.items() if n not in (*key, decision)}
    if not columns:
        raise InputError(f"expected at least one column of values of {model.name}, found {', '.join(described)} only")
    return _Shape(relations, key, decision, columns)


def _refuse_reading_functions(conn: psycopg.Connection, model: Model) -> None:
    """A function reads the true tables, whatever stands in for them in the model's own text."""
    found = read_by_functions(conn, "pg_temp.leak_model")
    if found is not None:
        raise InputError(
            f"expected {model.name} to read relations itself, found the function {found[0]}, which reads {found[1]}: its "
            "future cannot be taken away; select from the relation, which says known_at"
        )


def _described(conn: psycopg.Connection, relation: str) -> dict[str, str]:
    """Return the columns of a relation with their types."""
    return dict(conn.execute(_DESCRIBED, (relation,)).fetchall())


def _moments(conn: psycopg.Connection, shape: _Shape) -> list[datetime]:
    question = sql.SQL(
        "select percentile_disc(%s::double precision[]) within group (order by {}::timestamptz) from leak_full"
    ).format(sql.Identifier(shape.decision))
    found = conn.execute(question, (_SHARES,)).fetchone()
    return sorted(set(found[0])) if found and found[0] else []


def _warm_up(conn: psycopg.Connection, shape: _Shape) -> list[datetime]:
    """Return where the values of each column begin: one that is filled from behind is the first of its column."""
    begins = [
        sql.SQL("min({at}) filter (where {column} is not null)").format(
            at=sql.Identifier(shape.decision), column=sql.Identifier(column)
        )
        for column in shape.columns
    ]
    question = sql.SQL("select array[{}]::timestamptz[] from leak_full").format(sql.SQL(", ").join(begins))
    found = conn.execute(question).fetchone()
    return sorted({at for at in found[0] if at is not None}) if found else []


def _judge_at(
    conn: psycopg.Connection,
    model: Model,
    shape: _Shape,
    at: datetime,
    future: str,
    kind: str,
    first: dict[str, Finding],
) -> int:
    """Compute the model on other inputs, keep the first finding of each column; return how many rows were compared."""
    conn.execute("savepoint true_inputs")
    text = model.sql
    for _, schema, name in shape.relations:
        _replace(conn, schema, name, at, future)
        text = re.sub(rf'"?\b{re.escape(schema)}\b"?\."?\b{re.escape(name)}\b"?', f'pg_temp."{name}"', text)
    conn.execute(sql.SQL("create temporary table leak_other on commit drop as {}").format(sql.SQL(text)))
    counted = conn.execute(
        sql.SQL("select count(*) from leak_full where {} <= %s").format(sql.Identifier(shape.decision)), (at,)
    ).fetchone()
    rows = int(counted[0]) if counted else 0
    for column in (ROW_COLUMN, *shape.columns):
        finding = _first(conn, shape, column, at, future, kind, rows)
        known = first.get(column)
        if finding is not None and (known is None or finding.timestamp < known.timestamp):
            first[column] = finding
    conn.execute("rollback to savepoint true_inputs")
    return rows


def _replace(conn: psycopg.Connection, schema: str, name: str, at: datetime, future: str) -> None:
    """Make a temporary relation of what was known; another future says something else in the rows after."""
    described = conn.execute(_DESCRIBED, (f"{schema}.{name}",)).fetchall()
    place = {"table": sql.Identifier("pg_temp", name), "relation": sql.Identifier(schema, name), "at": sql.Literal(at)}
    known = sql.SQL("create temporary table {table} on commit drop as select * from {relation} where known_at <= {at}")
    conn.execute(known.format(**place | {"table": sql.Identifier(name)}))
    if future == "scrambled":
        columns = sql.SQL(", ").join(_otherwise(column, kind) for column, kind in described)
        later = sql.SQL("insert into {table} select {columns} from {relation} as r where known_at > {at}")
        conn.execute(later.format(columns=columns, **place))


def _otherwise(column: str, kind: str) -> sql.Composed:
    name = sql.Identifier(column)
    if kind in _NUMBERS:
        factor = sql.SQL("(1.3 + abs(hashtextextended(r.known_at::text, 7) % 900) / 1000.0)")
        return sql.SQL("(r.{name} * {factor})::{kind}").format(name=name, factor=factor, kind=sql.SQL(kind))
    if kind == "boolean":
        return sql.SQL("not r.{}").format(name)
    return sql.SQL("r.{}").format(name)


def _first(
    conn: psycopg.Connection, shape: _Shape, column: str, at: datetime, future: str, kind: str, rows: int
) -> Finding | None:
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
        kind=kind_of(kind, "bars", changed / max(1, rows)),
        cause="bars",
    )


def _shown(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if value is None:
        return None
    return float(value) if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else str(value)
