"""The vendor `ccxt:EXCHANGE`: bars of spot pairs from any exchange that the library ccxt knows, such as `ccxt:kraken`.

ccxt says how an exchange is asked and what its answer means; `Calls` sends the requests. What is stored is the
exchange's own answer. It is read by the same method of ccxt, which finds the stored answer where the network was
(docs/decisions/0106), so a page gives the same bars whenever it is read.
Source: https://docs.ccxt.com, "OHLCV Candlestick Charts".
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from trading.adapters.sources.answers import Answer, ConnectionCut, form_of, said_at
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.ccxt_answers import (
    bars_of,
    beginning,
    begins_of,
    exchange_of,
    json_with_texts,
    milliseconds_of,
    moment_of,
    newest_of,
    rows,
)
from trading.adapters.sources.vendor import Vendor
from trading.errors import CredentialsError, InputError, VendorRefusedError
from trading.ingestion.ports import Ask, Hole, Page
from trading.ingestion.reader import Reader
from trading.intervals import Interval

if TYPE_CHECKING:
    from ccxt.base.exchange import Exchange

_PAGE = 500  # bars of one answer, where ccxt does not know the exchange's own limit
_MILLISECOND = timedelta(milliseconds=1)


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
        rows=rows,
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


def _pages(ask: Ask, cursor: str | None, calls: Calls, exchange: str) -> Iterator[Page | Hole]:
    """Yield the pages of each symbol in turn; a cursor is the symbol and the first millisecond not asked for yet."""
    client = _Client(exchange, calls)
    for name in ask.symbols:  # all of them before the first page: a mistyped pair stops nothing half way
        client.market(name)
    symbol, _, since = (cursor or "").rpartition(" ")
    if cursor and symbol not in ask.symbols:
        raise InputError(f"expected to go on with one of {', '.join(ask.symbols)}, found {symbol}; begin anew")
    for name in ask.symbols[ask.symbols.index(symbol) if cursor else 0 :]:
        yield from _pages_of(ask, name, int(since) if name == symbol else milliseconds_of(ask.start), client)


def _pages_of(ask: Ask, symbol: str, since: int, client: _Client) -> Iterator[Page | Hole]:
    """Yield the pages of one symbol, as far as whole bars go before the end of the ask.

    An empty answer is no end: many exchanges give the bars of a window, and a pair may be younger than the window.
    Newest bars where older ones were asked for are no reason to be silent about those between.
    """
    step = Interval.parse(ask.interval).length // _MILLISECOND
    end = milliseconds_of(ask.end)
    while since + step <= end:
        limit = min(client.page_size, (end - since) // step)
        body, reader, said = client.bars(ask, symbol, since, limit, end - step)
        found = [bar[0] for bar in bars_of(body, reader)]
        after = max(found) + step if found else since + limit * step
        newest = newest_of(body, reader, said)
        if newest and (newest.is_full or client.ignores_since(ask, symbol, newest.last, limit)):
            yield _hole(ask, symbol, since, min(newest.first, end), client.name)
            after = max(after, newest.first)
        if found:
            yield Page(body, f"bars {symbol} {ask.interval} {moment_of(since):%Y-%m-%d}", reader, f"{symbol} {after}")
        since = max(after, since + step)


def _hole(ask: Ask, symbol: str, since: int, until: int, exchange: str) -> Hole:
    return Hole(
        f"bars {symbol} {ask.interval} {moment_of(since):%Y-%m-%d %H:%M} to {moment_of(until):%Y-%m-%d %H:%M}",
        f"{exchange} gives its newest bars only, and may have older ones; ask for a longer interval, or another exchange",
    )


class _Client:
    """One exchange through ccxt, every request sent by `calls`."""

    def __init__(self, name: str, calls: Calls) -> None:
        """Nothing is sent before the first question."""
        self.name = name
        self._calls = calls
        self._exchange = exchange_of(name)
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

    def bars(self, ask: Ask, symbol: str, since: int, limit: int, until: int) -> tuple[bytes, Reader, datetime]:
        """Return the exchange's answer with the bars of [since, until], how to read it, and when it was given.

        A bar that was not over then by the exchange's own clock is left out too: ours may be ahead of it.

        Raises:
            InputError: the exchange has no such spot pair.
            VendorUnavailableError, VendorRefusedError, CredentialsError: as `Calls`.
        """
        market = self.market(symbol)
        details = {
            "exchange": self.name,
            "symbol": symbol,
            "market": str(market["id"]),
            "since": str(since),
            "limit": str(limit),
        }
        fetch = partial(self._exchange.fetch_ohlcv, symbol, ask.interval, since, limit)
        answer = self._calls.attempt(partial(self._send, fetch), f"/bars/{symbol}", lambda answer: answer.body)
        if len(self._answers) != 1:
            raise VendorRefusedError(
                f"expected one answer with the bars of {symbol}, found {len(self._answers)} from {self.name}; "
                "it cannot be read back as it came, take another exchange"
            )
        said = said_at(answer) or datetime.now(UTC)
        over = milliseconds_of(said - Interval.parse(ask.interval).length)
        reader = ask.reader("ccxt.bars", "raw", **details, until=str(min(until, over)))
        return answer.body, reader, said

    def ignores_since(self, ask: Ask, symbol: str, last: int, limit: int) -> bool:
        """Tell whether the exchange answers with bars of before when it is asked for those from `last` on."""
        body, reader, _ = self.bars(ask, symbol, last, limit, last)
        return any(begins < last for begins in begins_of(body, reader))

    def market(self, symbol: str) -> Mapping[str, Any]:
        """Return what the exchange says of a spot pair.

        Raises:
            InputError: it has no such pair.
        """
        if self._exchange.markets is None:
            self._calls.attempt(partial(self._send, self._exchange.load_markets), "/markets")
        market = self._exchange.markets.get(symbol)
        if market is None or not market.get("spot"):
            raise InputError(f"expected a spot pair of {self.name} in ccxt's words, such as BTC/USDT, found {symbol!r}")
        return dict(market)

    def _send(self, ask: partial[Any]) -> Answer:
        """Ask once through ccxt and return the exchange's last answer; what ccxt refuses in it is an error here."""
        import ccxt

        self._answers.clear()
        try:
            with form_of(self.name):
                ask()
        except _NotGood:
            return self._answers[-1]
        except ccxt.AuthenticationError as error:
            raise CredentialsError(f"expected {self.name} to let us in, found {beginning(error)}") from error
        except ccxt.OperationFailed as error:  # its own word for "not now": too many requests, maintenance
            raise ConnectionCut(beginning(error)) from error
        except ccxt.BaseError as error:
            raise VendorRefusedError(
                f"expected an answer, found {beginning(error)}; ask {self.name} for something that it has"
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
        value = json_with_texts(answer.body)
        text = answer.body.decode("utf-8", "replace")
        self._exchange.handle_errors(answer.status, "", url, method, answer.headers, text, value, {}, None)
        return value


def _at(urls: Any, base_url: str) -> Any:
    """Return ccxt's addresses with another scheme and host, their paths as they were."""
    if isinstance(urls, dict):
        return {name: _at(url, base_url) for name, url in urls.items()}
    return base_url + urlsplit(urls).path if isinstance(urls, str) else urls


def _of_no_exchange(ask: Ask, cursor: str | None, calls: Calls) -> Iterator[Page]:
    raise InputError("expected an exchange with ccxt, such as --source ccxt:kraken, found none")


VENDOR = Vendor(
    name="ccxt",
    kinds=("prices",),
    base_url="",
    requests_per_minute=60,
    lag=timedelta(0),
    pages=_of_no_exchange,
    rows=rows,
    calendar="24/7",
)
