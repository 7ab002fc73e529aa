"""`tradeloom backup FILE` and `tradeloom restore FILE`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@AS_JSON
def backup(file: Path, as_json: bool) -> None:
    """Write the state folder (rows, objects, models, secrets) into FILE, a tar; compressed if it ends in .gz.

    Engines may be running. Keep FILE safe: it holds the passwords.
    """
    from infra.local.backup import backup as write_backup

    done = write_backup(os.environ, file)
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo(
            f"{done['file']}: {done['bytes']:,} bytes, {done['objects']} objects, PostgreSQL in {done['postgres']} files"
        )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@AS_JSON
def restore(file: Path, as_json: bool) -> None:
    """Make a new state folder (TRADELOOM_HOME) from FILE; one that holds something is refused."""
    from infra.local.restore import restore as read_backup

    done = read_backup(os.environ, file)
    if as_json:
        click.echo(json.dumps(done))
    else:
        click.echo(f"{done['home']}: {done['entries']} files and objects restored; start it with `tradeloom up`")
