"""How two definitions differ: in SQL, columns, parameters and functions, and, on request, in the values they give."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from feature_store.registry import RegisteredDefinition
from trading.errors import InputError


@dataclass(frozen=True)
class Difference:
    """What differs between a definition and another of the same view.

    Attributes:
        sql: A unified diff of the SQL, by line; empty where it is the same.
        columns_added, columns_removed: Of `to` against `from_`.
        parameters, functions: name -> (value in the one, value in the other), None where it has none.
    """

    from_definition: str
    to_definition: str
    view: str
    sql: list[str]
    columns_added: list[str]
    columns_removed: list[str]
    parameters: dict[str, tuple[Any, Any]]
    functions: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class ValueDifference:
    """How the values of one column differ on the rows that both definitions have."""

    column: str
    rows: int
    differing: int
    largest: float | None


def compare(one: RegisteredDefinition, other: RegisteredDefinition) -> Difference:
    """Return how `other` differs from `one`.

    Raises:
        InputError: they are of different views.
    """
    if one.view != other.view:
        raise InputError(f"expected two definitions of one view, found one of {one.view} and one of {other.view}")
    return Difference(
        one.definition,
        other.definition,
        one.view,
        _sql_difference(one, other),
        [name for name in other.columns if name not in one.columns],
        [name for name in one.columns if name not in other.columns],
        _changed(one.parameters, other.parameters),
        _changed(one.functions, other.functions),
    )


def compare_values(
    conn: psycopg.Connection, one: RegisteredDefinition, other: RegisteredDefinition
) -> list[ValueDifference]:
    """Return column by column how many values differ, on the newest version of each row that both have.

    Two nulls are the same; a null against a number differs, and counts nothing in `largest`, the largest absolute
    difference.
    """
    shared = [name for name in one.columns if name in other.columns]
    if not shared:
        return []
    query = _VALUES.format(
        newest_one=_newest(one.view, "one"),
        newest_other=_newest(one.view, "other"),
        counted=sql.SQL(", ").join(_COUNTED.format(sql.Identifier(name)) for name in shared),
    )
    row = conn.execute(query, {"one": one.definition, "other": other.definition}).fetchone()
    assert row is not None, "an aggregate answers with exactly one row"
    rows, counted = row[0], row[1:]
    return [
        ValueDifference(name, rows, counted[2 * place], counted[2 * place + 1]) for place, name in enumerate(shared)
    ]


_VALUES = sql.SQL(
    "with one as ({newest_one}), other as ({newest_other})"
    " select count(*), {counted} from one join other using (source, symbol, interval, timestamp)"
)
_COUNTED = sql.SQL("count(*) filter (where one.{0} is distinct from other.{0}), max(abs(one.{0} - other.{0}))")


def _newest(view: str, parameter: str) -> sql.Composed:
    return sql.SQL(
        "select distinct on (v.source, v.symbol, v.interval, v.timestamp) v.* from {view} as v"
        " where v.definition = {definition}"
        " order by v.source, v.symbol, v.interval, v.timestamp desc, v.known_at desc, v.watermark desc, v.row_id desc"
    ).format(view=sql.Identifier(*view.split(".")), definition=sql.Placeholder(parameter))


def _sql_difference(one: RegisteredDefinition, other: RegisteredDefinition) -> list[str]:
    names = (one.definition[:12], other.definition[:12])
    return list(difflib.unified_diff(one.sql.splitlines(), other.sql.splitlines(), *names, lineterm=""))


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    }
