"""`tradeloom features build`: make the feature views anew from their SQL, after it was changed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from trading.errors import ModelError

if TYPE_CHECKING:
    from infra.local.endpoints import Endpoints
    from trading.adapters.registry import ModelRegistry

HEAD = "sentiment-head"
CHAMPION = "champion"
VERSIONED = "+config.materialized:versioned"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def build(as_json: bool) -> None:
    """Register the SQL of the feature views and make its rows; SQL that did not change makes nothing.

    The asset features/daily does the same in Dagster. Definitions that nothing refers to any more are retired.
    """
    from feature_store import build as dbt
    from feature_store.references import tend
    from infra.local.endpoints import Endpoints

    endpoints = Endpoints.resolve(os.environ)
    url, models = endpoints.postgres_url, _models(endpoints)
    before = _newest(url)
    arguments = ("run", "--select", VERSIONED)
    dbt.dbt_build(url, variables=_scorer(models), arguments=arguments, project=dbt.DBT_PROJECT)
    tended = tend(url, models)
    answer = {
        "definitions": _newest(url),
        "before": before,
        "retired": tended.retired,
        "kept_up_again": tended.taken_up,
    }
    click.echo(json.dumps(answer) if as_json else _page(answer))


def _scorer(models: ModelRegistry) -> dict[str, str]:
    """Return whose scores the day's sentiment reads: the champion head's, or nobody's before there is one."""
    try:
        return {"scorer": "head", "scorer_version": models.alias(HEAD, CHAMPION)}
    except ModelError:
        return {}


def _newest(url: str) -> dict[str, str]:
    from feature_store.registry import views
    from trading.adapters.postgres import connection

    with connection(url) as conn:
        return {view.name: view.definition for view in views(conn)}


def _page(answer: dict[str, Any]) -> str:
    lines = [
        f"{view}: definition {name[:12]}, {'unchanged' if answer['before'].get(view) == name else 'new'}"
        for view, name in answer["definitions"].items()
    ]
    lines += [f"definition {name[:12]}: retired, nothing refers to it" for name in answer["retired"]]
    lines += [f"definition {name[:12]}: kept up again" for name in answer["kept_up_again"]]
    return "\n".join(lines)


def _models(endpoints: Endpoints) -> ModelRegistry:
    from trading.adapters.registry import ModelRegistry

    return ModelRegistry(endpoints.mlflow_url)
