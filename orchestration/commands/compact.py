"""`tradeloom features compact`: take away superseded versions that nothing refers to."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import click


@click.command(short_help="Take away superseded versions that nothing refers to.")
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(0, 36_500),
    default=90,
    show_default=True,
    help="Only versions superseded more than this many days ago.",
)
@click.option("--definition", help="Only this definition; its first letters will do. Default: all.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and take nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def compact(days: int, definition: str | None, dry_run: bool, as_json: bool) -> None:
    """Take away versions of feature rows that were superseded and that no decision, model or backtest refers to.

    First prints and newest versions stay, and so does whatever is referred to. What goes can be computed again from raw.
    """
    from feature_store import retention
    from infra.local.endpoints import Endpoints

    url = Endpoints.resolve(os.environ).postgres_url
    before = datetime.now(UTC) - timedelta(days=days)
    done = (retention.compactable if dry_run else retention.compact)(url, before, definition)
    if as_json:
        answer = {
            "superseded_before": before.isoformat(),
            "dry_run": dry_run,
            "definitions": [d.to_dict() for d in done],
        }
        click.echo(json.dumps(answer))
        return
    word = "would go" if dry_run else "taken away"
    for one in done:
        click.echo(f"{one.view:26} {one.definition[:12]}  {one.row_count:,} rows {word}")
    if not done:
        click.echo("no definition is registered yet; nothing to compact")
