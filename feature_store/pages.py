"""The page of the features, made from the registry: what each one is, its unit, its warm-up, its age limit, its SQL."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from feature_store import registry
from feature_store.expressions import Expression, expression_of
from feature_store.registry import Feature, RegisteredDefinition, View
from feature_store.views import is_of_bars

_HEAD = """# Features

Made by `tradeloom features docs` from the registry of features; a test holds this page to it. How to add a feature:
[adding a feature](adding-a-feature.md). How fresh each is: `tradeloom features list`. Every feature is a `double precision`
on the forward-adjusted series, and null before its first value.
"""


def features_page(conn: psycopg.Connection) -> str:
    """Return the page on the newest definition of every view, in Markdown; indicators before what is made of them."""
    views = sorted(registry.views(conn), key=lambda view: (not is_of_bars(view.name), view.name))
    return "\n".join([_HEAD, *(_section(conn, view) for view in views)])


def _section(conn: psycopg.Connection, view: View) -> str:
    definition = registry.registered_definition(conn, view.definition)
    found = {name: expression_of(definition.sql, name) for name in definition.columns}
    own = {name: one for name, one in found.items() if one is not None}
    listed = [one for one in registry.features(conn, view.definition) if one.name in own]
    below = ", ".join(f"`{name}`" for name in definition.columns if name not in own)
    told = [f"Taken over from the row's indicators as they are: {below}.", ""] if below else []
    lines = [f"## {view.name}", "", *_settings(definition), *told, *_table(listed), "", *_equations(own), ""]
    return "\n".join(lines)


def _settings(definition: RegisteredDefinition) -> list[str]:
    limit = definition.parameters.get("max_age_sessions")
    rule = f"A row older than {limit} sessions is not decided on." if limit is not None else "No limit on a row's age."
    shown = {name: value for name, value in definition.parameters.items() if name != "indicators"}
    named = ", ".join(f"`{name}` {value}" for name, value in sorted(shown.items()))
    return [f"{rule} Parameters of the definition: {named or 'none'}.", ""]


def _table(listed: Sequence[Feature]) -> list[str]:
    rows = [
        f"| `{one.name}` | {one.unit or '-'} | {one.warm_up_bars or '-'} | {one.description or '-'} | `{one.source_file or '-'}` |"
        for one in listed
    ]
    return ["| feature | unit | first value at bar | what it is | written in |", "|---|---|---|---|---|", *rows]


def _equations(own: dict[str, Expression]) -> list[str]:
    """Return the SQL of each feature and below it what these rest on, each once."""
    steps = {name: sql for one in own.values() for name, sql in one.steps.items() if name not in own}
    where = ["", "-- where", *(f"{name} = {sql}" for name, sql in steps.items())] if steps else []
    return ["```sql", *(f"{name} = {one.sql}" for name, one in own.items()), *where, "```"]
