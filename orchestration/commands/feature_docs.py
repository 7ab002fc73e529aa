"""`tradeloom features docs`: the page of the features, made from the registry."""

from __future__ import annotations

import os

import click


@click.command()
def docs() -> None:
    """Print docs/features.md as the registry of features has it, your own features included."""
    from feature_store.pages import features_page
    from infra.local.endpoints import Endpoints
    from trading.adapters.postgres import connection

    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        click.echo(features_page(conn), nl=False)
