"""Yahoo's chart to rows: bars as they were traded, and actions as they were paid. Pure; who asks is yfinance.py.

Yahoo restates every older bar and dividend at each split. Its answer names the splits too, so they are undone here: a
price is multiplied, a volume divided, by the ratios of all splits after its day. What Yahoo's numbers cannot hold is not
made up: its prices are 32-bit floats, so what is undone keeps seven digits
(docs/decisions/0102-yahoos-splits-are-undone.md).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from trading.adapters.sources.answers import form_of, json_of
from trading.calendar import bar_label
from trading.errors import MissingColumnError, UnreadablePayloadError
from trading.ingestion.payload import Cell
from trading.ingestion.reader import Reader
from trading.intervals import Interval

_PRICES = ("open", "high", "low", "close")
_LARGEST = 1e30  # well inside a 32-bit float
_SEVEN_DIGITS = Context(prec=7, rounding=ROUND_HALF_EVEN)  # what a 32-bit float holds
# Yahoo tells prices and dividends of some exchanges in hundredths; these have capital letters of their own elsewhere.
_HUNDREDTHS = {"GBp": "GBX", "ZAc": "ZAC"}
_EVENING = 22  # no session opens so late; the library yfinance reads 22:00 and 23:00 so too


@dataclass(frozen=True)
class Split:
    """So many new shares for one old, from the day `ex_date` on."""

    ex_date: date
    ratio: Decimal


def rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the bars or the actions of an answer, with later splits undone; none where Yahoo has nothing.

    Raises:
        UnreadablePayloadError, MissingColumnError: it is not what Yahoo gives.
    """
    first, last = (datetime.fromisoformat(reader.details[name]) for name in ("from", "to"))
    read = _bars if reader.kind == "prices" else _actions
    with form_of("yfinance"):
        result = result_of(json_of(payload))
        splits = _stated_splits(reader) or splits_of(result)
        for moment, cells in read(result, reader, splits):
            if first <= moment < last:
                yield {"symbol": reader.details["symbol"], **cells}


def _bars(result: Any, reader: Reader, splits: list[Split]) -> Iterator[tuple[datetime, dict[str, Cell]]]:
    zone, is_daily = _zone(result), reader.interval == "1d"
    for moment, *numbers in _days(result, reader) if is_daily else _starts(result, reader):
        if all(number is None for number in numbers[:4]):
            continue  # a day that Yahoo lists and has nothing of
        day = _day(moment, zone)
        factor = _factor(splits, day)
        prices = {name: _undone(number, factor) for name, number in zip(_PRICES, numbers[:4], strict=True)}
        volume = None if numbers[4] is None else round(Decimal(numbers[4]) / factor, 8)
        when: Cell = day if is_daily else moment
        yield bar_label(day) if is_daily else moment, {"timestamp": when, **prices, "volume": volume}


def _days(result: Any, reader: Reader) -> Iterator[tuple[Any, ...]]:
    """Yield the daily bars: of a day that comes twice the later row, and none of a session that is not over yet.

    Yahoo appends the running day as of its last trade, beside a row of that day or instead of it.
    """
    zone, running = _zone(result), _running_day(result, reader)
    of_day = {_day(moment, zone): (moment, *numbers) for moment, *numbers in _columns(result)}
    return (bar for day, bar in of_day.items() if running is None or day < running)


def _running_day(result: Any, reader: Reader) -> date | None:
    """Return the day of Yahoo's current session, where that ends after what may be known by the end of the ask."""
    regular = (result["meta"].get("currentTradingPeriod") or {}).get("regular")
    if not regular or regular["end"] <= datetime.fromisoformat(reader.details["to"]).timestamp():
        return None
    return _day(datetime.fromtimestamp(regular["start"], UTC), _zone(result))


def _starts(result: Any, reader: Reader) -> Iterator[tuple[Any, ...]]:
    """Yield the bars within a day, without the row that Yahoo appends for its last trade: it begins inside a bar."""
    length, before = Interval.stored(reader.interval).length, None
    for moment, *numbers in _columns(result):
        if moment.second == 0 and (before is None or moment - before >= length):
            before = moment
            yield moment, *numbers


def _columns(result: Any) -> Iterator[tuple[Any, ...]]:
    """Yield (moment, open, high, low, close, volume), aligned as they came."""
    moments = [datetime.fromtimestamp(at, UTC) for at in result.get("timestamp") or []]
    quote = result["indicators"]["quote"][0]
    if missing := [name for name in (*_PRICES, "volume") if moments and name not in quote]:
        raise MissingColumnError(
            f"expected {', '.join(missing)} in Yahoo's chart, found {', '.join(quote)}; its form has changed"
        )
    columns = [quote[name] for name in (*_PRICES, "volume")] if moments else []
    if any(len(column) != len(moments) for column in columns):
        raise UnreadablePayloadError("expected as many numbers as times in Yahoo's chart, found others; ask again")
    return iter(list(zip(moments, *columns, strict=True)))


def _actions(result: Any, reader: Reader, splits: list[Split]) -> Iterator[tuple[datetime, dict[str, Cell]]]:
    currency = result["meta"].get("currency")
    for split in splits:
        yield bar_label(split.ex_date), {"kind": "split", "ex_date": split.ex_date, "ratio": split.ratio}
    for ex_date, said in _events(result, "dividends"):
        amount = _undone_amount(Decimal(said["amount"]), _factor(splits, ex_date))
        paid_in = said.get("currency") or currency
        cells = {"ex_date": ex_date, "amount": amount, "currency": _HUNDREDTHS.get(paid_in, paid_in)}
        yield bar_label(ex_date), {"kind": "dividend", **cells}


def splits_of(result: Any) -> list[Split]:
    """Return the splits of an answer, by day."""
    return [
        Split(ex_date, round(Decimal(said["numerator"]) / Decimal(said["denominator"]), 10))
        for ex_date, said in _events(result, "splits")
    ]


def _stated_splits(reader: Reader) -> list[Split]:
    stated = [item.split() for item in reader.details.get("splits", "").split(",") if item]
    return [Split(date.fromisoformat(day), Decimal(ratio)) for day, ratio in stated]


def _events(result: Any, kind: str) -> list[tuple[date, Any]]:
    """Return the events of a kind by the day, at the exchange, from which they hold."""
    zone = _zone(result)
    found = ((result.get("events") or {}).get(kind) or {}).values()
    days = ((_day(datetime.fromtimestamp(int(said["date"]), UTC), zone), said) for said in found)
    return sorted(days, key=itemgetter(0))


def _day(moment: datetime, zone: ZoneInfo) -> date:
    """Return the day that Yahoo means. After a change of the clocks it is at times off by one or two hours before it."""
    there = moment.astimezone(zone)
    is_eve = there.minute == 0 and there.hour >= _EVENING
    return there.date() + timedelta(days=is_eve)


def _factor(splits: list[Split], day: date) -> Decimal:
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


def result_of(found: Any) -> Any:
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
