"""Definitions: which SQL, functions and parameters made a derived row; and the procedure that makes rows of them.

A developer changes a dbt model and builds; the rest follows (docs/decisions/0030). This module is for programs: tests,
assets and commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trading.adapters.postgres import connection
from trading.errors import InputError


@dataclass(frozen=True)
class Definition:
    """A registered definition.

    Attributes:
        definition: Its name: sha256 (hex) over view, SQL, functions, columns and parameters.
        functions: SQL function -> sha256 of its source as registered.
        columns: The feature columns, in the order of the row hash.
        status: `active` (kept up by `advance`) or `retired` (readable).
    """

    definition: str
    view: str
    sql: str
    functions: Mapping[str, str]
    columns: tuple[str, ...]
    parameters: Mapping[str, Any]
    status: str


def active(url: str, view: str) -> str:
    """Return the definition that was built last for `view`.

    Raises:
        InputError: there is none.
    """
    with connection(url) as conn:
        row = conn.execute("select features.active(%s)", (view,)).fetchone()
    if row is None or row[0] is None:
        raise InputError(
            f"expected {view} to have been built, found no active definition; ingest prices or run `tradeloom demo`"
        )
    return str(row[0])


def definition(url: str, name: str) -> Definition:
    """Return a registered definition by its name.

    Raises:
        InputError: there is none of this name.
    """
    with connection(url) as conn:
        row = conn.execute(
            "select d.definition, d.view, d.sql, d.functions, d.columns, d.parameters, s.status"
            " from features.definitions as d join features.definition_status as s using (definition)"
            " where d.definition = %s",
            (name,),
        ).fetchone()
    if row is None:
        raise InputError(f"expected a registered definition, found none named {name}")
    identity, view, sql, functions, columns, parameters, status = row
    return Definition(identity, view, sql, functions, tuple(columns), parameters, status)


def register(url: str, view: str, sql: str, parameters: Mapping[str, Any] | None = None) -> str:
    """Register compiled SQL as the active definition of a view and return its name; the same again changes nothing."""
    with connection(url) as conn:
        row = conn.execute(
            "select features.register(%s, %s, %s::jsonb)", (view, sql, json.dumps(dict(parameters or {})))
        ).fetchone()
    assert row is not None, "features.register answers with exactly one row"
    return str(row[0])


def retire(url: str, name: str) -> None:
    """Stop making rows of a definition; what it made stays readable."""
    with connection(url) as conn:
        conn.execute("call features.retire(%s)", (name,))


def advance(url: str, to_watermark: int | None = None) -> None:
    """Take every publication up to `to_watermark` (all, if None) into the rows of every definition in use."""
    with connection(url, application="tradeloom-advance") as conn:
        conn.execute("call features.advance(%s)", (to_watermark,))
