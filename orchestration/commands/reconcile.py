"""`tradeloom reconcile`: what should be in the warehouse by now, and what is."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from orchestration.asked_times import day_of, moment_of
from trading.errors import InputError

if TYPE_CHECKING:
    from trading.reconciliation.findings import Reconciliation

_SHOWN = 40


@click.command()
@click.option("--source", help="Whose bars. Default: every source that has any.")
@click.option("--symbols", help="Comma-separated, such as AAPL,MSFT. Default: all.")
@click.option("--interval", help="Such as 1d or 1h. Default: all.")
@click.option("--from", "first", help="Only from this day on: 2012-01-03.")
@click.option("--to", "last", help="Only up to this day, itself included.")
@click.option("--as-of", "as_of", help="As known at a time with its zone: 2012-06-01T20:15:00Z. Default: now.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def reconcile(
    source: str | None,
    symbols: str | None,
    interval: str | None,
    first: str | None,
    last: str | None,
    as_of: str | None,
    as_json: bool,
) -> None:
    """Compare the expected sessions with the bars there: missing, stale, doubled, suspicious. Exits 1 unless clean.

    Nothing is filled or changed.
    """
    from infra.local.endpoints import Endpoints
    from trading.adapters.postgres import connection
    from trading.adapters.reconcile import Question, reconcile

    names = [name.strip() for name in (symbols or "").split(",") if name.strip()]
    if symbols is not None and not names:
        raise InputError(f"expected symbols such as AAPL,MSFT, found {symbols!r}")
    question = Question(
        as_of=moment_of(as_of) if as_of else datetime.now(UTC),
        source=source,
        symbols=names or None,
        interval=interval,
        first=day_of(first) if first else None,
        last=day_of(last) if last else None,
    )
    if question.first is not None and question.last is not None and question.first > question.last:
        raise InputError(f"expected --from before --to, found {first} after {last}")
    with connection(Endpoints.resolve(os.environ).postgres_url) as conn:
        found = reconcile(conn, question)
    click.echo(json.dumps(found.as_dict()) if as_json else in_words(found))
    if not found.is_clean:
        sys.exit(1)


def in_words(found: Reconciliation) -> str:
    """Return what was found as a table for a terminal."""
    lines = [
        f"{one.kind:10} {one.source}/{one.symbol} {one.interval}  {one.first:%Y-%m-%d %H:%M} .. {one.last:%Y-%m-%d %H:%M}"
        f"  {one.detail}"
        for one in found.findings[:_SHOWN]
    ]
    if (more := len(found.findings) - _SHOWN) > 0:
        lines.append(f"... and {more} more; --json has them all")
    return "\n".join([*lines, found.sentence()])
