"""Yahoo's chart endpoint on loopback, as yfinance documents it: `yahoo(listings)` is the `answer` of a `VendorServer`.

A listing is told as traded; the server restates it as Yahoo does: prices divided, volumes multiplied by the ratios of
every later split, dividends divided and rounded to six places, prices written as 32-bit floats in 64-bit decimals. An
event is in the answer only if it lies in the asked range. A symbol that is not there is 404 with Yahoo's words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from vendor_server import Reply, Request, json_reply

NEW_YORK = ZoneInfo("America/New_York")
_MOST_DAYS = {"1m": 8, "5m": 60, "15m": 60, "1h": 730}
Bar = tuple[date | datetime, float, float, float, float, int]  # as traded: day or start, open, high, low, close, volume


@dataclass
class Listing:
    """A symbol as it was traded; `splits` is day -> new shares for one old, `dividends` day -> dollars as paid."""

    bars: Sequence[Bar]
    splits: dict[date, float] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    intraday: dict[str, Sequence[Bar]] = field(default_factory=dict)
    zone: str = "America/New_York"
    currency: str = "USD"
    session: tuple[datetime, datetime] | None = None  # from when to when the current one trades


def yahoo(listings: dict[str, Listing]) -> Callable[[Request], Reply]:
    """Return the answers of the endpoint `/v8/finance/chart/SYMBOL`."""

    def answer(request: Request) -> Reply:
        symbol = request.path.rpartition("/")[2]
        if not request.path.startswith("/v8/finance/chart/") or symbol not in listings:
            return json_reply(_error("Not Found", "No data found, symbol may be delisted"), 404)
        interval = request.query["interval"]
        first, last = int(request.query["period1"]), int(request.query["period2"])
        if last - first > _MOST_DAYS.get(interval, 10**6) * 86_400:
            return json_reply(_error("Unprocessable Entity", f"{interval} data not available: range too long"), 422)
        return json_reply(
            {"chart": {"result": [_result(symbol, listings[symbol], interval, first, last)], "error": None}}
        )

    return answer


def _result(symbol: str, listing: Listing, interval: str, first: int, last: int) -> dict[str, Any]:
    bars = listing.bars if interval == "1d" else listing.intraday.get(interval, ())
    inside = [bar for bar in bars if first <= _moment(bar[0]) < last]
    meta: dict[str, Any] = {
        "currency": listing.currency,
        "symbol": symbol,
        "exchangeName": "NMS",
        "exchangeTimezoneName": listing.zone,
    }
    if listing.session:
        start, end = (int(moment.timestamp()) for moment in listing.session)
        meta["currentTradingPeriod"] = {"regular": {"start": start, "end": end, "gmtoffset": -14400}}
    found: dict[str, Any] = {"meta": meta | {"dataGranularity": interval, "gmtoffset": -14400}}
    quote: dict[str, Any] = {}
    if inside:
        found["timestamp"] = [_moment(bar[0]) for bar in inside]
        factors = [_factor(listing, bar[0]) for bar in inside]
        for at, name in enumerate(("open", "high", "low", "close"), start=1):
            quote[name] = [_float32(bar[at] / factor) for bar, factor in zip(inside, factors, strict=True)]
        quote["volume"] = [round(bar[5] * factor) for bar, factor in zip(inside, factors, strict=True)]
    found["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": quote.get("close", [])}]}
    if events := _events(listing, first, last):
        found["events"] = events
    return found


def _events(listing: Listing, first: int, last: int) -> dict[str, Any]:
    splits = {
        str(_moment(day)): {"date": _moment(day), "numerator": ratio, "denominator": 1.0, "splitRatio": f"{ratio:g}:1"}
        for day, ratio in listing.splits.items()
        if first <= _moment(day) < last
    }
    dividends = {
        str(_moment(day)): {"amount": round(amount / _factor(listing, day), 6), "date": _moment(day)}
        for day, amount in listing.dividends.items()
        if first <= _moment(day) < last
    }
    return {name: found for name, found in (("splits", splits), ("dividends", dividends)) if found}


def _factor(listing: Listing, when: date) -> float:
    day = when.date() if isinstance(when, datetime) else when
    factor = 1.0
    for ex_date, ratio in listing.splits.items():
        factor *= ratio if ex_date > day else 1.0
    return factor


def _moment(when: date) -> int:
    """A daily bar stands at the opening of its session."""
    if not isinstance(when, datetime):
        when = datetime.combine(when, time(9, 30), NEW_YORK)
    return int(when.astimezone(UTC).timestamp())


def _float32(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


def _error(code: str, description: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": description}}}
