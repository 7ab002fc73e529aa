"""The vendor `yfinance`: Yahoo's chart endpoint through the session of the library yfinance, its bodies untouched.

Yahoo has no raw prices: it restates every older bar and dividend at each split. Its answer names the splits too, so
they are undone here: a price is multiplied, a volume divided, by the ratios of all splits after its day. Nothing that
was published changes at the next split then. What Yahoo's numbers cannot hold is not made up: its prices are 32-bit
floats, so what is undone keeps seven digits (docs/decisions/0102-yahoos-splits-are-undone.md).

Not offered: `30m` (Yahoo answers with other bars) and `1w`, `1mo` (a split inside a bar cannot be undone; resample).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from operator import itemgetter
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from trading.adapters.sources.answers import Answer, ConnectionCut, json_of
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.calendar import bar_label
from trading.errors import MissingColumnError, UnreadablePayloadError, VendorRefusedError
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Page
from trading.ingestion.reader import Reader

_FORMAT = "yfinance.chart"
_PRICES = ("open", "high", "low", "close")
_LARGEST = 1e30  # well inside a 32-bit float
_FAR = 9_999_999_999  # seconds since 1970; later than any split that can be in the answer
_SEVEN_DIGITS = Context(prec=7, rounding=ROUND_HALF_EVEN)  # what a 32-bit float holds
_NOT_THERE = (400, 404, 422)
# How much one answer holds. Daily bars always come up to now, so that every later split is among their events.
_AT_ONCE = {
    "1m": timedelta(days=7),
    "5m": timedelta(days=59),
    "15m": timedelta(days=59),
    "1h": timedelta(days=729),
}


@dataclass(frozen=True)
class _Split:
    ex_date: date
    ratio: Decimal


def _pages(ask: Ask, resume_from: str | None, calls: Calls) -> Iterator[Page]:
    """Yield a page per symbol and stretch of time; the cursor is the symbol's place and where its next page begins."""
    place, start = _place(ask, resume_from)
    client = _Client(calls)
    for at in range(place, len(ask.symbols)):
        symbol = ask.symbols[at]
        is_daily = ask.kind == "actions" or ask.interval == "1d"
        splits = "" if is_daily else client.splits_since(symbol, start)
        while start < ask.end:
            end = ask.end if is_daily else min(start + _AT_ONCE[ask.interval], ask.end)
            body = client.chart(symbol, "1d" if is_daily else ask.interval, start, None if is_daily else end)
            details = {"symbol": symbol, "from": start.isoformat(), "to": end.isoformat()}
            reader = ask.reader(_FORMAT, "raw", **details | ({"splits": splits} if splits else {}))
            cursor = f"{at + 1}" if end == ask.end else f"{at} {end.isoformat()}"
            yield Page(body, f"chart {symbol} {ask.kind} {ask.interval} {start:%Y-%m-%d}", reader, cursor)
            start = end
        start = ask.start


def _place(ask: Ask, cursor: str | None) -> tuple[int, datetime]:
    place, _, start = (cursor or "0").partition(" ")
    return int(place), datetime.fromisoformat(start) if start else ask.start


class _Client:
    """Yahoo behind the session that yfinance makes: it looks like a browser, which Yahoo asks for."""

    def __init__(self, calls: Calls) -> None:
        from yfinance._http import new_session

        self._calls = calls
        self._session: Any = new_session()
        calls.closing(self._session.close)

    def chart(self, symbol: str, interval: str, start: datetime, end: datetime | None) -> bytes:
        """Return the chart of a symbol as it came; without `end` up to now, with its splits and dividends."""
        params = {
            "period1": str(int(start.timestamp())),
            "period2": str(int(end.timestamp()) if end else _FAR),
            "interval": interval,
            "includePrePost": "false",
            "events": "div,splits",
        }
        path = f"/v8/finance/chart/{quote(symbol, safe='')}"
        answer = self._calls.attempt(lambda: self._once(path, params), path, Answer.value, accepts=_NOT_THERE)
        _result(answer.value())
        if not answer.is_good and not _says_that_nothing_is_there(answer):
            raise VendorRefusedError(f"expected the chart of {symbol}, found {_reason(answer.value())}")
        return answer.body

    def splits_since(self, symbol: str, start: datetime) -> str:
        """Return the splits from `start` up to now, as a reader keeps them: `2020-08-31 4,2024-06-10 10`."""
        found = _splits(_result(json_of(self.chart(symbol, "1d", start, None))))
        return ",".join(f"{split.ex_date} {split.ratio}" for split in found)

    def _once(self, path: str, params: Mapping[str, str]) -> Answer:
        from yfinance._http import requests

        try:
            got = self._session.get(self._calls.base_url + path, params=params, timeout=self._calls.patience.to_answer)
        except requests.exceptions.RequestException as error:
            raise ConnectionCut(f"a cut connection ({type(error).__name__})") from error
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, bytes(got.content))


def _says_that_nothing_is_there(answer: Answer) -> bool:
    return answer.status == 404 or "Data doesn't exist" in _reason(answer.value())


def _reason(found: Any) -> str:
    return str((found["chart"].get("error") or {}).get("description"))


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the bars or the actions of an answer, with later splits undone; none where Yahoo has nothing."""
    result = _result(json_of(payload))
    splits = _stated_splits(reader) or _splits(result)
    first, last = (datetime.fromisoformat(reader.details[name]) for name in ("from", "to"))
    rows = _bars if reader.kind == "prices" else _actions
    for moment, cells in rows(result, reader, splits):
        if first <= moment < last:
            yield {"symbol": reader.details["symbol"], **cells}


def _bars(result: Any, reader: Reader, splits: list[_Split]) -> Iterator[tuple[datetime, dict[str, Cell]]]:
    zone, is_daily = _zone(result), reader.interval == "1d"
    for at, *numbers in _columns(result):
        if all(number is None for number in numbers[:4]):
            continue  # a day that Yahoo lists and has nothing of
        moment = datetime.fromtimestamp(at, UTC)
        day = moment.astimezone(zone).date()
        factor = _factor(splits, day)
        prices = {name: _undone(number, factor) for name, number in zip(_PRICES, numbers[:4], strict=True)}
        volume = None if numbers[4] is None else round(Decimal(numbers[4]) / factor, 8)
        when: Cell = day if is_daily else moment
        yield bar_label(day) if is_daily else moment, {"timestamp": when, **prices, "volume": volume}


def _columns(result: Any) -> Iterator[tuple[Any, ...]]:
    """Yield (seconds since 1970, open, high, low, close, volume), aligned as they came."""
    moments = result.get("timestamp") or []
    quote = result["indicators"]["quote"][0]
    if missing := [name for name in (*_PRICES, "volume") if moments and name not in quote]:
        raise MissingColumnError(
            f"expected {', '.join(missing)} in Yahoo's chart, found {', '.join(quote)}; its form has changed"
        )
    columns = [quote[name] for name in (*_PRICES, "volume")] if moments else []
    if any(len(column) != len(moments) for column in columns):
        raise UnreadablePayloadError("expected as many numbers as times in Yahoo's chart, found others; ask again")
    return iter(list(zip(moments, *columns, strict=True)))


def _actions(result: Any, reader: Reader, splits: list[_Split]) -> Iterator[tuple[datetime, dict[str, Cell]]]:
    currency = result["meta"].get("currency")
    for split in splits:
        yield bar_label(split.ex_date), {"kind": "split", "ex_date": split.ex_date, "ratio": split.ratio}
    for ex_date, said in _events(result, "dividends"):
        amount = _undone_amount(Decimal(said["amount"]), _factor(splits, ex_date))
        cells = {"ex_date": ex_date, "amount": amount, "currency": said.get("currency") or currency}
        yield bar_label(ex_date), {"kind": "dividend", **cells}


def _splits(result: Any) -> list[_Split]:
    return [
        _Split(ex_date, round(Decimal(said["numerator"]) / Decimal(said["denominator"]), 10))
        for ex_date, said in _events(result, "splits")
    ]


def _stated_splits(reader: Reader) -> list[_Split]:
    stated = [item.split() for item in reader.details.get("splits", "").split(",") if item]
    return [_Split(date.fromisoformat(day), Decimal(ratio)) for day, ratio in stated]


def _events(result: Any, kind: str) -> list[tuple[date, Any]]:
    """Return the events of a kind by the day, at the exchange, from which they hold."""
    zone = _zone(result)
    found = ((result.get("events") or {}).get(kind) or {}).values()
    return sorted(((datetime.fromtimestamp(int(said["date"]), zone).date(), said) for said in found), key=itemgetter(0))


def _factor(splits: list[_Split], day: date) -> Decimal:
    factor = Decimal(1)
    for split in splits:
        if split.ex_date > day:
            factor *= split.ratio
    return factor


def _undone(number: Any, factor: Decimal) -> Decimal | None:
    if number is None:
        return None
    shown = _shortest(Decimal(number))
    return round(shown if factor == 1 else _SEVEN_DIGITS.multiply(shown, factor), 6)


def _shortest(number: Decimal) -> Decimal:
    """Return the shortest decimal of a 32-bit float that was written as a 64-bit one: 129.03999328613281 is 129.04."""
    wide = float(number)
    if not abs(wide) < _LARGEST or _narrow(wide) != wide:
        return number
    texts = (f"{wide:.{digits}g}" for digits in range(6, 10))  # nine digits tell any 32-bit float from the next
    return next((Decimal(text) for text in texts if _narrow(float(text)) == wide), number)


def _narrow(wide: float) -> float:
    return float(struct.unpack("f", struct.pack("f", wide))[0])


def _undone_amount(amount: Decimal, factor: Decimal) -> Decimal:
    """Yahoo rounds to six places after its division, so the product has as many fewer as the factor has digits."""
    if factor == 1:
        return amount
    places = max(2, 6 - max(0, factor.adjusted() + 1))
    return round(amount * factor, places)


_NOTHING: dict[str, Any] = {"timestamp": [], "indicators": {"quote": [{}]}}


def _result(found: Any) -> Any:
    """Return the one result of a chart; one of nothing where Yahoo says that it has none.

    Raises:
        UnreadablePayloadError: the answer has another form.
    """
    try:
        chart = found["chart"]
        if chart["result"]:
            result = chart["result"][0]
            ZoneInfo(result["meta"]["exchangeTimezoneName"])
            return result if result["indicators"]["quote"] else result | _NOTHING
        if chart["error"]["description"]:
            return {"meta": {"exchangeTimezoneName": "UTC"}, **_NOTHING}
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise UnreadablePayloadError(
            f"expected Yahoo's chart, found another form ({type(error).__name__}: {error}); it has changed"
        ) from error
    raise UnreadablePayloadError("expected a result or an error in Yahoo's chart, found neither; it has changed")


def _zone(result: Any) -> ZoneInfo:
    return ZoneInfo(result["meta"]["exchangeTimezoneName"])


VENDOR = Vendor(
    name="yfinance",
    kinds=("prices", "actions"),
    base_url="https://query2.finance.yahoo.com",
    requests_per_minute=60,  # Yahoo states none; what the library's users report to be safe
    lag=timedelta(minutes=20),
    pages=_pages,
    rows=_rows,
    intervals=("1m", "5m", "15m", "1h", "1d"),
    reaches_back={
        "1m": timedelta(days=29),
        "5m": timedelta(days=59),
        "15m": timedelta(days=59),
        "1h": timedelta(days=729),
    },
)
