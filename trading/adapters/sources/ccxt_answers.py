"""What an exchange answered, read by ccxt itself: the method that asks finds the stored answer where the network was.

Why so, and what guards it: docs/decisions/0106. How an exchange is asked is ccxt.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from trading.errors import UnreadablePayloadError
from trading.ingestion.payload import Cell
from trading.ingestion.reader import Reader
from trading.intervals import Interval

if TYPE_CHECKING:
    from ccxt.base.exchange import Exchange

Bar = list[Any]  # milliseconds since 1970, then open, high, low, close and volume as text

_MILLISECOND = timedelta(milliseconds=1)
_DAY = 86_400_000  # milliseconds
_SINCE_EVER, _LONG = 1, 1000  # without them ccxt cuts an answer to a default of the exchange's
_START = datetime(1970, 1, 1, tzinfo=UTC)


def exchange_of(name: str) -> Exchange:
    """Return ccxt's exchange with spot pairs only and numbers as the text that came."""
    import ccxt

    exchange = getattr(ccxt, name)({"enableRateLimit": False})
    exchange.number = str
    listed = exchange.options.get("fetchMarkets")
    if isinstance(listed, dict) and "types" in listed:
        exchange.options["fetchMarkets"] = listed | {"types": ["spot"]}
    elif isinstance(listed, list) and "spot" in listed:
        exchange.options["fetchMarkets"] = ["spot"]
    return exchange


def rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the bars of a page.

    Raises:
        UnreadablePayloadError: the exchange's answer has another form than ccxt knows, or its days are not days of UTC.
    """
    is_daily = reader.interval.endswith("d")
    bars = bars_of(payload, reader)
    if not bars:  # an answer without bars is never made a page
        raise UnreadablePayloadError(f"expected bars of {reader.details['symbol']}, found none; its format has changed")
    for milliseconds, *prices, volume in bars:
        begins = moment_of(milliseconds)
        if is_daily and milliseconds % _DAY:
            raise UnreadablePayloadError(
                f"expected days of {reader.details['exchange']} that begin at 00:00 UTC, found one of {begins:%H:%M}, "
                "which is over later than our day; ask for 1h and make days of them"
            )
        yield {
            "symbol": reader.details["symbol"],
            "timestamp": begins.date() if is_daily else begins,
            **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
            "volume": volume,
        }


def bars_of(payload: bytes, reader: Reader) -> list[Bar]:
    """Return the bars of a stored answer by ccxt's own reading, without one that was not over at the end of the ask."""
    import ccxt

    told = reader.details
    value = json_with_texts(payload)
    exchange = _answering(value, reader)
    since, limit, until = int(told["since"]), int(told["limit"]), int(told["until"])
    try:
        bars = exchange.fetch_ohlcv(told["symbol"], reader.interval, since, limit)
        if any(all(number is None for number in column) for column in zip(*bars, strict=True)):
            raise ValueError("bars without a time, a price or a volume")
        everything = bars or exchange.fetch_ohlcv(told["symbol"], reader.interval)
        if not everything and not _says_that_there_are_none(value):
            raise ValueError("no bars where they were")
    except (ccxt.BaseError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnreadablePayloadError(
            f"expected bars of {told['symbol']} as {told['exchange']} gives them, found another form "
            f"({beginning(error)}); its format has changed"
        ) from error
    return [bar for bar in bars if bar[0] is not None and since <= bar[0] <= until]


@dataclass(frozen=True)
class Newest:
    """An answer that begins later than it was asked to and goes up to when it was given; moments in milliseconds.

    Attributes:
        is_full: It has as many bars as were asked for, so there are others before its first.
    """

    first: int
    last: int
    is_full: bool


def newest_of(payload: bytes, reader: Reader, said_at: datetime) -> Newest | None:
    """Return what an answer given at `said_at` holds, if these are the newest bars and not those from `since` on.

    Some exchanges do not look at `since`, others keep so many bars and no more, and some pairs are younger than the ask.
    None for any other answer. It must be one that `bars_of` reads.
    """
    told, step = reader.details, Interval.parse(reader.interval).length // _MILLISECOND
    begins = begins_of(payload, reader)
    if not begins or begins[0] < int(told["since"]) + 2 * step:
        return None
    # A pair that is seldom traded has no bar of a quiet time: its newest may be older by as much as others are apart.
    apart = max((after - before for before, after in pairwise(begins)), default=step)
    if begins[-1] + apart + step < milliseconds_of(said_at):
        return None
    return Newest(begins[0], begins[-1], len(begins) >= int(told["limit"]))


def begins_of(payload: bytes, reader: Reader) -> list[int]:
    """Return the starts of all bars of an answer, whatever was asked for, in order and in milliseconds."""
    exchange, limit = _answering(json_with_texts(payload), reader), max(_LONG, int(reader.details["limit"]))
    found = exchange.fetch_ohlcv(reader.details["symbol"], reader.interval, _SINCE_EVER, limit)
    return [bar[0] for bar in found if bar[0] is not None]


def _answering(value: Any, reader: Reader) -> Exchange:
    """Return the exchange with the one market of the reader, and the stored answer where the network was."""
    told = reader.details
    exchange = exchange_of(told["exchange"])
    base, _, quote = told["symbol"].partition("/")
    exchange.set_markets([_spot_market(exchange, told["market"], told["symbol"], base, quote)])
    exchange.fetch = lambda *_, **__: value
    return exchange


def _says_that_there_are_none(value: Any) -> bool:
    """Tell whether an answer says "no bars": an empty list or a null in it, and no list of lists or of objects.

    ccxt reads a name that it does not know as no bars too.
    """
    parts = list(_parts(value))
    holds_rows = any(isinstance(part, list) and any(isinstance(row, list | dict) for row in part) for part in parts)
    return not holds_rows and any(part in ([], None) for part in ([value] if value == [] else parts[1:]))


def _parts(value: Any) -> Iterator[Any]:
    """Yield the value and everything inside its objects."""
    yield value
    if isinstance(value, dict):
        for part in value.values():
            yield from _parts(part)


def _spot_market(exchange: Exchange, market: str, symbol: str, base: str, quote: str) -> Any:
    kinds = dict.fromkeys(("swap", "future", "option", "contract", "margin"), False) | {"spot": True, "type": "spot"}
    named = {"id": market, "symbol": symbol, "base": base, "quote": quote, "baseId": base, "quoteId": quote}
    return exchange.safe_market_structure({**named, **kinds})


def json_with_texts(body: bytes) -> Any:
    """Return JSON whose decimals are text: ccxt keeps the digits of a text, not of a float."""
    try:
        return json.loads(body, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise UnreadablePayloadError(
            f"expected whole JSON, found {len(body)} bytes that are none; ask again"
        ) from error


def beginning(error: Exception) -> str:
    """Return an error's name and the first words of what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def milliseconds_of(moment: datetime) -> int:
    """Return a moment as ccxt writes it."""
    return (moment - _START) // _MILLISECOND


def moment_of(milliseconds: int) -> datetime:
    """Return what ccxt writes as a moment."""
    return _START + milliseconds * _MILLISECOND
