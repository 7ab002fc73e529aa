"""Binance's streams of spot pairs: finished candles and trades, by its own protocol.

ccxt.pro watches the same streams, but gives them as floats and without the words that came (docs/decisions/0123). A pair
is BTC/USDT here and as in `ccxt:binance`, btcusdt there; a candle counts once Binance says that it is closed.
Source: developers.binance.com, "WebSocket Streams" (live subscribing, trade streams, kline streams).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from trading.adapters.feeds import binance_trades
from trading.adapters.feeds.lines import parts_of_list, values_of_lines
from trading.adapters.feeds.stream import Stream, Subscription, Talk
from trading.adapters.sources.answers import ConnectionCut, form_of, json_of
from trading.adapters.sources.vendor import Vendor
from trading.errors import VendorRefusedError
from trading.feed.messages import Message
from trading.ingestion.payload import Cell
from trading.ingestion.reader import Reader

_INTERVALS = ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
_BAR = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
_AT_ONCE = 200  # names in one request, of which a connection may send five a second
_MOST_STREAMS = 1024  # of one connection
_START = datetime(1970, 1, 1, tzinfo=UTC)


def _greet(talk: Talk, wanted: Subscription, secrets: Mapping[str, str]) -> None:
    del secrets  # market data is everybody's
    names = [f"{_id(symbol).lower()}@{channel}" for symbol in wanted.symbols for channel in _channels(wanted)]
    if len(names) > _MOST_STREAMS:
        raise VendorRefusedError(
            f"expected at most {_MOST_STREAMS} streams of binance in one connection, found {len(names)}; ask for fewer"
        )
    for number, first in enumerate(range(0, len(names), _AT_ONCE), start=1):
        params = names[first : first + _AT_ONCE]
        talk.send(json.dumps({"method": "SUBSCRIBE", "params": params, "id": number}))
        _expect_answer(talk, number)


def _expect_answer(talk: Talk, number: int) -> None:
    """What is subscribed already may be told before the answer comes; it will be asked for as missed."""
    for _ in range(10_000):
        told = json_of(talk.hear().encode())
        if isinstance(told, dict) and ("error" in told or "code" in told):
            error = told.get("error") or told
            raise VendorRefusedError(f"expected binance to subscribe us, found {error.get('code')} {error.get('msg')}")
        if isinstance(told, dict) and told.get("id") == number and told.get("result") is None:
            return
    raise ConnectionCut("no answer to a subscription")


def _channels(wanted: Subscription) -> list[str]:
    named = {"prices": f"kline_{wanted.interval}", "trades": "trade"}
    return [named[kind] for kind in wanted.kinds]


def _id(symbol: str) -> str:
    return symbol.replace("/", "")


@lru_cache(maxsize=64)
def _pairs(symbols: tuple[str, ...]) -> dict[str, str]:
    return {_id(symbol): symbol for symbol in symbols}


def _read(frame: str, wanted: Subscription) -> list[Message]:
    pairs = _pairs(wanted.symbols)
    found = []
    with form_of("binance"):
        for value, line in parts_of_list(frame):
            told = value.get("data", value)
            if told.get("e") == "kline" and told["k"]["x"] and told["k"]["i"] == wanted.interval:
                at = _moment(told["k"]["t"])
                found.append(Message("prices", pairs[told["s"]], at, str(told["k"]["t"]), line))
            elif told.get("e") == "trade":
                at, number = _moment(told["T"]), int(told["t"])
                found.append(Message("trades", pairs[told["s"]], at, str(number), line, sequence=number))
    return found


def _moment(milliseconds: int) -> datetime:
    return _START + timedelta(milliseconds=milliseconds)


def _details(symbols: Iterable[str]) -> dict[str, str]:
    return {"exchange": "binance", "pairs": " ".join(sorted(symbols))}


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    if reader.format == binance_trades.FORMAT:
        yield from binance_trades.rows(payload, reader)
        return
    pairs = _pairs(tuple(reader.details["pairs"].split()))
    with form_of("binance"):
        for value in values_of_lines(payload):
            told = value.get("data", value)
            yield (_bar if reader.kind == "prices" else _trade)(told, pairs)


def _bar(told: Mapping[str, Any], pairs: Mapping[str, str]) -> Mapping[str, Cell]:
    candle, begins = told["k"], _moment(told["k"]["t"])
    at = begins.date() if candle["i"].endswith("d") else begins
    return {"symbol": pairs[told["s"]], "timestamp": at, **{ours: candle.get(theirs) for theirs, ours in _BAR.items()}}


def _trade(told: Mapping[str, Any], pairs: Mapping[str, str]) -> Mapping[str, Cell]:
    return {
        "symbol": pairs[told["s"]],
        "timestamp": _moment(told["T"]),
        "trade_id": str(told["t"]),
        "price": told["p"],
        "size": told["q"],
        "side": "sell" if told["m"] else "buy",  # `m`: the buyer was the maker
    }


def stream(vendor: Vendor) -> Stream:
    """Return the stream of Binance's spot pairs."""
    return Stream(
        vendor=vendor,
        url="wss://stream.binance.com:9443/stream",
        intervals=_INTERVALS,
        kinds=("prices", "trades"),
        format="ccxt.stream",
        greet=_greet,
        read=_read,
        rows=_rows,
        details=_details,
        trades=binance_trades.pages_of(vendor),
    )
