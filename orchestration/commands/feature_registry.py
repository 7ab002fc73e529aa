"""`tradeloom features list|show|diff|retire`: what features there are, what they say, and who refers to them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from orchestration.commands import feature_pages as pages
from trading.errors import InputError

if TYPE_CHECKING:
    import psycopg

    from infra.local.endpoints import Endpoints
    from trading.adapters.registry import ModelRegistry

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.command("list")
@click.option("--as-of", "as_of", help="The time that ages are counted to, with its zone. Default: now.")
@AS_JSON
def list_features(as_of: str | None, as_json: bool) -> None:
    """List views, services and features: what is kept up, how fresh it is, and how often it has no value."""
    from feature_store import registry
    from orchestration.asked_times import moment_of

    moment = moment_of(as_of) if as_of else datetime.now(UTC)
    with _warehouse() as conn:
        views = registry.views(conn)
        found = [
            asdict(one) | asdict(fresh) | {"is_stale": fresh.is_older_than(one.max_age_sessions)}
            for view in views
            for one, fresh in registry.fresh_features(conn, view, moment)
        ]
        answer = {
            "as_of": moment,
            "views": [asdict(one) for one in views],
            "services": [asdict(one) for one in registry.services(conn)],
            "features": found,
        }
    _tell(answer, pages.overview(answer), as_json)


@click.command()
@click.argument("name")
@AS_JSON
def show(name: str, as_json: bool) -> None:
    """Show NAME: a feature, a view, a service or the first digits of a definition."""
    from feature_store import registry

    with _warehouse() as conn:
        kind, found = _named(conn, name)
        definition = registry.registered_definition(conn, found)
        answer: dict[str, Any] = {"name": name, "kind": kind, "definition": asdict(definition)}
        if kind == "service":
            answer["service"] = next(asdict(one) for one in registry.services(conn) if one.name == name)
        if kind == "feature":
            answer["features"] = [
                asdict(one) | {"expression": _expression(conn, one.definition, name)} for one in _features(conn, name)
            ]
        answer["references"] = [asdict(one) for one in _references(conn, definition.definition)]
    _tell(answer, pages.details(answer), as_json)


@click.command()
@click.argument("one")
@click.argument("other")
@click.option("--values", is_flag=True, help="Also count the values that differ, on the rows that both have.")
@AS_JSON
def diff(one: str, other: str, values: bool, as_json: bool) -> None:
    """Show how definition OTHER differs from definition ONE, each given by its first digits."""
    from feature_store import comparison, registry

    with _warehouse() as conn:
        pair = registry.registered_definition(conn, one), registry.registered_definition(conn, other)
        answer = asdict(comparison.compare(*pair))
        if values:
            answer["values"] = [asdict(found) for found in comparison.compare_values(conn, *pair)]
    _tell(answer, pages.difference(answer), as_json)


@click.command()
@click.argument("name")
@AS_JSON
def retire(name: str, as_json: bool) -> None:
    """Stop keeping up NAME, the first digits of a definition, or take the service NAME out of use.

    A definition that something refers to is not retired. What a retired one made stays readable, and replays.
    """
    from feature_store import references, registry, services

    endpoints = _endpoints()
    with _warehouse() as conn:
        is_service = any(one.name == name for one in registry.services(conn))
        definition = "" if is_service else registry.registered_definition(conn, name).definition
    if is_service:
        services.retire(endpoints.postgres_url, name)
        _tell({"service": name, "retired": True}, f"service {name}: out of use", as_json)
        return
    refused = references.retire_definition(endpoints.postgres_url, definition, _models(endpoints))
    named = [asdict(one) for one in refused.references] if refused else []
    answer = {"definition": definition, "retired": refused is None, "references": named}
    _tell(answer, pages.retirement(answer), as_json)
    if refused is not None:
        raise click.exceptions.Exit(1)


def _named(conn: psycopg.Connection, name: str) -> tuple[str, str]:
    """Return what kind of thing a name names, and the definition that stands for it."""
    from feature_store import registry

    for view in registry.views(conn):
        if view.name == name:
            return "view", view.definition
    for service in registry.services(conn):
        if service.name == name:
            return "service", service.definition
    for feature in _features(conn, name):
        return "feature", feature.definition
    if registry.find_definitions(conn, name):
        return "definition", name
    raise InputError(
        f"expected a feature, a view, a service or six digits or more of a definition, found {name!r};"
        " see `tradeloom features list`"
    )


def _features(conn: psycopg.Connection, name: str) -> list[Any]:
    """Return the feature of this name of every view's newest definition."""
    from feature_store import registry

    return [
        one for view in registry.views(conn) for one in registry.features(conn, view.definition) if one.name == name
    ]


def _expression(conn: psycopg.Connection, definition: str, name: str) -> dict[str, Any] | None:
    from feature_store import registry

    found = registry.expression(conn, registry.registered_definition(conn, definition), name)
    return asdict(found) if found else None


def _references(conn: psycopg.Connection, definition: str) -> Any:
    from feature_store import references

    return references.references_to(conn, definition, references.model_references(conn, _models(_endpoints())))


def _endpoints() -> Endpoints:
    from infra.local.endpoints import Endpoints

    return Endpoints.resolve(os.environ)


@contextmanager
def _warehouse() -> Iterator[psycopg.Connection]:
    from trading.adapters.postgres import connection

    with connection(_endpoints().postgres_url) as conn:
        yield conn


def _models(endpoints: Endpoints) -> ModelRegistry:
    from trading.adapters.registry import ModelRegistry

    return ModelRegistry(endpoints.mlflow_url)


def _tell(answer: dict[str, Any], page: str, as_json: bool) -> None:
    click.echo(json.dumps(answer, default=_plain) if as_json else page)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
