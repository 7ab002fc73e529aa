"""The vendor `ccxt:EXCHANGE`: bars of spot pairs from any exchange that the library ccxt knows, such as `ccxt:kraken`.

ccxt says how an exchange is asked and what its answer means; `Calls` sends the requests. What is stored is the
exchange's own answer. It is read by the same method of ccxt, which finds the stored answer where the network was
(docs/decisions/0106), so a page gives the same bars whenever it is read.
Source: https://docs.ccxt.com, "OHLCV Candlestick Charts".
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trading.adapters.sources.answers import Answer, ConnectionCut
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.errors import CredentialsError, InputError, UnreadablePayloadError, VendorRefusedError
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Page
from trading.ingestion.reader import Reader
from trading.intervals import Interval

if TYPE_CHECKING:
    from ccxt.base.exchange import Exchange

Bar = list[Any]  # milliseconds since 1970, then open, high, low, close and volume as text

_PAGE = 500  # bars of one answer, where ccxt does not know the exchange's own limit
_MILLISECOND = timedelta(milliseconds=1)
_START = datetime(1970, 1, 1, tzinfo=UTC)


class _NotGood(Exception):
    """The exchange answered with a status that is no success; never leaves this module."""


def variant(exchange: str) -> Vendor:
    """Return the exchange as a vendor, with the limits that ccxt knows of it.

    Raises:
        InputError: ccxt knows no such exchange, or it gives no bars.
    """
    import ccxt

    if exchange not in ccxt.exchanges:
        raise InputError(
            f"expected an exchange that ccxt knows, such as ccxt:binance or ccxt:kraken, found ccxt:{exchange}"
        )
    known = getattr(ccxt, exchange)()
    if known.has.get("fetchOHLCV") is not True:
        raise InputError(f"expected an exchange that gives bars, found ccxt:{exchange}, which gives none")
    return Vendor(
        name=f"ccxt:{exchange}",
        kinds=("prices",),
        base_url="",
        requests_per_minute=max(1, int(60_000 / (known.rateLimit or 1000))),
        lag=timedelta(0),
        pages=partial(_pages, exchange=exchange),
        rows=_rows,
        intervals=tuple(name for name in known.timeframes if _is_offered(name)),
        page_size=_page_size(known),
        calendar="24/7",
    )


def _is_offered(name: str) -> bool:
    """Weeks and months begin on other days at other exchanges; they are made of days here (docs/sources.md)."""
    if name[-1:] not in ("m", "h", "d"):
        return False
    try:
        Interval.parse(name)
    except InputError:
        return False
    return True


def _page_size(exchange: Exchange) -> int:
    spot = (exchange.features or {}).get("spot") or {}
    return int((spot.get("fetchOHLCV") or {}).get("limit") or _PAGE)


def _pages(ask: Ask, cursor: str | None, calls: Calls, exchange: str) -> Iterator[Page]:
    """Yield the pages of each symbol in turn; a cursor is the symbol and the first millisecond not asked for yet."""
    client = _Client(exchange, calls)
    symbol, _, since = (cursor or "").rpartition(" ")
    if cursor and symbol not in ask.symbols:
        raise InputError(f"expected to go on with one of {', '.join(ask.symbols)}, found {symbol}; begin anew")
    for name in ask.symbols[ask.symbols.index(symbol) if cursor else 0 :]:
        yield from _pages_of(ask, name, int(since) if name == symbol else _milliseconds(ask.start), client)


def _pages_of(ask: Ask, symbol: str, since: int, client: _Client) -> Iterator[Page]:
    """Yield the pages of one symbol, as far as whole bars go before the end of the ask.

    An empty answer is no end: many exchanges give the bars of a window, and a pair may be younger than the window.
    """
    step = Interval.parse(ask.interval).length // _MILLISECOND
    end = _milliseconds(ask.end)
    while since + step <= end:
        limit = min(client.page_size, (end - since) // step)
        body, reader = client.bars(ask, symbol, since, limit, end - step)
        found = [bar[0] for bar in _bars(body, reader)]
        after = max(found) + step if found else since + limit * step
        if found:
            yield Page(body, f"bars {symbol} {ask.interval} {_moment(since):%Y-%m-%d}", reader, f"{symbol} {after}")
        since = max(after, since + step)


class _Client:
    """One exchange through ccxt, every request sent by `calls`."""

    def __init__(self, name: str, calls: Calls) -> None:
        """Nothing is sent before the first question."""
        self.name = name
        self._calls = calls
        self._exchange = _exchange(name)
        self._exchange.fetch = self._fetch
        self._exchange.enableRateLimit = True
        self._exchange.throttle = self._throttle
        self._answers: list[Answer] = []
        self._sent_at = -math.inf
        if calls.base_url:
            self._exchange.urls["api"] = _at(self._exchange.urls["api"], calls.base_url)

    @property
    def page_size(self) -> int:
        """The most bars of one answer."""
        return _page_size(self._exchange)

    def bars(self, ask: Ask, symbol: str, since: int, limit: int, until: int) -> tuple[bytes, Reader]:
        """Return the exchange's answer with the bars of [since, until], and how to read it.

        Raises:
            InputError: the exchange has no such spot pair.
            VendorUnavailableError, VendorRefusedError, CredentialsError: as `Calls`.
        """
        market = self._market(symbol)
        details = {
            "exchange": self.name,
            "symbol": symbol,
            "market": str(market["id"]),
            "since": str(since),
            "limit": str(limit),
            "until": str(until),
        }
        reader = ask.reader("ccxt.bars", "raw", **details)
        fetch = partial(self._exchange.fetch_ohlcv, symbol, ask.interval, since, limit)
        answer = self._calls.attempt(partial(self._send, fetch), f"bars {symbol}", lambda answer: answer.body)
        if len(self._answers) != 1:
            raise VendorRefusedError(
                f"expected one answer with the bars of {symbol}, found {len(self._answers)} from {self.name}; "
                "it cannot be read back as it came, take another exchange"
            )
        return answer.body, reader

    def _market(self, symbol: str) -> Mapping[str, Any]:
        if self._exchange.markets is None:
            self._calls.attempt(partial(self._send, self._exchange.load_markets), "markets")
        market = self._exchange.markets.get(symbol)
        if market is None or not market.get("spot"):
            raise InputError(f"expected a spot pair of {self.name} in ccxt's words, such as BTC/USDT, found {symbol!r}")
        return dict(market)

    def _send(self, ask: partial[Any]) -> Answer:
        """Ask once through ccxt and return the exchange's last answer; what ccxt refuses in it is an error here."""
        import ccxt

        self._answers.clear()
        try:
            ask()
        except _NotGood:
            return self._answers[-1]
        except ccxt.AuthenticationError as error:
            raise CredentialsError(f"expected {self.name} to let us in, found {_beginning(error)}") from error
        except ccxt.OperationFailed as error:  # its own word for "not now": too many requests, maintenance
            raise ConnectionCut(_beginning(error)) from error
        except ccxt.BaseError as error:
            raise VendorRefusedError(
                f"expected an answer, found {_beginning(error)}; ask {self.name} for something that it has"
            ) from error
        return self._answers[-1]

    def _throttle(self, cost: float | None = None) -> None:
        """Keep the exchange's own pace: some requests weigh more than others, and a burst of them is refused."""
        wait = self._sent_at + self._exchange.rateLimit * (1 if cost is None else cost) / 1000 - time.monotonic()
        if wait > 0:
            self._calls.pause(wait)
        self._sent_at = time.monotonic()

    def _fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Stand in for ccxt's own request; the answer goes through its own reading of errors."""
        if method != "GET":
            raise VendorRefusedError(
                f"expected an exchange that is asked by GET, found {method} at {self.name}; take another one"
            )
        answer = self._calls.once(url, headers=self._exchange.prepare_request_headers(headers))
        self._answers.append(answer)
        if not answer.is_good:
            raise _NotGood
        value = _json(answer.body)
        text = answer.body.decode("utf-8", "replace")
        self._exchange.handle_errors(answer.status, "", url, method, answer.headers, text, value, {}, None)
        return value


def _exchange(name: str) -> Exchange:
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


def _at(urls: Any, base_url: str) -> Any:
    """Return ccxt's addresses with another scheme and host, their paths as they were."""
    if isinstance(urls, dict):
        return {name: _at(url, base_url) for name, url in urls.items()}
    return base_url + urlsplit(urls).path if isinstance(urls, str) else urls


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the bars of a page.

    Raises:
        UnreadablePayloadError: the exchange's answer has another form than ccxt knows.
    """
    is_daily = reader.interval.endswith("d")
    for milliseconds, *prices, volume in _bars(payload, reader):
        begins = _moment(milliseconds)
        yield {
            "symbol": reader.details["symbol"],
            "timestamp": begins.date() if is_daily else begins,
            **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
            "volume": volume,
        }


def _bars(payload: bytes, reader: Reader) -> list[Bar]:
    """Return the bars of a stored answer by ccxt's own reading, without one that was not over at the end of the ask."""
    import ccxt

    told = reader.details
    exchange = _exchange(told["exchange"])
    base, _, quote = told["symbol"].partition("/")
    exchange.set_markets([_spot_market(exchange, told["market"], told["symbol"], base, quote)])
    value = _json(payload)
    exchange.fetch = lambda *_, **__: value
    since, limit, until = int(told["since"]), int(told["limit"]), int(told["until"])
    try:
        bars = exchange.fetch_ohlcv(told["symbol"], reader.interval, since, limit)
        if any(all(number is None for number in column) for column in zip(*bars, strict=True)):
            raise ValueError("bars without a time, a price or a volume")
        if not bars and not exchange.fetch_ohlcv(told["symbol"], reader.interval) and _holds_rows(value):
            raise ValueError("rows, and none where the bars were")
    except (ccxt.BaseError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnreadablePayloadError(
            f"expected bars of {told['symbol']} as {told['exchange']} gives them, found another form "
            f"({_beginning(error)}); its format has changed"
        ) from error
    return [bar for bar in bars if bar[0] is not None and since <= bar[0] <= until]


def _holds_rows(value: Any) -> bool:
    """Tell whether there is a list of lists or of objects anywhere, as bars are: ccxt reads an unknown name as no bars."""
    if isinstance(value, dict):
        return any(_holds_rows(part) for part in value.values())
    return isinstance(value, list) and any(isinstance(part, list | dict) for part in value)


def _spot_market(exchange: Exchange, market: str, symbol: str, base: str, quote: str) -> Any:
    kinds = dict.fromkeys(("swap", "future", "option", "contract", "margin"), False) | {"spot": True, "type": "spot"}
    named = {"id": market, "symbol": symbol, "base": base, "quote": quote, "baseId": base, "quoteId": quote}
    return exchange.safe_market_structure({**named, **kinds})


def _json(body: bytes) -> Any:
    """Return JSON whose decimals are text: ccxt keeps the digits of a text, not of a float."""
    try:
        return json.loads(body, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise UnreadablePayloadError(
            f"expected whole JSON, found {len(body)} bytes that are none; ask again"
        ) from error


def _beginning(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _milliseconds(moment: datetime) -> int:
    return (moment - _START) // _MILLISECOND


def _moment(milliseconds: int) -> datetime:
    return _START + milliseconds * _MILLISECOND


def _of_no_exchange(ask: Ask, cursor: str | None, calls: Calls) -> Iterator[Page]:
    raise InputError("expected an exchange with ccxt, such as --source ccxt:kraken, found none")


VENDOR = Vendor(
    name="ccxt",
    kinds=("prices",),
    base_url="",
    requests_per_minute=60,
    lag=timedelta(0),
    pages=_of_no_exchange,
    rows=_rows,
    calendar="24/7",
)
