"""`tradeloom recall --batch ID | --symbol S --from D --to D --reason TEXT`: bars into quarantine, after use."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

import click

from orchestration.asked_times import NUMBER
from trading.errors import InputError


@click.command()
@click.option("--batch", type=NUMBER, help="Every bar of a batch that is still in force.")
@click.option("--symbol", help="Bars of a symbol; with --from and --to.")
@click.option("--from", "first", help="The first bar, such as 2012-03-01.")
@click.option("--to", "last", help="The last bar, included.")
@click.option("--source", help="Only this source. With --symbol; default: all.")
@click.option("--reason", default="", help="Why; kept, and shown wherever the recall is. Needed.")
@click.option("--withdraw", is_flag=True, help="Take the recall back instead: the bars stand as they are.")
@click.option("--list", "is_list", is_flag=True, help="Show what was recalled, and how it stands; nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def recall(
    batch: int | None,
    symbol: str | None,
    first: str | None,
    last: str | None,
    source: str | None,
    reason: str,
    withdraw: bool,
    is_list: bool,
    as_json: bool,
) -> None:
    """Put published bars into quarantine after they were used.

    No row and no earlier answer changes. Until a later version of the bar is delivered, training refuses sets that rest
    on it, a new session on it is refused, and running sessions decide nothing on it (DATA_RECALLED).
    """
    from infra.local.endpoints import Endpoints
    from orchestration.asked_bars import asked_bars
    from trading.adapters.postgres import connection
    from trading.adapters.recalls import recall_bars, recalled_bars

    asked = None if is_list else asked_bars(batch, symbol, first, last, source)
    if asked is not None and asked.batch is None and (first is None or last is None):
        raise InputError("expected --from and --to with --symbol, found one or none; name the bars to recall")
    with connection(Endpoints.resolve(os.environ).postgres_url, application="tradeloom-recall") as conn:
        if asked is None:
            _show(recalled_bars(conn), as_json)
            return
        status: Any = "withdrawn" if withdraw else "recalled"
        report = recall_bars(conn, asked, reason, datetime.now(UTC), status)
    if as_json:
        click.echo(json.dumps({"status": status, **vars(report)}))
        return
    click.echo(
        f"{report.changed} bars {status}"
        + (f", {report.already} were so already" if report.already else "")
        + (f", {report.superseded} left alone: a later version is in force" if report.superseded else "")
    )
    if report.changed and not withdraw:
        which = f"--batch {batch}" if batch is not None else f"--symbol {symbol} --from {first} --to {last}"
        click.echo(f"who used them: tradeloom blast-radius {which}")


def _show(bars: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"recalled": bars}, default=str))
        return
    for bar in bars:
        click.echo(
            f"{bar['status']:<10} {bar['symbol']:<8} {bar['timestamp']:%Y-%m-%d}  {bar['source']} batch {bar['batch_id']}  "
            f"close {bar['close'].normalize():f}  recalled {bar['known_at']:%Y-%m-%d %H:%M} UTC: {bar['reason']}"
        )
    if not bars:
        click.echo("no bar was ever recalled")
