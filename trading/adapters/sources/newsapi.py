"""The vendor `newsapi`: articles about each symbol from newsapi.org's /v2/everything.

It knows no symbols: each is searched by its words (`TRADELOOM_NEWS_WORDS`) in titles and descriptions, so that whoever
reads the item sees why it was found. An item is of one symbol; its id is the symbol and the address of the article.
Source: https://newsapi.org/docs/endpoints/everything, .../docs/errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from trading.adapters.sources.answers import Answer, form_of, json_of
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.markup import plain_text
from trading.adapters.sources.vendor import Vendor
from trading.adapters.sources.words import SETTING, words_for, words_of
from trading.errors import InputError, MissingColumnError, VendorRefusedError
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Hole, Page
from trading.ingestion.reader import Reader

_KEY = "NEWSAPI_KEY"
_PAGE = 100
_LONGEST_QUERY = 500  # characters
_ARTICLE = {"url", "title", "publishedAt"}
_REMOVED = "[Removed]"
_ENDS = "the plan of this key ends before it (maximumResultsReached); ask for fewer days with --from and --to"


def _pages(ask: Ask, cursor: str | None, calls: Calls) -> Iterator[Page | Hole]:
    """Yield the pages of each symbol in turn; a cursor is the symbol and the number of its next page."""
    symbol, _, next_page = (cursor or "").rpartition(" ")
    if cursor and symbol not in ask.symbols:
        raise InputError(f"expected to go on with one of {', '.join(ask.symbols)}, found {symbol}; begin anew")
    for name in ask.symbols[ask.symbols.index(symbol) if cursor else 0 :]:
        yield from _pages_of(ask, name, int(next_page) if name == symbol else 1, calls)


def _pages_of(ask: Ask, symbol: str, number: int, calls: Calls) -> Iterator[Page | Hole]:
    """Yield the pages of one symbol as far as the plan goes, and what is behind its end."""
    params = _params(ask, symbol, calls)
    reader = ask.reader("newsapi.articles", symbol=symbol)
    while number:  # a symbol's cursor is 0 after its last page
        answer = _asked(calls, params | {"page": str(number)})
        if answer is None:
            yield Hole(f"articles {symbol} from page {number} on", _ENDS)
            return
        articles, total = _articles(answer.body), answer.value().get("totalResults")
        is_last = not articles or not isinstance(total, int) or number * _PAGE >= total
        after = 0 if is_last else number + 1
        yield Page(answer.body, f"articles {symbol} page {number}", reader, f"{symbol} {after}")
        number = after


def _asked(calls: Calls, params: Mapping[str, str]) -> Answer | None:
    """Return the answer, or None where the plan of the key ends before this page; other symbols have an end of their own."""
    try:
        return calls.json("/v2/everything", params, {"X-Api-Key": calls.secrets[_KEY]})
    except VendorRefusedError as error:
        if "maximumResultsReached" not in str(error):
            raise
        return None


def _params(ask: Ask, symbol: str, calls: Calls) -> dict[str, str]:
    query = " OR ".join(f'"{word}"' for word in words_for(symbol, words_of(calls.settings.get(SETTING, ""))))
    if len(query) > _LONGEST_QUERY:
        raise InputError(
            f"expected words of {symbol} of at most {_LONGEST_QUERY} characters together, found {len(query)}; "
            f"shorten them in {SETTING}"
        )
    return {
        "q": query,
        "searchIn": "title,description",
        "language": "en",
        "from": _second(ask.start),
        "to": _second(ask.end - timedelta(seconds=1)),
        "sortBy": "publishedAt",
        "pageSize": str(_PAGE),
    }


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the articles of a page; one that its publisher took back is a husk without a text, and left out.

    Raises:
        UnreadablePayloadError, MissingColumnError: it is not what NewsAPI gives.
    """
    symbol = reader.details["symbol"]
    with form_of("newsapi"):
        articles = _articles(payload)
        given: set[str] = set().union(*articles)
        if articles and (lacking := _ARTICLE - given):
            raise MissingColumnError(
                f"expected {', '.join(sorted(_ARTICLE))} in newsapi's articles, found no {', '.join(sorted(lacking))} "
                "in any; its format has changed"
            )
        for article in articles:
            if article.get("title") != _REMOVED:
                yield _row(article, symbol)


def _row(article: Mapping[str, Any], symbol: str) -> dict[str, Cell]:
    url = article.get("url")
    return {
        "id": f"{symbol} {url}" if url else None,
        "headline": plain_text(article.get("title")),
        "body": plain_text(article.get("description")),
        "url": url,
        "symbols": [symbol],
        "published_at": article.get("publishedAt"),
    }


def _articles(payload: bytes) -> list[dict[str, Any]]:
    body = json_of(payload)
    articles = body.get("articles") if isinstance(body, dict) else None
    if not isinstance(articles, list):
        found = ", ".join(body) if isinstance(body, dict) else type(body).__name__
        raise MissingColumnError(f"expected articles in an answer of newsapi, found {found}; its format has changed")
    return articles


VENDOR = Vendor(
    name="newsapi",
    kinds=("news",),
    base_url="https://newsapi.org",
    requests_per_minute=60,
    lag=timedelta(hours=24),
    pages=_pages,
    rows=_rows,
    page_size=_PAGE,
    credentials=(_KEY,),
    settings=(SETTING,),
    default_mode="live",  # the Developer plan shows an article a day after it was published
)
