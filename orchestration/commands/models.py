"""`tradeloom models list|promote|rollback`: versions, aliases, verdicts; what stands, and going back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from trading.errors import ModelError

if TYPE_CHECKING:
    import psycopg

    from trading.adapters.registry import ModelRegistry

SLOT = "trader-daily"
HEAD = "sentiment-head"
CHAMPION = "champion"
NAME = click.argument("name", default=SLOT)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def models() -> None:
    """Registered models: what there is, what stands, and why."""


@models.command("list", short_help="Versions, aliases and verdicts.")
@AS_JSON
def list_models(as_json: bool) -> None:
    """List every version with its aliases, and every verdict on a champion."""
    from trading.adapters.promotions import promotions

    with _engines() as (conn, registry):
        versions = [_version(one) for name in (SLOT, HEAD) for one in registry.versions(name)]
        verdicts = [vars(one) for name in (SLOT, HEAD) for one in promotions(conn, name, CHAMPION)]
    if as_json:
        click.echo(json.dumps({"models": versions, "verdicts": verdicts}, default=str))
        return
    for one in versions:
        aliases = f"  [{', '.join(one['aliases'])}]" if one["aliases"] else ""
        click.echo(f"{one['name']} v{one['version']}  {one['kind']}  weights {one['weights_sha256'][:12]}{aliases}")
    for one in verdicts:
        click.echo(f"{one['model_name']} v{one['to_version']} {one['verdict']}: {one['reason']}")


@models.command(short_help="Make a version champion, if the gate says so.")
@NAME
@click.option("--version", required=True, help="The version that shall become champion.")
@AS_JSON
def promote(name: str, version: str, as_json: bool) -> None:
    """Make VERSION of NAME champion, if the gate's verdict on it against the present champion says so.

    A version that was not judged, or that was refused, is not promoted: materialize the evaluation first.
    """
    from trading.adapters.promotions import Promotion, align_alias, record_promotion
    from trading.evaluation.verdicts import verdict_in

    with _engines() as (conn, registry):
        champion = registry.alias(name, CHAMPION)
        if champion == version:
            _tell({"name": name, "champion": version, "changed": False}, as_json)
            return
        found = {one.version: one.tags for one in registry.versions(name)}
        if version not in found:
            raise ModelError(f"expected a version of {name} among {', '.join(found)}, found {version}")
        judged = verdict_in(found[version], champion)
        if judged is None or not judged.promoted:
            why = "; ".join(judged.reasons) if judged else f"the gate has not judged it against version {champion}"
            raise ModelError(f"version {version} of {name} is not promoted: {why}")
        record_promotion(
            conn, Promotion(name, CHAMPION, champion, version, "promoted", "by command, on the gate's verdict")
        )
        conn.commit()
        stands = align_alias(conn, registry, name, CHAMPION)
        _keep_up(conn, registry, name, stands)
        _tell({"name": name, "champion": stands, "changed": True}, as_json)


@models.command(short_help="Go back to the champion before.")
@NAME
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@AS_JSON
def rollback(name: str, reason: str, as_json: bool) -> None:
    """Make the version that stood before the present champion of NAME champion again; services follow by themselves."""
    from trading.adapters.promotions import Promotion, align_alias, promotions, record_promotion

    with _engines() as (conn, registry):
        champion = registry.alias(name, CHAMPION)
        before = next((one.from_version for one in promotions(conn, name, CHAMPION) if one.moved_to(champion)), None)
        if before is None:
            raise ModelError(
                f"expected a champion of {name} before version {champion}, found none; nothing to go back to"
            )
        record_promotion(conn, Promotion(name, CHAMPION, champion, before, "rolled_back", reason))
        conn.commit()
        stands = align_alias(conn, registry, name, CHAMPION)
        _keep_up(conn, registry, name, stands)
        _tell({"name": name, "champion": stands, "changed": True}, as_json)


def _keep_up(conn: psycopg.Connection, registry: ModelRegistry, name: str, version: str | None) -> None:
    """See that the features of what stands now are made, if its definition was retired meanwhile."""
    if version is not None:
        definition = registry.card(name, version).feature_service.get("definition")
        conn.execute("call features.take_up(%s)", (definition,))


def _version(one: Any) -> dict[str, Any]:
    shown = ("kind", "weights_sha256", "snapshot_id", "verdict")
    return {
        "name": one.name,
        "version": one.version,
        "aliases": list(one.aliases),
        **{name: one.tags.get(name, "-") for name in shown},
    }


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
    else:
        word = "is now" if answer["changed"] else "already is"
        click.echo(f"{answer['name']}: version {answer['champion']} {word} champion")


@contextmanager
def _engines() -> Iterator[tuple[psycopg.Connection, ModelRegistry]]:
    from infra.local.endpoints import Endpoints
    from trading.adapters.postgres import connection
    from trading.adapters.registry import ModelRegistry

    found = Endpoints.resolve(os.environ)
    with connection(found.postgres_url) as conn:
        yield conn, ModelRegistry(found.mlflow_url)
