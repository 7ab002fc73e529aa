"""Alpaca's trades by pages, under the ids of its stream: what a feed asks for after it was cut off.

Source: docs.alpaca.markets/reference/stocktrades-1; a trade's `u` says that it was canceled, or is no longer the valid
one of a correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from trading.adapters.sources.alpaca_requests import last_moment
from trading.adapters.sources.answers import Answer, form_of, json_of
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.errors import MissingColumnError, VendorRefusedError
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Page

FORMAT = "alpaca.trades"
_PATH = "/v2/stocks/trades"
_PAGE = 10_000
_HEADERS = {"APCA-API-KEY-ID": "APCA_API_KEY_ID", "APCA-API-SECRET-KEY": "APCA_API_SECRET_KEY"}
_IS_NO_MORE = ("canceled", "incorrect")


def pages_of(vendor: Vendor, feed: str) -> Vendor:
    """Return who gives the trades of one of Alpaca's feeds by pages."""
    return replace(vendor, kinds=("trades",), pages=partial(_pages, feed=feed), page_size=_PAGE)


def trade_id(at: object, exchange: object, number: object) -> str:
    """Return what names a trade: an id is unique on its exchange (`x`; where it is missing, none) for a day."""
    return f"{str(at)[:10]}-{exchange}-{number}"


def moment(text: str) -> datetime:
    """Nanoseconds are cut to microseconds, which is what a column holds."""
    return datetime.fromisoformat(text)


def _pages(ask: Ask, cursor: str | None, calls: Calls, feed: str) -> Iterator[Page]:
    """Yield the pages of all symbols together; a cursor is the token of the next page."""
    asked = {
        "symbols": ",".join(ask.symbols),
        "start": f"{ask.start:%Y-%m-%dT%H:%M:%S.%fZ}",
        "end": f"{last_moment(ask):%Y-%m-%dT%H:%M:%S.%fZ}",
        "limit": str(_PAGE),
        "feed": feed,
    }
    headers = {header: calls.secrets[name] for header, name in _HEADERS.items()}
    reader, token, name = ask.reader(FORMAT, feed=feed), cursor or "", f"trades {ask.symbols[0]}"
    while True:
        answer: Answer = calls.json(_PATH, asked | ({"page_token": token} if token else {}), headers)
        before = token
        with form_of("alpaca"):
            token = answer.value().get("next_page_token") or ""
        if token and token == before:
            raise VendorRefusedError(f"expected the page after {token} of alpaca, found the same one; run again later")
        if any((answer.value().get("trades") or {}).values()):
            yield Page(answer.body, f"{name} {ask.start:%Y-%m-%dT%H:%M:%S}", reader, token)
        if not token:
            return


def rows(payload: bytes) -> Iterator[Mapping[str, Cell]]:
    """Yield the trades of a page; one that was canceled, or that a correction replaced, has a size of 0.

    Raises:
        UnreadablePayloadError, MissingColumnError: it is not what Alpaca gives.
    """
    with form_of("alpaca"):
        body = json_of(payload)
        if "trades" not in body:
            raise MissingColumnError(f"expected trades in an answer of alpaca, found {', '.join(body)}")
        for symbol, several in (body["trades"] or {}).items():
            for value in several or ():
                yield _row(symbol, value)


def _row(symbol: str, value: Mapping[str, Any]) -> Mapping[str, Cell]:
    return {
        "symbol": symbol,
        "timestamp": moment(value["t"]),
        "trade_id": trade_id(value["t"], value.get("x", ""), value["i"]),
        "price": value["p"],
        "size": Decimal(0) if value.get("u") in _IS_NO_MORE else value["s"],
    }
