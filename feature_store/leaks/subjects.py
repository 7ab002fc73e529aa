"""What is judged in SQL: a definition of a versioned view, registered or only compiled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from feature_store.views import DAILY, INDICATORS, shape_of
from trading.errors import InputError

TIMELESS = ("raw.sources",)  # says nothing about any moment


@dataclass(frozen=True)
class Subject:
    """A definition's SQL over its working rows.

    Attributes:
        view: One of feature_store.views; it says which working rows the SQL reads.
        columns: The features that it gives.
        definition: Its name if its rows are stored, to be compared with; None if nothing was built of it.
        indicators: Of a daily definition, the indicator definition whose rows it reads.
        scorer, scorer_version: Whose scores a daily definition reads.
        actions_from: By which rule splits act on its bars (migration 0061); None is the first rule.
    """

    view: str
    sql: str
    columns: tuple[str, ...]
    definition: str | None
    indicators: str | None = None
    scorer: str = ""
    scorer_version: str = ""
    actions_from: str | None = None

    @property
    def reads_more(self) -> bool:
        """Whether the SQL itself names tables beside its working rows; a daily one always may read news."""
        return self.view == DAILY or bool(re.search(r"\b(raw|features|trading|marts)\.\w+\b(?!\s*\()", self.sql))

    @property
    def working(self) -> str:
        """The relation that its SQL reads the rows to compute from."""
        return shape_of(self.view).working_name


def registered(conn: psycopg.Connection, definition: str) -> Subject:
    """Return a registered definition.

    Raises:
        InputError: there is none of this name.
    """
    row = conn.execute(
        "select view, sql, columns, parameters from features.definitions where definition = %s", (definition,)
    ).fetchone()
    if row is None:
        raise InputError(f"expected a registered definition, found none named {definition}")
    view, sql, columns, parameters = row
    return Subject(view, sql, tuple(columns), definition, **_parameters(parameters))


def compiled(conn: psycopg.Connection, view: str, sql: str, parameters: dict[str, Any]) -> Subject:
    """Return a definition that is compiled SQL only; the registered one if its rows are there.

    Raises:
        InputError: the SQL does not run, or lacks a column that its view must have.
    """
    cleaned = sql.strip(" \n\t\r;")
    found = conn.execute(
        "select d.definition from features.definitions as d where d.view = %s and d.sql = %s"
        " and (d.parameters ->> 'actions_from') is not distinct from %s"
        " and exists (select from features.advances as a where a.definition = d.definition)"
        " order by d.recorded_at desc limit 1",
        (view, cleaned, parameters.get("actions_from")),
    ).fetchone()
    if found is not None:
        return registered(conn, found[0])
    if view == DAILY and "indicators" not in parameters:
        active = conn.execute("select features.active(%s)", (INDICATORS,)).fetchone()
        parameters = parameters | {"indicators": active[0] if active else None}
    try:
        row = conn.execute("call features.inspect(%s, %s, null, null)", (view, cleaned)).fetchone()
    except psycopg.Error as error:
        raise InputError(
            f"expected SQL over {shape_of(view).working_name}, found: {str(error).splitlines()[0]}"
        ) from error
    assert row is not None, "a procedure with inout parameters answers with one row"
    return Subject(view, cleaned, tuple(row[0]), None, **_parameters(parameters))


def _parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    indicators = parameters.get("indicators")
    named = {name: str(parameters.get(name, "")) for name in ("scorer", "scorer_version")}
    return {
        "indicators": str(indicators) if indicators else None,
        "actions_from": parameters.get("actions_from"),
        **named,
    }


# Tables that hold one version of each row, the newest: whoever reads them reads what was known later.
_CURRENT_ONLY = """
with relations as (
    select d.refobjid::regclass::text as name
    from pg_rewrite as r join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    where r.ev_class = 'pg_temp.leak_reached'::regclass and d.refclassid = 'pg_class'::regclass
    union
    select m[1]
    from jsonb_object_keys(features.functions_reached('pg_temp.leak_reached'::regclass)) as f (name)
    join pg_proc as p on p.oid = to_regprocedure(f.name)
    cross join lateral regexp_matches(
        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '\\m((?:marts|staging|intermediate|reports)\\.\\w+)', 'g') as m
)
select name from relations where name ~ '^(marts|staging|intermediate|reports)\\.'
    and name not in (select view from features.views) order by name
"""


_READ_BY_FUNCTIONS = """
select f.name, n.nspname || '.' || c.relname
from jsonb_object_keys(features.functions_reached(%s::regclass)) as f (name)
join pg_proc as p on p.oid = to_regprocedure(f.name)
cross join lateral regexp_matches(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '\\m(\\w+)\\.(\\w+)', 'g') as m
join pg_namespace as n on n.nspname = m[1]
join pg_class as c on c.relnamespace = n.oid and c.relname = m[2] and c.relkind in ('r', 'p', 'v', 'm')
where n.nspname || '.' || c.relname <> all (%s) order by 1, 2 limit 1
"""


def read_by_functions(conn: psycopg.Connection, view: str) -> tuple[str, str] | None:
    """Return a function that a view reaches and a relation that it reads; None if its functions read none."""
    found = conn.execute(_READ_BY_FUNCTIONS, (view, list(TIMELESS))).fetchone()
    return None if found is None else (found[0], found[1])


def reads_more(conn: psycopg.Connection, subject: Subject) -> bool:
    """Return whether the SQL reads tables beside its working rows, itself or through its functions."""
    if subject.reads_more:
        return True
    with _reached(conn, subject) as view:
        return read_by_functions(conn, view) is not None


def current_only(conn: psycopg.Connection, subject: Subject) -> list[str]:
    """Return the relations that the SQL or its functions read and that keep no versions."""
    with _reached(conn, subject):
        return [row[0] for row in conn.execute(_CURRENT_ONLY)]


@contextmanager
def _reached(conn: psycopg.Connection, subject: Subject) -> Iterator[str]:
    """Yield a view of the SQL, whose dependencies say what it reaches."""
    conn.execute(
        f"create temporary view leak_reached as with {subject.working} as"
        f" (select * from features.{subject.working}) select * from ({subject.sql}) as given"
    )
    yield "pg_temp.leak_reached"
    conn.execute("drop view pg_temp.leak_reached")
