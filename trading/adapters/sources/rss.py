"""The vendor `rss`: the items of RSS and Atom feeds that the user names, read by feedparser.

`TRADELOOM_RSS_FEEDS` is `AAPL,MSFT=https://one.example/tech.xml *=https://two.example/markets.xml`. The items of a feed
with symbols are about these; those of a feed with `*` about the symbols whose words they hold (`TRADELOOM_NEWS_WORDS`).
A feed that has not changed since its last page says so (304) and is no page. The id of an item begins with its feed:
guids are not unique beyond it.
Source: https://www.rssboard.org/rss-specification, RFC 4287, RFC 9110 section 13 (conditional requests).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from calendar import timegm
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from trading.adapters.sources.answers import Answer
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.markup import plain_text
from trading.adapters.sources.vendor import Vendor
from trading.adapters.sources.words import SETTING as WORDS
from trading.adapters.sources.words import Words, setting_of, symbols_in, words_of
from trading.errors import (
    CredentialsError,
    InputError,
    UnreadablePayloadError,
    VendorRefusedError,
    VendorUnavailableError,
)
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Hole, Page
from trading.ingestion.reader import Reader

_FEEDS = "TRADELOOM_RSS_FEEDS"
_ANY = "*"
_NOT_MODIFIED = 304
_EXAMPLE = "AAPL,MSFT=https://feeds.example/tech.xml *=https://feeds.example/markets.xml"
_END = re.compile(rb"</(?:[\w.-]+:)?(?:rss|feed|rdf)\s*>", re.IGNORECASE)
_KEYS = re.compile(r"key|token|secret|auth|sign|pass", re.IGNORECASE)  # names of what an address should not tell
_TAIL = 4096  # bytes at the end in which a whole feed closes; some write a comment after that


@dataclass(frozen=True)
class Feed:
    """One feed of the setting; `symbols` is empty for a feed whose items are searched for words."""

    url: str
    symbols: tuple[str, ...]

    @property
    def name(self) -> str:
        """The host and the path; what stands after them may be a key, so only its hash tells feeds apart."""
        parts = urlsplit(self.url)
        query = f"#{_hash({'query': parts.query})[:8]}" if parts.query else ""
        return f"{parts.hostname}{parts.path}{query}"


def _feeds(setting: str | None) -> list[Feed]:
    if not setting:
        raise InputError(f"expected feeds in {_FEEDS}, found none; set it, such as {_EXAMPLE!r}")
    return [_feed(part) for part in setting.split()]


def _feed(part: str) -> Feed:
    symbols, _, url = part.partition("=")
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no address
        parts = urlsplit("")
    if not symbols or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise InputError(f"expected SYMBOLS=ADDRESS in {_FEEDS}, such as {_EXAMPLE!r}, found another form")
    listed = tuple(filter(None, symbols.split(",")))
    return Feed(url, () if listed == (_ANY,) else listed)


def _pages(ask: Ask, cursor: str | None, calls: Calls) -> Iterator[Page | Hole]:
    """Yield the feeds that changed and may hold the asked symbols; a cursor is what each feed said of its state.

    A feed that is gone or does not answer keeps nobody from reading the others; where none answers, the first says why.
    """
    words = words_of(calls.settings.get(WORDS, ""))
    state: dict[str, dict[str, str]] = json.loads(cursor) if cursor else {}
    failed: dict[str, Exception] = {}
    answered = False
    for feed in _feeds_about(ask.symbols, _feeds(calls.settings.get(_FEEDS)), words):
        about = {"feed": feed.name, "symbols": ",".join(feed.symbols)}
        about |= {} if feed.symbols else {"words": setting_of(words)}
        fetch = partial(calls.once, feed.url, headers=_conditions(state.get(feed.name, {}), about), follows=True)
        try:
            answer = calls.attempt(fetch, feed.name, _refuse_unless_whole)
        except (VendorRefusedError, CredentialsError, VendorUnavailableError) as error:
            failed[feed.name] = error
            continue
        answered = True
        if answer.status == _NOT_MODIFIED:
            continue
        if _repeats_a_key(feed, answer.body):
            yield Hole(f"feed {feed.name}", "it repeats the key of its address, and a page is kept for ever")
            continue
        state[feed.name] = _state(answer, about)
        reader = ask.reader("rss.feed", "raw", type=answer.headers.get("content-type", ""), **about)
        yield Page(answer.body, f"feed {feed.name}", reader, json.dumps(state))
    if failed and not answered:
        raise next(iter(failed.values()))
    yield from (Hole(f"feed {name}", str(error)) for name, error in failed.items())


def _repeats_a_key(feed: Feed, body: bytes) -> bool:
    """Tell whether a feed names itself with the key by which it was asked for, as feeds do in a link to themselves."""
    said = [value for name, value in parse_qsl(urlsplit(feed.url).query) if _KEYS.search(name)]
    return any(form.encode() in body for value in said for form in (value, quote(value, safe="")))


def _feeds_about(symbols: Iterable[str], feeds: list[Feed], words: Words) -> list[Feed]:
    """Return the feeds that may name one of the symbols.

    Raises:
        InputError: nothing that is set can name one of them.
    """
    searches = any(not feed.symbols for feed in feeds)
    for symbol in symbols:
        if not any(symbol in feed.symbols for feed in feeds) and not (searches and symbol in words):
            raise InputError(
                f"expected a feed of {symbol} in {_FEEDS}, or a feed of {_ANY} and words of {symbol} in {WORDS}, "
                "found none; set one of them"
            )
    asked = set(symbols)
    return [feed for feed in feeds if asked & set(feed.symbols or words)]


def _conditions(state: Mapping[str, str], about: Mapping[str, str]) -> dict[str, str]:
    """Ask only for what changed, unless the feed was read with other symbols or words before."""
    accept = {"Accept": "application/rss+xml, application/atom+xml, */*"}
    if state.get("about") != _hash(about):
        return accept
    names = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
    return accept | {name: state[said] for said, name in names.items() if said in state}


def _state(answer: Answer, about: Mapping[str, str]) -> dict[str, str]:
    said = {name: answer.headers[name] for name in ("etag", "last-modified") if answer.headers.get(name)}
    return said | {"about": _hash(about)}


def _hash(about: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _refuse_unless_whole(answer: Answer) -> None:
    """feedparser takes what it gets, so a feed that breaks off would be one with fewer items."""
    tail = answer.body[-_TAIL:].replace(b"\0", b"")  # of two bytes for each character one is left
    if answer.status != _NOT_MODIFIED and not _END.search(tail):
        raise UnreadablePayloadError(
            f"expected a whole RSS or Atom feed, found {len(answer.body)} bytes without its end"
        )


def _rows(payload: bytes, reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the items of a feed that name a symbol; most items of a feed of all news name none.

    Raises:
        UnreadablePayloadError: it is no feed.
    """
    import feedparser

    headers = {"content-type": reader.details["type"]} if reader.details["type"] else {}
    parsed = feedparser.parse(io.BytesIO(payload), response_headers=headers)
    if not parsed.version:
        raise UnreadablePayloadError("expected RSS or Atom, found another form; is the address that of a feed?")
    words: Words = words_of(reader.details.get("words", ""))
    stated = [symbol for symbol in reader.details["symbols"].split(",") if symbol]
    for entry in parsed.entries:
        row = _row(entry, reader.details["feed"])
        symbols = stated or symbols_in(f"{row['headline'] or ''}\n{row['body'] or ''}", words)
        if symbols:
            yield row | {"symbols": symbols}


def _row(entry: Mapping[str, Any], feed: str) -> dict[str, Cell]:
    guid = entry.get("id") or entry.get("link")
    # feedparser's `get` answers for a missing update with the publication, and warns.
    when = entry["updated_parsed"] if "updated_parsed" in entry else entry.get("published_parsed")
    return {
        "id": f"{feed} {guid}" if guid else None,
        "headline": plain_text(entry.get("title")),
        "body": plain_text(entry.get("summary")),
        "url": entry.get("link"),
        # As of its last change, as for every vendor of news: the text that is here is that one. feedparser gives UTC.
        "published_at": datetime.fromtimestamp(timegm(when), UTC) if when else None,
    }


VENDOR = Vendor(
    name="rss",
    kinds=("news",),
    base_url="",
    requests_per_minute=60,
    lag=timedelta(0),
    pages=_pages,
    rows=_rows,
    settings=(_FEEDS, WORDS),
    default_mode="live",  # a feed shows what it has now; when an item came, only who asks often can say
    remembers=True,
)
