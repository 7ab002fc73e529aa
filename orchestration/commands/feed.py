"""`tradeloom feed`: bars and trades as they happen, until Ctrl-C; a vendor's stream, or its pages by schedule."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestration.stopping import asked_to_stop
from trading.errors import InputError

if TYPE_CHECKING:
    from trading.adapters.feeds.stream import Subscription
    from trading.adapters.feeds.terms import FeedReport, FeedTerms
    from trading.adapters.sources.vendor import Vendor
    from trading.calendar import Sessions


@click.command()
@click.option("--source", "source_name", required=True, help="A vendor: alpaca:iex, ccxt:binance, yfinance.")
@click.option("--symbols", required=True, help="AAPL,MSFT or BTC/USDT.")
@click.option("--interval", default="1m", show_default=True, help="The length of the bars.")
@click.option("--trades", "with_trades", is_flag=True, help="Every trade too.")
@click.option("--no-bars", "without_bars", is_flag=True, help="Trades only.")
@click.option(
    "--lateness",
    type=click.FloatRange(0, 60),
    default=2.0,
    show_default=True,
    help="Seconds that a message waits for one before it that is missing.",
)
@click.option(
    "--stall-after",
    type=click.FloatRange(1, 86_400),
    default=180.0,
    show_default=True,
    help="Seconds of silence, while the exchange trades, that are a stall.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON per event and per batch, and one at the end.")
def feed(
    source_name: str,
    symbols: str,
    interval: str,
    with_trades: bool,
    without_bars: bool,
    lateness: float,
    stall_after: float,
    as_json: bool,
) -> None:
    """Listen to a vendor, or ask it by schedule, and publish what comes; Ctrl-C ends it after the batch in hand.

    What was missed while nobody listened is asked for by pages. What is published takes the features further and wakes
    whoever waits for them.
    """
    from trading.adapters.asking import symbols_of
    from trading.adapters.feeds.registry import has_stream, stream_named
    from trading.adapters.feeds.stream import Subscription
    from trading.adapters.feeds.terms import FeedTerms
    from trading.adapters.sources.registry import vendor_named
    from trading.intervals import Interval

    if without_bars and not with_trades:
        raise InputError("expected --trades with --no-bars, found none; say what is listened to")
    vendor, asked = vendor_named(source_name), tuple(symbols_of(symbols))
    kinds = (*(() if without_bars else ("prices",)), *(("trades",) if with_trades else ()))
    wanted = Subscription(asked, Interval.parse(interval).name, kinds)
    terms = FeedTerms(lateness=timedelta(seconds=lateness), stall_after=timedelta(seconds=stall_after))
    told = _Told(as_json)
    is_heard = has_stream(vendor.name) and (without_bars or wanted.interval in stream_named(vendor.name).intervals)
    if with_trades and not is_heard:
        raise InputError(f"expected a vendor whose stream tells trades beside {interval} bars, found {source_name}")
    if not is_heard:
        vendor.refuse_unless_offered("prices", wanted.interval)
    with asked_to_stop() as stop:
        report = (_listen if is_heard else _poll)(vendor, wanted, terms, told, stop)
    told.end(report)


class _Told:
    """What is told while a feed runs: events on stderr, or lines of JSON on stdout."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def event(self, event: Any) -> None:
        if self._as_json:
            click.echo(json.dumps(event.as_dict()))
        else:
            click.echo(event.sentence(), err=True)

    def batch(self, published: Any) -> None:
        if self._as_json:
            click.echo(json.dumps({"event": "published", **asdict(published)}))

    def poll(self, rows: int) -> None:
        if self._as_json:
            click.echo(json.dumps({"event": "published", "kind": "prices", "rows_published": rows}))

    def end(self, report: FeedReport) -> None:
        click.echo(json.dumps({"event": "report", **asdict(report)}) if self._as_json else report.sentence())


def _listen(vendor: Vendor, wanted: Subscription, terms: FeedTerms, told: _Told, stop: threading.Event) -> FeedReport:
    from trading.adapters.feeds.backfill import Backfill
    from trading.adapters.feeds.chart_keeper import ChartKeeper
    from trading.adapters.feeds.events import FeedEvents
    from trading.adapters.feeds.payload_mover import PayloadMover
    from trading.adapters.feeds.publishing import FeedPublisher
    from trading.adapters.feeds.registry import stream_named
    from trading.adapters.feeds.running import Feed
    from trading.feed.silence import Schedule
    from trading.quality.suites import great_expectations

    stream = stream_named(vendor.name)
    stream.refuse_unless_offered(wanted)
    great_expectations()  # seconds, which the first bad bar would cost the good ones
    with ExitStack() as stack:
        calls = stack.enter_context(vendor.calls(os.environ))
        url, store = _engines(vendor)
        events = FeedEvents(url, vendor.name, _now, told.event)
        stack.enter_context(PayloadMover(url, store))
        stack.enter_context(ChartKeeper(url, lambda why: events.happened("refused", why=why)))
        publisher = stack.enter_context(
            FeedPublisher(stream, wanted.interval, wanted.symbols, database_url=url, object_store=store)
        )
        sessions = _sessions_of(publisher.calendars())
        running = Feed(
            stream=stream,
            wanted=wanted,
            publisher=publisher,
            events=events,
            schedule=lambda now: Schedule.of(sessions(now)),
            backfill=Backfill(vendor, wanted.interval, calls, _now, url, store, stream.trades),
            address=stream.address(os.environ),
            secrets=calls.secrets,
            clock=_now,
            stop=stop,
            terms=terms,
            on_batch=told.batch,
        )
        return running.run()


def _poll(vendor: Vendor, wanted: Subscription, terms: FeedTerms, told: _Told, stop: threading.Event) -> FeedReport:
    from trading.adapters.feeds.backfill import Backfill
    from trading.adapters.feeds.events import FeedEvents
    from trading.adapters.feeds.known_series import KnownSeries
    from trading.adapters.feeds.polling import PollingFeed
    from trading.adapters.postgres import connection
    from trading.intervals import Interval

    with ExitStack() as stack:
        calls = stack.enter_context(vendor.calls(os.environ))
        url, store = _engines(vendor)

        def known() -> KnownSeries:
            with connection(url, application="tradeloom-feed") as conn:
                return KnownSeries.read(conn, vendor.name, wanted.interval, wanted.symbols)

        calendars = {symbol: known().calendars.get(symbol, vendor.calendar) for symbol in wanted.symbols}
        running = PollingFeed(
            symbols=wanted.symbols,
            interval=Interval.parse(wanted.interval),
            newest=lambda: known().newest,
            sessions=_sessions_of(calendars),
            backfill=Backfill(vendor, wanted.interval, calls, _now, url, store),
            events=FeedEvents(url, vendor.name, _now, told.event),
            clock=_now,
            stop=stop,
            terms=terms,
            on_poll=told.poll,
        )
        return running.run()


def _engines(vendor: Vendor) -> tuple[str, Any]:
    """Return the warehouse, with the vendor and the features declared in it, and the object store."""
    from feature_store.build import ensure_definitions
    from infra.local.endpoints import Endpoints
    from trading.adapters import fetch_log
    from trading.adapters.object_store import ObjectStore

    found = Endpoints.resolve(os.environ)
    fetch_log.declare(found.postgres_url, vendor)
    ensure_definitions(found.postgres_url)
    return found.postgres_url, ObjectStore(found.s3_endpoint, found.s3_access_key, found.s3_secret_key, found.s3_bucket)


def _sessions_of(calendars: Mapping[str, str]) -> Callable[[datetime], Mapping[str, Sessions]]:
    """Return the sessions of these calendars around a moment, looked up once a day."""
    from functools import lru_cache

    from trading.calendar import Sessions, exchange_sessions

    names = sorted(set(calendars.values()))

    @lru_cache(maxsize=2)
    def around(day: Any) -> Mapping[str, Sessions]:
        few = timedelta(days=7)
        return {name: Sessions.of(exchange_sessions(name, day - few, day + few)) for name in names}

    return lambda now: around(now.date())


def _now() -> datetime:
    return datetime.now(UTC)
