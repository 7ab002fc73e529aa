"""What Alpaca is asked: the path, the version and the parameters of a request, by alpaca-py's own request objects."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from trading.calendar import exchange_sessions
from trading.ingestion.ports import Ask
from trading.intervals import Interval

if TYPE_CHECKING:
    from alpaca.data.timeframe import TimeFrame

NEW_YORK = ZoneInfo("America/New_York")
OPENS, CLOSES = time(9, 30), time(16)  # half days close earlier (`half_days_of`), none later
# Actions are asked for by the day on which Alpaca processes them; a dividend's is that of payment, weeks after its ex-date.
_UNTIL_PROCESSED = timedelta(days=120)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Request = tuple[str, str, dict[str, Any]]


def _bars_request(ask: Ask, symbols: tuple[str, ...], feed: str) -> Request:
    from alpaca.data.enums import Adjustment, DataFeed
    from alpaca.data.requests import StockBarsRequest

    request = StockBarsRequest(
        symbol_or_symbols=list(symbols),
        timeframe=_timeframe(ask.interval),
        start=ask.start,
        end=last_moment(ask),
        limit=10_000,
        adjustment=Adjustment.RAW,
        feed=DataFeed(feed),
        asof=asof(ask),
    )
    return "/stocks/bars", "v2", request.to_request_fields()


def _news_request(ask: Ask, symbols: tuple[str, ...], feed: str) -> Request:
    from alpaca.data.requests import NewsRequest

    named = ",".join(symbols)
    request = NewsRequest(start=ask.start, end=last_moment(ask), sort="asc", symbols=named, limit=50)
    return "/news", "v1beta1", request.to_request_fields()


def _actions_request(ask: Ask, symbols: tuple[str, ...], feed: str) -> Request:
    from alpaca.data.requests import CorporateActionsRequest

    last = last_moment(ask).date() + _UNTIL_PROCESSED
    request = CorporateActionsRequest(symbols=list(symbols), start=ask.start.date(), end=last, limit=1000)
    return "/corporate-actions", "v1", request.to_request_fields() | {"symbols": ",".join(symbols)}


_REQUESTS = {"prices": _bars_request, "news": _news_request, "actions": _actions_request}


def request_of(ask: Ask, symbols: tuple[str, ...], feed: str) -> Request:
    """Return path, version and parameters of the first page of an ask about some of its symbols."""
    path, version, params = _REQUESTS[ask.kind](ask, symbols, feed)
    # An enumerated value is a text to `requests`, and a name such as DataFeed.SIP to others.
    return path, version, {name: getattr(value, "value", value) for name, value in params.items()}


def import_client() -> None:
    """Import alpaca-py, whose streams (unused here) still stand on a part of websockets that will go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "websockets", DeprecationWarning)
        import alpaca.data.requests  # noqa: F401


def _timeframe(interval: str) -> TimeFrame:
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    units = {"m": TimeFrameUnit.Minute, "d": TimeFrameUnit.Day, "w": TimeFrameUnit.Week, "mo": TimeFrameUnit.Month}
    count = interval.rstrip("mdwo")
    return TimeFrame(int(count), units[interval.removeprefix(count)])


def of_whole_bars(ask: Ask) -> Ask:
    """Return the ask up to the last bar that is over: one that its end cuts would come as if it were whole."""
    interval = Interval.parse(ask.interval)
    if interval.unit in ("w", "mo"):
        return replace(ask, start=interval.label(ask.start.date()), end=interval.label(ask.end.date()))
    if interval.unit == "m":
        return replace(ask, end=ask.end - (ask.end - _EPOCH) % interval.length)
    ends = ask.end.astimezone(NEW_YORK)
    midnight = datetime.combine(ends.date(), time(), NEW_YORK).astimezone(UTC)
    return ask if ends.time() >= CLOSES else replace(ask, end=min(ask.end, midnight))


def half_days_of(ask: Ask) -> dict[str, str]:
    """Return `half_days`, when the short sessions of an intraday ask close in New York: `2024-11-29 13:00,...`.

    Alpaca goes on with bars of the evening there. In the reader, so that a page gives the same rows for ever.
    """
    if Interval.parse(ask.interval).unit != "m":
        return {}
    found = exchange_sessions("XNYS", ask.start.date(), ask.end.date())
    closes = [session.closes_at.astimezone(NEW_YORK) for session in found]
    short = ",".join(f"{close:%Y-%m-%d %H:%M}" for close in closes if close.time() < CLOSES)
    return {"half_days": short} if short else {}


def asof(ask: Ask) -> str:
    """Return the day on which a ticker says whose bars are meant: the last one asked for, in New York.

    Alpaca's own choice is the day of the question, and another company's bars would come under the ticker some day.
    """
    return f"{last_moment(ask).astimezone(NEW_YORK):%Y-%m-%d}"


def last_moment(ask: Ask) -> datetime:
    """Return the end as Alpaca takes it: it includes what it is given, an ask does not."""
    return ask.end - timedelta(microseconds=1)
