"""The vendor `alpaca`: bars of US shares as traded, their corporate actions, and news, by alpaca-py's requests.

Alpaca's client says how a request is made (address, headers, parameters); it is sent by `Calls`, because the client has
no time limit, waits as it likes after 429, and gives the body only as floats.

`alpaca` is the consolidated tape (SIP) as everybody gets it, 15 minutes late; `alpaca:realtime` is the same tape for who
subscribes to it; `alpaca:iex` is the one exchange of the free plan, at once, whose bars are other bars
(docs/decisions/0105, 0122).
Source: https://docs.alpaca.markets/reference/stockbars, .../news-3, .../corporateactions-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from trading.adapters.sources.alpaca_actions import actions
from trading.adapters.sources.alpaca_client import KEY, SECRET, asked
from trading.adapters.sources.alpaca_names import name_changes, of_one_company
from trading.adapters.sources.alpaca_requests import (
    CLOSES,
    NEW_YORK,
    OPENS,
    asof,
    half_days_of,
    import_client,
    last_moment,
    of_whole_bars,
    request_of,
)
from trading.adapters.sources.answers import form_of, json_of
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.markup import plain_text
from trading.adapters.sources.vendor import Vendor
from trading.errors import InputError, MissingColumnError, VendorRefusedError
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Hole, Page
from trading.ingestion.reader import Kind, Reader

# Variant of the vendor -> the feed that it asks for.
_FEEDS = {"sip": "sip", "iex": "iex", "realtime": "sip"}
# Hours are not among them: Alpaca's begin on the hour, so the first of a session holds half an hour before it.
_INTERVALS = ("1m", "5m", "15m", "30m", "1d", "1w", "1mo")
_BAR = {"t": "timestamp", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
_ITEM = {"id", "headline", "symbols", "created_at"}
_SYMBOLS_PER_REQUEST = 100  # the address of a request must not grow without end


def _pages(ask: Ask, cursor: str | None, calls: Calls, feed: str) -> Iterator[Page | Hole]:
    """Yield the pages of each group of symbols, and of those of it that are asked for by themselves.

    A cursor is the group's number, after a dot the place within it unless it is the first, and the next page's token.
    """
    import_client()
    if ask.kind == "prices":
        ask = of_whole_bars(ask)
        if ask.start >= ask.end:
            return
    # The dividends of a day are one row, so all actions of a symbol must stand on one page.
    together = 1 if ask.kind == "actions" else _SYMBOLS_PER_REQUEST
    groups = [ask.symbols[at : at + together] for at in range(0, len(ask.symbols), together)]
    first, _, token = (cursor or "0 ").partition(" ")
    number, _, place = first.partition(".")
    for at in range(int(number), len(groups)):
        parts, holes = _parts_of(ask, groups[at], calls)
        yield from holes
        for part in range(int(place or 0), len(parts)):
            after = f"{at}.{part + 1} " if part + 1 < len(parts) else f"{at + 1} "
            yield from _part(parts[part], feed, f"{at}.{part}" if part else f"{at}", after, token, calls)
            token = ""
        place, token = "", ""


def _parts_of(ask: Ask, symbols: tuple[str, ...], calls: Calls) -> tuple[list[Ask], list[Hole]]:
    """Return the asks of a group: together the symbols that are one company's all the time, each other by itself."""
    if ask.kind != "prices":
        return [replace(ask, symbols=symbols)], []
    changes = name_changes(ask, symbols, calls)
    found = {symbol: of_one_company(ask, symbol, changes) for symbol in symbols}
    whole = tuple(symbol for symbol, (_, hole) in found.items() if hole is None)
    parts = [replace(ask, symbols=whole)] if whole else []
    cuts = [(symbol, of_whole_bars(cut)) for symbol, (cut, hole) in found.items() if cut and hole]
    parts += [replace(cut, symbols=(symbol,)) for symbol, cut in cuts if cut.start < cut.end]
    return parts, [hole for _, hole in found.values() if hole]


def _details(ask: Ask, feed: str) -> dict[str, str]:
    if ask.kind == "prices":
        return {"feed": feed, "asof": asof(ask)} | half_days_of(ask)
    if ask.kind == "actions":
        return {"from": str(ask.start.date()), "to": str(last_moment(ask).date())}
    return {}


def _part(ask: Ask, feed: str, here: str, after: str, token: str, calls: Calls) -> Iterator[Page]:
    path, version, params = request_of(ask, ask.symbols, feed)
    reader = ask.reader(f"alpaca.{_FORMATS[ask.kind]}", "raw", **_details(ask, feed))
    more = f" and {len(ask.symbols) - 1} more" if ask.symbols[1:] else ""
    seen = {token}
    while True:
        answer = asked(calls, version, path, params | ({"page_token": token} if token else {}))
        with form_of("alpaca"):
            token = answer.value().get("next_page_token") or ""
        if token and token in seen:
            raise VendorRefusedError(
                f"expected a page of alpaca that has not been, found {token} named as the next one again; run again later"
            )
        seen.add(token)
        name = f"{_FORMATS[reader.kind]} {ask.symbols[0]}{more}"
        yield Page(answer.body, name, reader, f"{here} {token}" if token else after)
        if not token:
            return


_PARTS = {"alpaca.bars": "bars", "alpaca.news": "news", "alpaca.actions": "corporate_actions"}
_FORMATS: dict[Kind, str] = {"prices": "bars", "news": "news", "actions": "actions"}


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the rows of a page of any of the three formats.

    Raises:
        UnreadablePayloadError, MissingColumnError: it is not what Alpaca gives.
    """
    body = json_of(payload)
    part = _PARTS[reader.format]
    if not isinstance(body, dict) or part not in body:
        found = ", ".join(body) if isinstance(body, dict) else type(body).__name__
        raise MissingColumnError(f"expected {part} in an answer of alpaca, found {found}; its format has changed")
    with form_of("alpaca"):
        yield from _READ[part](body[part] or {}, reader)


def _bars(bars: Mapping[str, list[dict[str, Any]]], reader: Reader) -> Iterator[Mapping[str, Cell]]:
    is_intraday = reader.interval.endswith("m")
    half_days = dict(item.split() for item in reader.details.get("half_days", "").split(",") if item)
    given: set[str] = set().union(*(bar for series in bars.values() for bar in series or ()))
    if any(bars.values()) and (lacking := set(_BAR) - given):
        raise MissingColumnError(
            f"expected {', '.join(_BAR)} in alpaca's bars, found no {', '.join(sorted(lacking))} in any; "
            "its format has changed"
        )
    for symbol, series in bars.items():
        for bar in series or ():
            cells = {ours: bar.get(theirs) for theirs, ours in _BAR.items()}
            begins = _in_new_york(bar.get("t"))
            if begins is not None and is_intraday and not _is_regular(begins, half_days):
                continue  # before or after the regular session: no session of an exchange calendar holds it
            if begins is not None:
                cells["timestamp"] = begins.astimezone(UTC) if is_intraday else begins.date()
            yield {"symbol": symbol, **cells}


def _is_regular(begins: datetime, half_days: Mapping[str, str]) -> bool:
    closes = half_days.get(f"{begins:%Y-%m-%d}")
    return OPENS <= begins.time() < (time.fromisoformat(closes) if closes else CLOSES)


def _in_new_york(text: object) -> datetime | None:
    """Alpaca labels a day, a week and a month by its first midnight in New York, in UTC."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(NEW_YORK)
    except ValueError:
        return None  # the gate says that it cannot be read


def regular_session_of(text: str) -> datetime | None:
    """Return the start of a bar of minutes, UTC; None before or after the regular session.

    Raises:
        ValueError: the text is no moment.
    """
    begins = datetime.fromisoformat(text).astimezone(NEW_YORK)
    return begins.astimezone(UTC) if OPENS <= begins.time() < CLOSES else None


def _news(items: list[dict[str, Any]], reader: Reader) -> Iterator[Mapping[str, Cell]]:
    given: set[str] = set().union(*items)
    if items and (lacking := _ITEM - given):
        raise MissingColumnError(
            f"expected {', '.join(sorted(_ITEM))} in alpaca's news, found no {', '.join(sorted(lacking))} in any; "
            "its format has changed"
        )
    for item in items:
        yield {
            "id": item.get("id"),
            "headline": plain_text(item.get("headline")),
            "body": plain_text(item.get("summary")),
            "url": item.get("url"),
            "symbols": item.get("symbols"),
            # The text is that of the last change. Under the time of its creation a correction would be known too early.
            "published_at": item.get("updated_at") or item.get("created_at"),
        }


_READ: dict[str, Callable[[Any, Reader], Iterator[Mapping[str, Cell]]]] = {
    "bars": _bars,
    "news": _news,
    "corporate_actions": actions,
}

VENDOR = Vendor(
    name="alpaca",
    kinds=("prices", "actions", "news"),
    base_url="https://data.alpaca.markets",
    requests_per_minute=200,
    lag=timedelta(minutes=15),
    pages=partial(_pages, feed="sip"),
    rows=_rows,
    intervals=_INTERVALS,
    page_size=10_000,
    credentials=(KEY, SECRET),
)


def variant(feed: str) -> Vendor:
    """Return Alpaca with another feed than the consolidated tape of everybody.

    Raises:
        InputError: no such feed.
    """
    if feed not in _FEEDS:
        raise InputError(f"expected a feed of alpaca, one of {', '.join(_FEEDS)}; found {feed!r}")
    if feed == "sip":
        return VENDOR
    return replace(VENDOR, name=f"alpaca:{feed}", lag=timedelta(0), pages=partial(_pages, feed=_FEEDS[feed]))
