"""The registry of features: which views, services, features and definitions there are, and how fresh the features are.

Reads what features.register, features.describe and features.register_service wrote (docs/decisions/0090). Who refers to
what is references.py; how two definitions differ, comparison.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from feature_store.expressions import Expression, expression_of
from feature_store.freshness import Freshness, freshness
from trading.errors import InputError

DTYPE = "float64"
_SHORTEST_PREFIX = 6


@dataclass(frozen=True)
class View:
    """A view: its newest definition, and how many there are.

    Attributes:
        kept_up: How many definitions get new rows.
    """

    name: str
    definition: str
    definitions: int
    kept_up: int
    features: int


@dataclass(frozen=True)
class Service:
    """The newest version of a feature service."""

    name: str
    version: int
    view: str
    definition: str
    columns: tuple[str, ...]
    scorer: str
    scorer_version: str
    status: str
    watermark: int
    registered_at: datetime


@dataclass(frozen=True)
class Feature:
    """A feature of the newest definition of a view.

    Attributes:
        warm_up_bars: Bars that a series must have for the first value.
        since: The definition that had it first.
        max_age_sessions: The age from which on the loop does not decide on it; None without a limit.
        services: The services in use that read it.
    """

    name: str
    view: str
    definition: str
    status: str
    dtype: str
    unit: str
    description: str
    warm_up_bars: int
    source_file: str
    since: str
    max_age_sessions: int | None
    services: tuple[str, ...]


@dataclass(frozen=True)
class RegisteredDefinition:
    """A definition with everything that made it, and when."""

    definition: str
    view: str
    status: str
    sql: str
    columns: tuple[str, ...]
    parameters: dict[str, Any]
    functions: dict[str, str]
    watermark: int
    registered_at: datetime


def views(conn: psycopg.Connection) -> list[View]:
    """Return the views that were built, daily features first."""
    rows = conn.execute(
        "select s.view, features.active(s.view), count(*), count(*) filter (where s.status = 'active'),"
        " (select cardinality(d.columns) from features.definitions as d where d.definition = features.active(s.view))"
        " from features.definition_status as s group by s.view order by s.view"
    ).fetchall()
    return [View(*row) for row in rows]


def services(conn: psycopg.Connection) -> list[Service]:
    """Return the newest version of each service, by name."""
    rows = conn.execute(
        "select name, version, view, definition, columns, scorer, scorer_version, status, watermark, recorded_at"
        " from features.service_status order by name"
    ).fetchall()
    return [Service(name, number, view, of, tuple(columns), *rest) for name, number, view, of, columns, *rest in rows]


_FEATURES = """
    select f.name, d.view, d.definition, s.status, coalesce(w.unit, ''), coalesce(w.description, ''),
        coalesce(w.warm_up_bars, 0), coalesce(w.source_file, ''), since.definition,
        (d.parameters ->> 'max_age_sessions')::integer,
        array(select v.name from features.service_status as v
              where v.status = 'in use' and v.definition = d.definition and f.name = any(v.columns) order by 1)
    from features.definitions as d
    join features.definition_status as s using (definition)
    cross join lateral unnest(d.columns) with ordinality as f (name, place)
    left join features.described as w on w.definition = d.definition and w.feature = f.name
    cross join lateral (
        select e.definition from features.definitions as e
        where e.view = d.view and f.name = any(e.columns) order by e.watermark, e.recorded_at limit 1
    ) as since
    where d.definition = %s
    order by f.place
"""


def features(conn: psycopg.Connection, definition: str) -> list[Feature]:
    """Return the features of a definition, in its order."""
    rows = conn.execute(_FEATURES, (definition,)).fetchall()
    return [
        Feature(name, view, of, status, DTYPE, unit, words, warm_up, file, since, age, tuple(used))
        for name, view, of, status, unit, words, warm_up, file, since, age, used in rows
    ]


def fresh_features(conn: psycopg.Connection, view: View, as_of: datetime) -> list[tuple[Feature, Freshness]]:
    """Return the features of a view's newest definition, each with how fresh it was at `as_of`."""
    listed = features(conn, view.definition)
    measured = freshness(conn, view.name, view.definition, [one.name for one in listed], as_of)
    return [(one, measured[one.name]) for one in listed]


def registered_definition(conn: psycopg.Connection, prefix: str) -> RegisteredDefinition:
    """Return the definition whose name begins with `prefix`.

    Raises:
        InputError: none or several do, or the prefix is shorter than six digits.
    """
    found = find_definitions(conn, prefix)
    if len(found) != 1:
        named = ", ".join(one[:12] for one in found) or "none"
        raise InputError(
            f"expected one definition that begins with {prefix} ({_SHORTEST_PREFIX} digits or more), found {named};"
            " see `tradeloom features list`"
        )
    row = conn.execute(
        "select d.definition, d.view, s.status, d.sql, d.columns, d.parameters, d.functions, d.watermark, d.recorded_at"
        " from features.definitions as d join features.definition_status as s using (definition)"
        " where d.definition = %s",
        (found[0],),
    ).fetchone()
    assert row is not None, "a definition that was found is not deleted"
    name, view, status, sql, columns, parameters, functions, watermark, recorded_at = row
    return RegisteredDefinition(name, view, status, sql, tuple(columns), parameters, functions, watermark, recorded_at)


def find_definitions(conn: psycopg.Connection, prefix: str) -> list[str]:
    """Return the definitions whose name begins with `prefix`, newest first; none for what is no such prefix."""
    digits = prefix.lower()
    if len(digits) < _SHORTEST_PREFIX or not set(digits) <= set("0123456789abcdef"):
        return []
    rows = conn.execute(
        "select definition from features.definitions where starts_with(definition, %s) order by watermark desc",
        (digits,),
    ).fetchall()
    return [str(row[0]) for row in rows]


def expression(conn: psycopg.Connection, of: RegisteredDefinition, column: str) -> Expression | None:
    """Return how a feature comes about; what a day takes over from its indicators is told by their definition."""
    found = expression_of(of.sql, column)
    below = of.parameters.get("indicators")
    if found is None and below:
        return expression_of(registered_definition(conn, str(below)).sql, column)
    return found
