"""Binance's newest trades by one page per pair, under the ids of its stream: what a feed asks for after it was cut off.

Without a key Binance gives the newest thousand of a pair by their own numbers; older ones only as aggregates, which are
other rows. What lies before them stays a hole, which the numbers tell (docs/decisions/0132).
Source: developers.binance.com, "Recent trades list".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from trading.adapters.sources.answers import Answer, form_of, json_of
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Page
from trading.ingestion.reader import Reader

FORMAT = "ccxt.trades"
_ADDRESS = "https://api.binance.com"
_PATH = "/api/v3/trades"
_MOST = 1_000
_REST = 0.25  # seconds after a page, which weighs 25 of the 6,000 a minute
_START = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def pages_of(vendor: Vendor) -> Vendor:
    """Return who gives the newest trades by pages."""
    return replace(vendor, kinds=("trades",), pages=_pages, page_size=_MOST)


def _pages(ask: Ask, cursor: str | None, calls: Calls) -> Iterator[Page]:
    """Yield a page for each pair; a cursor is the pair that was last asked for."""
    done = ask.symbols.index(cursor) + 1 if cursor in ask.symbols else 0
    since = (ask.start - _START) // _MILLISECOND
    for symbol in ask.symbols[done:]:
        params = {"symbol": symbol.replace("/", ""), "limit": str(_MOST)}
        url = (calls.base_url or _ADDRESS) + _PATH
        answer = calls.attempt(partial(calls.once, url, params), _PATH, Answer.value)
        reader = ask.reader(FORMAT, exchange="binance", symbol=symbol, since=str(since))
        if any(True for _ in rows(answer.body, reader)):
            yield Page(answer.body, f"trades {symbol} {ask.start:%Y-%m-%dT%H:%M:%S}", reader, symbol)
        calls.pause(_REST)


def rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the trades of a page from the reader's `since` on.

    Raises:
        UnreadablePayloadError: it is not what Binance gives.
    """
    since = int(reader.details["since"])
    with form_of("binance"):
        for told in json_of(payload):
            if told["time"] >= since:
                yield _row(told, reader.details["symbol"])


def _row(told: Mapping[str, Any], symbol: str) -> Mapping[str, Cell]:
    return {
        "symbol": symbol,
        "timestamp": _START + timedelta(milliseconds=told["time"]),
        "trade_id": str(told["id"]),
        "price": told["price"],
        "size": told["qty"],
        "side": "sell" if told["isBuyerMaker"] else "buy",
    }
