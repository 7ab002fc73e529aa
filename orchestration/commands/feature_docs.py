"""`tradeloom features docs`: the pages of the features, made from the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import psycopg


@click.command()
@click.option(
    "--indicators",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write indicators.md and a page with a plot per indicator into FOLDER instead.",
)
def docs(folder: Path | None) -> None:
    """Print docs/features.md as the registry of features has it, your own features included.

    With --indicators the pages that changed are written, and nothing is printed but their names.
    """
    from feature_store.pages import features_page
    from infra.local.endpoints import Endpoints
    from trading.adapters.postgres import connection

    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        if folder is None:
            click.echo(features_page(conn), nl=False)
        else:
            _write(folder, conn)


def _write(folder: Path, conn: psycopg.Connection) -> None:
    from feature_store.indicator_pages.page import is_current, made_files
    from feature_store.indicator_pages.plot import Picture

    made = made_files(conn)
    changed = [path for path, text in made.items() if not is_current(folder / path, text)]
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        text = made[path]
        (folder / path).write_text(text.drawn() if isinstance(text, Picture) else text)
    click.echo("\n".join([*map(str, changed), f"{len(changed)} of {len(made)} files written"]))
