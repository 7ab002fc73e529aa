"""Judge a dbt model that is a view or a table: its SQL over inputs without their future, and with another one.

Each relation that the model reads is replaced by a temporary table of the same name that holds what of it was known at
the moment. So each must have `known_at`, and the model says of each row since when it may be known.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from feature_store.leaks.model_asking import Asking, Shape
from feature_store.leaks.model_inputs import Relation
from feature_store.leaks.project import Model
from feature_store.leaks.subjects import TIMELESS, read_by_functions
from trading.errors import InputError
from trading.leaks.findings import Finding, Report

KEY = ("source", "symbol", "interval", "timestamp")  # those of them that a model has; symbol and timestamp at least
MOMENTS = ("decision_at", "known_at")  # a row's moment, unless the declaration names another column
KINDS = ("feature", "label", "series")
_INSTANT = timedelta(microseconds=1)
_SHARES = [1 / 3, 0.5, 0.95]

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
    conn.execute("set local max_parallel_workers_per_gather = 0")  # sums of floats in one order
    conn.execute(sql.SQL("create temporary table leak_full on commit drop as {}").format(sql.SQL(model.sql)))
    shape = replace(shape, key=_key(conn, model, shape))
    asking = Asking(conn, model, shape, kind)
    when, first, rows = _moments(conn, shape), asking.unrepeatable(), 0
    for at in when:
        for future in ("truncated", "scrambled"):
            rows = max(rows, asking.judge_at(at, future, first))
    further, others = _further(conn, shape, when), dict[str, Finding]()
    for at in further:
        asking.judge_at(at, "truncated", others)
    first = others | first  # what a mistake is, is told better with more rows
    if not rows:
        raise InputError(f"expected rows of {model.name} to judge, found none; build what it reads first")
    return Report(model.relation, kind, tuple(shape.columns), rows, len(further) + len(when), tuple(first.values()))


def _shape(conn: psycopg.Connection, model: Model) -> Shape:
    try:
        conn.execute(sql.SQL("create temporary view leak_model as {}").format(sql.SQL(model.sql)))
    except psycopg.Error as error:
        raise InputError(f"expected the SQL of {model.name} to run, found: {str(error).splitlines()[0]}") from error
    _refuse_reading_functions(conn, model)
    names = [(row[1], row[2]) for row in conn.execute(_READ).fetchall() if row[0] not in TIMELESS]
    relations = [Relation(schema, name, _described(conn, f"{schema}.{name}")) for schema, name in names]
    described = _described(conn, "pg_temp.leak_model")
    conn.execute("drop view pg_temp.leak_model")
    if len({one.name for one in relations}) < len(relations):
        raise InputError(f"expected {model.name} to read relations of different names, found two of one name")
    for one in relations:
        if "known_at" not in one.columns:
            raise InputError(
                f"expected {one.schema}.{one.name}, which {model.name} reads, to have known_at, found none: its future "
                "cannot be taken away; read rows that say when they were known"
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
    return Shape(relations, key, decision, columns)


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


def _moments(conn: psycopg.Connection, shape: Shape) -> list[datetime]:
    question = sql.SQL(
        "select percentile_disc(%s::double precision[]) within group (order by {}::timestamptz) from leak_full"
    ).format(sql.Identifier(shape.decision))
    found = conn.execute(question, (_SHARES,)).fetchone()
    return sorted(set(found[0])) if found and found[0] else []


def _further(conn: psycopg.Connection, shape: Shape, when: list[datetime]) -> list[datetime]:
    """Return where a column's values begin, and what comes before a revision, a late row, an action, news.

    A value that is filled from behind is the first one of its column; a later version shows only before it comes.
    """
    begins = [
        sql.SQL("min({at}) filter (where {column} is not null)").format(
            at=sql.Identifier(shape.decision), column=sql.Identifier(column)
        )
        for column in shape.columns
    ]
    question = sql.SQL("select array[{}]::timestamptz[] from leak_full").format(sql.SQL(", ").join(begins))
    found = conn.execute(question).fetchone()
    warming = {at for at in found[0] if at is not None} if found else set()
    before = {at - _INSTANT for relation in shape.relations for at in relation.events(conn)}
    return sorted((warming | before) - set(when))


def _key(conn: psycopg.Connection, model: Model, shape: Shape) -> tuple[str, ...]:
    """Return what names one row: series and time; of a model that keeps versions also since when it was known.

    Raises:
        InputError: two of its rows are named alike, and nobody can say which of them changed.
    """
    key, known = shape.key, {*shape.columns, shape.decision}
    further = [name for name in (shape.decision, "watermark", "definition") if name in known and name not in key]
    while (row := _repeated(conn, key)) is not None:
        if not further:
            raise InputError(
                f"expected one row of {model.name} per {', '.join(key)}, found {row[-1]} of {', '.join(map(str, row[:-1]))}; "
                "keep one row of each"
            )
        key = (*key, further.pop(0))
    return key


def _repeated(conn: psycopg.Connection, key: tuple[str, ...]) -> tuple[Any, ...] | None:
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    question = "select {0}, count(*) from leak_full group by {0} having count(*) > 1 order by {0} limit 1"
    return conn.execute(sql.SQL(question).format(names)).fetchone()
