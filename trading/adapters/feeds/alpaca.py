"""Alpaca's stream of market data: minute bars and their corrections, trades and their corrections and cancels.

Days are told every minute and never as finished, so they are polled (docs/decisions/0124). A frame is a list of
messages; each is kept in its own words, one line.
Source: docs.alpaca.markets, "Real-time Stock Data" and "WebSocket Stream" (authentication, subscription, error codes).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from trading.adapters.feeds import alpaca_trades
from trading.adapters.feeds.lines import parts_of_list, values_of_lines
from trading.adapters.feeds.stream import Stream, Subscription, Talk
from trading.adapters.sources.alpaca import regular_session_of
from trading.adapters.sources.answers import ConnectionCut, form_of, json_of
from trading.adapters.sources.vendor import Vendor
from trading.calendar import exchange_sessions
from trading.errors import CredentialsError, TradeloomError, VendorRefusedError
from trading.feed.messages import Message
from trading.ingestion.payload import Cell
from trading.ingestion.reader import Reader

_KEY, _SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
_INTERVAL = "1m"
_BARS = ("b", "u")
_BAR = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
# auth failed, v2 not enabled, insufficient subscription
_NOT_LET_IN = (402, 408, 409)
# invalid syntax, already authenticated, symbol limit exceeded, invalid subscribe action for this feed
_WRONGLY_ASKED = (400, 403, 405, 410)


def _greet(talk: Talk, wanted: Subscription, secrets: Mapping[str, str]) -> None:
    _expect(talk.hear(), "connected")
    talk.send(json.dumps({"action": "auth", "key": secrets[_KEY], "secret": secrets[_SECRET]}))
    _expect(talk.hear(), "authenticated")
    asked: dict[str, Any] = {"action": "subscribe"}
    if "prices" in wanted.kinds:
        asked |= {"bars": list(wanted.symbols), "updatedBars": list(wanted.symbols)}
    if "trades" in wanted.kinds:
        asked["trades"] = list(wanted.symbols)
    talk.send(json.dumps(asked))
    told = json_of(talk.hear().encode())
    _refuse_errors(told)
    if not any(one.get("T") == "subscription" for one in told):
        raise ConnectionCut("no word of the subscription")


def _expect(frame: str, word: str) -> None:
    told = json_of(frame.encode())
    with form_of("alpaca"):
        _refuse_errors(told)
        if not any(one.get("T") == "success" and one.get("msg") == word for one in told):
            raise ConnectionCut(f"another word than {word}")


def _refuse_errors(told: list[dict[str, Any]]) -> None:
    for one in told:
        if one.get("T") == "error":
            raise _error_of(int(one.get("code", 0)), str(one.get("msg", "")))


def _error_of(code: int, said: str) -> TradeloomError | ConnectionCut:
    """Return what an error of the stream means: 401, 404, 406, 407 and 500 may be well after connecting anew."""
    what = f"alpaca's stream: {code} {said}"
    if code in _NOT_LET_IN:
        return CredentialsError(f"expected to be let in, found {what}; check {_KEY} and {_SECRET} and the subscription")
    if code in _WRONGLY_ASKED:
        return VendorRefusedError(f"expected to be subscribed, found {what}; ask it for what it has")
    return ConnectionCut(what)


def _read(frame: str, wanted: Subscription) -> list[Message]:
    found = []
    with form_of("alpaca"):
        for value, line in parts_of_list(frame):
            kind = value["T"]
            if kind == "error":
                raise _error_of(int(value["code"]), str(value["msg"]))
            if kind in _BARS and "prices" in wanted.kinds:
                found += _bar_message(value, line)
            elif kind in _TRADES and "trades" in wanted.kinds:
                found.append(_trade_message(value, line))
    return found


def _bar_message(value: Mapping[str, Any], line: str) -> list[Message]:
    """A bar outside the regular session is none; Alpaca goes on with those of the evening of a half day."""
    at = regular_session_of(value["t"])
    closes_at = None if at is None else _closes_at(at.date())
    if at is None or closes_at is None or at >= closes_at:
        return []
    return [Message("prices", value["S"], at, value["t"], line, corrects=value["T"] == "u")]


@lru_cache(maxsize=8)
def _closes_at(day: date) -> datetime | None:
    """Return when the exchange closes on a day; None where it does not open."""
    sessions = exchange_sessions("XNYS", day, day)
    return sessions[0].closes_at if sessions else None


def _trade_message(value: Mapping[str, Any], line: str) -> Message:
    kind, at = value["T"], alpaca_trades.moment(value["t"])
    return Message("trades", value["S"], at, f"{kind} {_trade_id(value, _TRADES[kind])}", line, corrects=kind != "t")


# The field that holds the id of a trade, of its correction, of its cancellation.
_TRADES = {"t": "i", "c": "ci", "x": "i"}


def _trade_id(value: Mapping[str, Any], field: str) -> str:
    return alpaca_trades.trade_id(value["t"], value.get("x", ""), value[field])


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    if reader.format == alpaca_trades.FORMAT:
        yield from alpaca_trades.rows(payload)
        return
    with form_of("alpaca"):
        for value in values_of_lines(payload):
            yield from _bar(value) if reader.kind == "prices" else _trades(value)


def _bar(value: Mapping[str, Any]) -> Iterator[Mapping[str, Cell]]:
    cells = {ours: value.get(theirs) for theirs, ours in _BAR.items()}
    yield {"symbol": value["S"], "timestamp": regular_session_of(value["t"]), **cells}


def _trades(value: Mapping[str, Any]) -> Iterator[Mapping[str, Cell]]:
    about = {"symbol": value["S"], "timestamp": alpaca_trades.moment(value["t"])}
    if value["T"] == "c":  # the first print is withdrawn, the corrected one comes under its own id
        yield {**about, "trade_id": _trade_id(value, "oi"), "price": value["op"], "size": Decimal(0)}
        yield {**about, "trade_id": _trade_id(value, "ci"), "price": value["cp"], "size": value["cs"]}
        return
    size = Decimal(0) if value["T"] == "x" else value["s"]
    yield {**about, "trade_id": _trade_id(value, "i"), "price": value["p"], "size": size}


_FEEDS = {"alpaca": "delayed_sip", "alpaca:iex": "iex", "alpaca:realtime": "sip"}
_PAGES_FEED = {"alpaca": "sip", "alpaca:iex": "iex", "alpaca:realtime": "sip"}


def stream(vendor: Vendor) -> Stream:
    """Return the stream that tells the bars of this vendor as early as its lag says: delayed by 15 minutes, or at once."""
    return Stream(
        vendor=vendor,
        url=f"wss://stream.data.alpaca.markets/v2/{_FEEDS[vendor.name]}",
        intervals=(_INTERVAL,),
        kinds=("prices", "trades"),
        format="alpaca.stream",
        greet=_greet,
        read=_read,
        rows=_rows,
        trades=alpaca_trades.pages_of(vendor, _PAGES_FEED[vendor.name]),
    )
