"""Each vendor of this folder beside its protocol: what is asked, in which environment, and the rows that must come.

`rows` are written by hand from the protocol's data, cells as they leave the vendor's module. A case whose name has a
slash is one of several of a vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from alpaca_protocol import KEYS, alpaca
from exchange_protocols import CLOSES, binance, kraken
from news_protocols import KEY, feeds, newsapi
from vendor_server import Reply, Request, VendorServer
from yahoo_server import Listing, yahoo

from trading.adapters.sources.calls import Calls, Patience
from trading.adapters.sources.registry import vendor_named, vendor_of_format
from trading.adapters.sources.vendor import Vendor
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Page
from trading.ingestion.reader import Kind, Reader

Row = tuple[Any, ...]
WORDS = "TRADELOOM_NEWS_WORDS"
FEEDS = "TRADELOOM_RSS_FEEDS"
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One vendor under test; `column` names the cells of which `rows` are made, {url} in the environment is the server."""

    name: str
    source: str
    kind: Kind
    symbols: tuple[str, ...]
    answer: Callable[[Request], Reply]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    pages: int
    renamed: tuple[bytes, bytes]
    environ: dict[str, str] = field(default_factory=dict)
    interval: str = "1d"
    begin: datetime = BEGIN
    end: datetime = END
    asked_first: int = 0  # requests before the first page: an exchange's markets, name changes, a feed's old address
    nothing: bytes = b""  # the first page with no row in it, and how many of the rows come all the same
    left: int = 0
    doors: int = 1  # addresses that are asked each by itself: what one of them refuses, another may give

    @property
    def vendor(self) -> Vendor:
        """The vendor by its registry line."""
        return vendor_named(self.source)

    @property
    def ask(self) -> Ask:
        """What is asked of it."""
        return Ask(self.kind, self.symbols, self.interval, self.begin, self.end, self.vendor.calendar)

    def calls(self, server: VendorServer, patience: Patience | None = None) -> tuple[Calls, list[float]]:
        """Return the way to ask the server as the environment says, without real waits; and the waits."""
        waits: list[float] = []
        environ = {name: value.format(url=server.url) for name, value in self.environ.items()}
        if not any("{url}" in value for value in self.environ.values()):
            environ[f"TRADELOOM_{self.source.partition(':')[0].upper()}_URL"] = server.url
        calls = self.vendor.calls(environ)
        patience = patience or Patience(most_tries=4, to_connect=2, to_answer=2)
        return replace(calls, patience=patience, pause=waits.append, jitter=lambda least, most: most), waits

    def fetched(self, server: VendorServer, cursor: str | None = None, patience: Patience | None = None) -> list[Page]:
        """Return every page after the cursor."""
        calls, _ = self.calls(server, patience)
        with calls:
            return list(self.vendor.pages(self.ask, cursor, calls))

    def read(self, pages: list[Page]) -> tuple[Row, ...]:
        """Return the rows of stored pages, by the module that their format names."""
        rows = (row for page in pages for row in vendor_of_format(page.reader.format).rows(page.payload, page.reader))
        return tuple(tuple(row.get(name) for name in self.columns) for row in rows)


YAHOO = Listing(
    [(date(2024, 1, day), 187.5, 188.4375, 183.75, close, 1000) for day, close in ((2, 185.625), (3, 184.25))],
    dividends={date(2024, 1, 3): 0.24},
)
_NO_CHART = b'{"chart":{"result":[{"meta":{"exchangeTimezoneName":"UTC"},"indicators":{"quote":[{}]}}],"error":null}}'
_NO_FEED = b'<rss version="2.0"><channel><title>Tech</title></channel></rss>'
_PRICES = ("symbol", "timestamp", "close", "volume")
_NEWS = ("id", "headline", "body", "symbols", "published_at")

CASES = (
    Case(
        name="alpaca/prices",
        source="alpaca",
        kind="prices",
        symbols=("AAPL", "MSFT"),
        answer=alpaca(page=2),
        environ=KEYS,
        columns=_PRICES,
        rows=(
            ("AAPL", date(2024, 1, 2), Decimal("185.64"), 82496943),
            ("AAPL", date(2024, 1, 3), Decimal("184.25"), 58418916),
            ("AAPL", date(2024, 1, 4), Decimal("181.91"), 71992243),
            ("MSFT", date(2024, 1, 2), Decimal("370.87"), 25258633),
            ("MSFT", date(2024, 1, 3), Decimal("370.6"), 23083465),
        ),
        pages=3,
        renamed=(b'"c":', b'"close":'),
        asked_first=1,
        nothing=b'{"bars":{},"next_page_token":null}',
    ),
    Case(
        name="alpaca/news",
        source="alpaca",
        kind="news",
        symbols=("AAPL", "MSFT"),
        answer=alpaca(page=1),
        environ=KEYS,
        columns=_NEWS,
        rows=(
            (24843171, "Apple's Headset Gets a Date", "It comes in February.", ["AAPL"], "2024-01-08T14:05:30Z"),
            (24843172, "Two Cloud Makers Report", "", ["AMZN", "MSFT"], "2024-01-09T21:00:00Z"),
        ),
        pages=2,
        renamed=(b'"news":', b'"articles":'),
        nothing=b'{"news":[],"next_page_token":null}',
    ),
    Case(
        name="alpaca/actions",
        source="alpaca",
        kind="actions",
        symbols=("TWTR", "FB", "SAME", "UNIT", "NVDA", "TINY", "GE", "AAPL", "MSFT"),
        answer=alpaca(),
        begin=datetime(2022, 1, 1, tzinfo=UTC),
        end=datetime(2024, 6, 11, tzinfo=UTC),
        environ=KEYS,
        columns=("symbol", "kind", "ex_date", "ratio", "amount", "new_symbol"),
        rows=(
            ("TWTR", "delisting", "2022-10-28", None, Decimal("54.2"), None),
            ("FB", "symbol_change", "2022-06-09", None, None, "META"),
            ("NVDA", "split", "2024-06-10", Decimal("10.0000000000"), None, None),
            ("TINY", "split", "2024-03-01", Decimal("0.3333333333"), None, None),
            ("GE", "spin_off", "2024-04-02", Decimal("0.2500000000"), None, "GEV"),
            ("AAPL", "dividend", "2024-02-09", None, Decimal("0.24"), None),
            ("MSFT", "dividend", "2024-02-14", None, Decimal("3.75"), None),
        ),
        pages=9,
        renamed=(b'"corporate_actions":', b'"actions":'),
        nothing=b'{"corporate_actions":{},"next_page_token":null}',
        left=6,
    ),
    Case(
        name="ccxt/binance",
        source="ccxt:binance",
        kind="prices",
        symbols=("BTC/USDT",),
        answer=binance(page=2),
        columns=_PRICES,
        rows=tuple(
            ("BTC/USDT", date(2024, 1, day), close, "27174.29903000") for day, close in enumerate(CLOSES, start=1)
        ),
        pages=3,
        renamed=(b"[", b'{"bars":'),
        asked_first=1,
        nothing=b"[]",
    ),
    Case(
        name="ccxt/kraken",
        source="ccxt:kraken",
        kind="prices",
        symbols=("BTC/USD",),
        answer=kraken,
        columns=_PRICES,
        rows=tuple(("BTC/USD", date(2024, 1, day), close, "271.5") for day, close in enumerate(CLOSES, start=1)),
        pages=1,
        renamed=(b'"XXBTZUSD":', b'"XBT/USD":'),
        asked_first=2,
        nothing=b'{"error":[],"result":{"XXBTZUSD":[],"last":0}}',
    ),
    Case(
        name="newsapi",
        source="newsapi",
        kind="news",
        symbols=("AAPL", "MSFT"),
        answer=newsapi(),
        environ=KEY | {WORDS: "AAPL=Apple,iPhone"},
        columns=_NEWS,
        rows=(
            *(
                (
                    f"AAPL https://paper.example/apple/{number}",
                    f"Apple story {number}",
                    "About the iPhone & more.",
                    ["AAPL"],
                    f"2024-01-{10 - number:02}T08:00:00Z",
                )
                for number in range(3)
            ),
            ("MSFT https://paper.example/apple/0", "MSFT climbs", None, ["MSFT"], "2024-01-05T09:00:00Z"),
        ),
        pages=2,
        renamed=(b'"articles":', b'"items":'),
        nothing=b'{"status":"ok","totalResults":0,"articles":[]}',
        left=1,
    ),
    Case(
        name="rss",
        source="rss",
        kind="news",
        symbols=("AAPL", "MSFT"),
        answer=feeds,
        environ={FEEDS: "AAPL={url}/moved.xml *={url}/markets.xml", WORDS: "AAPL=Apple;MSFT=Microsoft"},
        columns=_NEWS,
        rows=(
            (
                "127.0.0.1/moved.xml t-1",
                "Apple & friends",
                "One two",
                ["AAPL"],
                datetime(2024, 1, 8, 14, 30, tzinfo=UTC),
            ),
            (
                "127.0.0.1/markets.xml urn:m:1",
                "Microsoft w\u00e4chst",
                "Cloud.",
                ["MSFT"],
                datetime(2024, 1, 9, 11, 0, tzinfo=UTC),
            ),
        ),
        pages=2,
        renamed=(b"<rss", b"<list"),
        asked_first=1,
        nothing=_NO_FEED,
        left=1,
        doors=2,
    ),
    Case(
        name="yfinance/prices",
        source="yfinance",
        kind="prices",
        symbols=("AAA", "BBB"),
        answer=yahoo(dict.fromkeys(("AAA", "BBB"), YAHOO)),
        columns=_PRICES,
        rows=tuple(
            (symbol, date(2024, 1, day), close, 1000)
            for symbol in ("AAA", "BBB")
            for day, close in ((2, Decimal("185.625")), (3, Decimal("184.25")))
        ),
        pages=2,
        renamed=(b'"chart":', b'"graph":'),
        nothing=_NO_CHART,
        left=2,
    ),
    Case(
        name="yfinance/actions",
        source="yfinance",
        kind="actions",
        symbols=("AAA", "BBB"),
        answer=yahoo(dict.fromkeys(("AAA", "BBB"), YAHOO)),
        columns=("symbol", "kind", "ex_date", "amount", "currency"),
        rows=tuple((symbol, "dividend", date(2024, 1, 3), Decimal("0.24"), "USD") for symbol in ("AAA", "BBB")),
        pages=2,
        renamed=(b'"result":', b'"results":'),
        nothing=_NO_CHART,
        left=1,
    ),
)

BY_NAME = {case.name: case for case in CASES}


def fetched(case: Case, cursor: str | None = None) -> tuple[list[Page], list[Request]]:
    """Return the pages and the requests of a case with a server of its own."""
    with VendorServer(case.answer) as server:
        return case.fetched(server, cursor), server.requests


def rows_of(source: str, payload: bytes, reader: Reader) -> list[Mapping[str, Cell]]:
    """Return the rows that a vendor's module reads."""
    return list(vendor_named(source).rows(payload, reader))
