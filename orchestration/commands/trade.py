"""`tradeloom trade`: a paper session that follows the world's clock, woken by each new bar, until its last day."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from orchestration.asked_times import day_of
from orchestration.stopping import asked_to_stop
from trading.errors import InputError

if TYPE_CHECKING:
    from serving.trading_loop.bootstrap import SessionReport


@click.command()
@click.argument("name")
@click.option("--source", required=True, help="Whose daily bars: alpaca, ccxt:binance, files.")
@click.option("--symbols", required=True, help="AAPL,MSFT or BTC/USDT.")
@click.option("--from", "first", required=True, metavar="DAY", help="The first day to trade.")
@click.option("--until", "last", required=True, metavar="DAY", help="The last day; the session ends with its bar.")
@click.option("--model", "model_name", default="trader-daily", show_default=True, help="A registered model.")
@click.option("--alias", default="champion", show_default=True, help="Which version: the one of this alias, as of now.")
@click.option("--version", "model_version", help="Which version, by its number, instead of an alias.")
@click.option("--cash", default="100000", show_default=True, help="What it begins with, in USD.")
@click.option(
    "--json", "as_json", is_flag=True, help="A line of JSON whenever something has changed, and one at the end."
)
def trade(
    name: str,
    source: str,
    symbols: str,
    first: str,
    last: str,
    model_name: str,
    alias: str,
    model_version: str | None,
    cash: str,
    as_json: bool,
) -> None:
    """Trade on paper, bar by bar, as data arrives; NAME with the same options goes on where it stopped.

    Needs `tradeloom up`, a model, and somebody who brings bars: `tradeloom feed`, or ingestion. What is there already is
    traded first. Ctrl-C ends it after the bars in hand.
    """
    from infra.local.endpoints import Endpoints
    from serving.trading_loop.bootstrap import LoopSettings
    from serving.trading_loop.session import Mode, SessionTerms
    from serving.trading_loop.waiting import follow_session
    from trading.adapters.asking import symbols_of

    first_day, last_day = day_of(first), day_of(last)
    asked, cash_usd = symbols_of(symbols), _money(cash)
    settings = LoopSettings.from_environment(Endpoints.resolve(os.environ).environment())
    terms = SessionTerms(
        name=name,
        source=source,
        symbols=asked,
        first_timestamp=_label(first_day),
        last_timestamp=_label(_last_session(settings.postgres_url, asked, first_day, last_day)),
        model_name=model_name,
        alias=None if model_version else alias,
        model_version=model_version,
        mode=Mode.PAPER,
        starting_cash_usd=cash_usd,
    )
    told = _Told(as_json)
    with asked_to_stop() as stop:
        told.end(follow_session(terms, settings, stops=stop.is_set, told=told.ran))


class _Told:
    """What is told while a session runs: a line whenever it has moved."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._last: tuple[object, ...] = ()

    def ran(self, report: SessionReport) -> None:
        now = (report.status, report.decisions, report.orders, report.fills)
        if now != self._last:
            self._last = now
            self._say("moved", report)

    def end(self, report: SessionReport) -> None:
        self._say("report", report)

    def _say(self, event: str, report: SessionReport) -> None:
        if self._as_json:
            click.echo(json.dumps({"event": event, **asdict(report)}, default=str))
        else:
            click.echo(_sentence(report))


def _sentence(report: SessionReport) -> str:
    equity = "" if report.equity_usd is None else f", equity {report.equity_usd:,.2f} USD"
    return (
        f"session {report.session_id[:12]} ({report.status}, model version {report.model_version}): "
        f"{report.decisions} decisions, {report.orders} orders, {report.fills} fills, {report.denied} denied{equity}"
    )


def _money(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not (found.is_finite() and found > 0):
        raise InputError(f"expected --cash as an amount above 0 such as 100000, found {text!r}")
    return found


def _label(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _last_session(url: str, symbols: Sequence[str], first: date, last: date) -> date:
    """Return the last day, up to `last`, on which all the symbols trade: the bar that ends the session must come."""
    from trading.adapters.instruments import calendars_of
    from trading.adapters.postgres import connection
    from trading.calendar import exchange_sessions

    with connection(url, application="tradeloom-trade") as conn:
        calendars = calendars_of(conn, symbols)
    if missing := [symbol for symbol in symbols if symbol not in calendars]:
        raise InputError(f"expected bars of {missing[0]}, found none; `tradeloom ingest prices` brings them")
    days = [
        {session.session_date for session in exchange_sessions(name, first, last)} for name in set(calendars.values())
    ]
    if not symbols or first > last or not (common := set[date]().union(*days[:1]).intersection(*days)):
        raise InputError(f"expected a day from {first} to {last} on which all symbols trade, found none; state others")
    return max(common)
