"""NewsAPI and feeds: how they are asked, which symbols an item is about, what is refused. No database."""

import json
import logging
from dataclasses import replace

import pytest
from news_protocols import MARKETS, TECH, beyond_the_plan, feeds, newsapi
from vendor_cases import BY_NAME, FEEDS, WORDS, fetched, rows_of
from vendor_server import Reply, Request, VendorServer, failing, refusing

from trading.errors import (
    InputError,
    MissingColumnError,
    UnreadablePayloadError,
    VendorRefusedError,
    VendorUnavailableError,
)
from trading.ingestion.ports import Hole, Page
from trading.ingestion.reader import Reader


def test_each_symbol_is_searched_by_its_words_where_a_reader_can_see_them():
    _, requests = fetched(BY_NAME["newsapi"])
    assert [request.query["q"] for request in requests] == ['"Apple" OR "iPhone"', '"MSFT"']
    assert {name: requests[0].query[name] for name in ("searchIn", "from", "to", "sortBy", "pageSize", "page")} == {
        "searchIn": "title,description",
        "from": "2024-01-01T00:00:00",
        "to": "2024-01-05T23:59:59",
        "sortBy": "publishedAt",
        "pageSize": "100",
        "page": "1",
    }


def test_pages_go_on_as_far_as_there_are_results():
    case = replace(BY_NAME["newsapi"], symbols=("AAPL",), answer=newsapi(total=150, plan=200))
    pages, requests = fetched(case)
    assert [request.query["page"] for request in requests] == ["1", "2"]
    assert case.read(pages) == case.rows[:3]
    assert [page.cursor for page in pages] == ["AAPL 2", "AAPL 0"]


def test_the_end_of_the_plan_is_told_and_the_pages_before_it_and_the_other_symbols_come():
    case = replace(BY_NAME["newsapi"], answer=beyond_the_plan)
    found = fetched(case)[0]
    assert [type(one) for one in found] == [Page, Hole, Page]
    assert case.read([found[0], found[2]]) == (*case.rows[:2], case.rows[3])
    assert found[1].what == "articles AAPL from page 2 on"
    assert "(maximumResultsReached); ask for fewer days with --from" in found[1].why
    again, requests = fetched(case, found[0].cursor)  # stopped after the first page
    assert [type(one) for one in again] == [Hole, Page]
    assert [request.query["page"] for request in requests] == ["2", "1"]


def test_another_refusal_of_newsapi_still_ends_the_fetch():
    case = BY_NAME["newsapi"]
    with VendorServer(case.answer) as server:
        server.fail(None, refusing(400, b'{"status":"error","code":"parameterInvalid","message":"no"}'))
        with pytest.raises(VendorRefusedError, match="parameterInvalid"):
            case.fetched(server)


def test_too_many_words_are_refused_before_anything_is_asked():
    environ = BY_NAME["newsapi"].environ | {WORDS: "AAPL=" + ",".join(f"word{number:04}" for number in range(60))}
    with pytest.raises(InputError, match="expected words of AAPL of at most 500 characters together"):
        fetched(replace(BY_NAME["newsapi"], environ=environ))


def test_a_feed_is_asked_only_for_what_changed_and_a_feed_without_changes_is_no_page():
    case = BY_NAME["rss"]
    with VendorServer(feeds) as server:
        first = case.fetched(server)
        server.forget()
        assert case.fetched(server, first[-1].cursor) == []
    moved, tech, markets = server.requests
    assert moved.headers["if-none-match"] == tech.headers["if-none-match"] == '"tech-1"'
    assert markets.headers["if-modified-since"] == "Tue, 09 Jan 2024 12:00:00 GMT"


def test_other_words_read_a_feed_again_and_leave_the_others():
    case = BY_NAME["rss"]
    words = replace(case, environ=case.environ | {WORDS: "AAPL=Apple;MSFT=Pineapples"})
    with VendorServer(feeds) as server:
        first = case.fetched(server)
        again = words.fetched(server, first[-1].cursor)
    assert [page.name for page in again] == ["feed 127.0.0.1/markets.xml"]
    assert [row[1] for row in words.read(again)] == ["Pineapples"]


def test_the_items_of_a_stated_feed_are_about_its_symbols_and_others_about_the_words_they_hold():
    details = {"feed": "f", "type": "application/xml"}
    stated = Reader("news", "rss.feed", details=details | {"symbols": "AAPL,MSFT"})
    assert [row["symbols"] for row in rows_of("rss", TECH, stated)] == [["AAPL", "MSFT"]]
    searched = Reader("news", "rss.feed", details=details | {"symbols": "", "words": "AAPL=apple;M=MICROSOFT"})
    # "Pineapples" holds apple inside a word: that names nobody.
    assert [(row["symbols"], row["url"]) for row in rows_of("rss", MARKETS, searched)] == [
        (["M"], "https://feeds.example/m1")
    ]


@pytest.mark.parametrize("body", [b"<html><body>Sign in</body></html>", TECH[:-20]])
def test_what_is_no_whole_feed_is_asked_for_again_and_then_refused(body):
    case = replace(BY_NAME["rss"], answer=lambda _: Reply(200, body))
    with pytest.raises(VendorUnavailableError, match=r"rss at 127.0.0.1/moved.xml .* not whole after 4 tries"):
        fetched(case)


def test_a_feed_that_closes_but_is_none_is_refused():
    reader = Reader("news", "rss.feed", details={"feed": "f", "type": "", "symbols": "AAPL"})
    with pytest.raises(UnreadablePayloadError, match="expected RSS or Atom, found another form"):
        rows_of("rss", b"<html></feed>", reader)


@pytest.mark.parametrize(
    ("feeds_setting", "words", "message"),
    [
        ("", "", "expected feeds in TRADELOOM_RSS_FEEDS, found none"),
        ("AAPL=https://user:pw@feeds.example/x", "", "found another form$"),
        ("https://feeds.example/x", "", "found another form$"),
        ("AAPL=https://[feeds.example/x", "", "found another form$"),
        ("AAPL=https://feeds.example/x", "", "expected a feed of MSFT in TRADELOOM_RSS_FEEDS"),
        ("*=https://feeds.example/x", "AAPL=Apple", "words of MSFT in TRADELOOM_NEWS_WORDS"),
        ("*=https://feeds.example/x", "AAPL", "expected TRADELOOM_NEWS_WORDS such as"),
    ],
)
def test_settings_that_name_nothing_are_refused_before_anything_is_asked(feeds_setting, words, message):
    with pytest.raises(InputError, match=message):
        fetched(replace(BY_NAME["rss"], environ={FEEDS: feeds_setting, WORDS: words}))


def test_the_key_in_a_feeds_address_is_in_no_page_error_or_log(caplog):
    caplog.set_level(logging.DEBUG)
    environ = {FEEDS: "AAPL,MSFT={url}/tech.xml?key=t0ken AAPL={url}/tech.xml?key=0ther"}
    case = replace(BY_NAME["rss"], environ=environ)
    with VendorServer(feeds) as server:
        pages = case.fetched(server)
        server.fail(refusing(404), refusing(404))
        with pytest.raises(VendorRefusedError) as refused:
            case.fetched(server)
    assert server.requests[0].query == {"key": "t0ken"}
    names = [page.reader.details["feed"] for page in pages]
    assert len(set(names)) == 2  # two addresses are two feeds, though their names may not say why
    kept = "".join(f"{page.name}{page.cursor}{page.reader.as_dict()}" for page in pages)
    assert "t0ken" not in kept + str(refused.value) + caplog.text


@pytest.mark.parametrize("failures", [[refusing(404)], [refusing(403)], [failing(503)] * 4])
def test_a_feed_that_is_gone_or_away_is_told_and_the_others_come(failures):
    with VendorServer(feeds) as server:
        server.fail(*failures)
        page, hole = BY_NAME["rss"].fetched(server)
    assert (page.name, type(hole)) == ("feed 127.0.0.1/markets.xml", Hole)
    assert hole.what == "feed 127.0.0.1/moved.xml"
    assert "found" in hole.why


ATOM = """<?xml version="1.0" encoding="{0}"?><a:feed xmlns:a="http://www.w3.org/2005/Atom"><a:id>f</a:id><a:title>T</a:title>
<a:updated>2024-01-09T00:00:00Z</a:updated><a:entry><a:id>u1</a:id><a:title>W\u00e4chst</a:title>
<a:updated>2024-01-09T11:00:00Z</a:updated></a:entry></a:feed >"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_a_feed_is_whole_in_any_encoding_and_with_its_names_prefixed(encoding):
    body = ATOM.format(encoding).encode(encoding)
    environ = {FEEDS: "AAPL={url}/a.xml"}
    case = replace(BY_NAME["rss"], environ=environ, symbols=("AAPL",), answer=lambda _: Reply(200, body))
    pages, requests = fetched(case)
    reader = Reader("news", "rss.feed", details={"feed": "f", "type": "", "symbols": "AAPL"})
    assert (len(requests), [row["headline"] for row in rows_of("rss", pages[0].payload, reader)]) == (
        1,
        ["W\u00e4chst"],
    )


@pytest.mark.parametrize("renamed", ["url", "title", "publishedAt"])
def test_a_field_that_no_article_has_is_named(renamed):
    """Rows without it would differ in nothing, be merged into one, and that one quarantined in silence."""
    article = {"url": "http://a", "title": "Up", "publishedAt": "2024-01-02T05:00:00Z"}
    article[f"{renamed}_2"] = article.pop(renamed)
    body = json.dumps({"status": "ok", "articles": [article] * 9}).encode()
    with pytest.raises(MissingColumnError, match=f"found no {renamed} in any; its format has changed"):
        rows_of("newsapi", body, Reader("news", "newsapi.articles", details={"symbol": "AAPL"}))


@pytest.mark.parametrize("said", ["t0ken/1", "t0ken%2F1"])
def test_a_feed_that_repeats_the_key_of_its_address_is_not_kept_and_the_others_come(said):
    """Feeds link to themselves, with all of the address."""

    def answer(request: Request) -> Reply:
        good = feeds(request)
        link = f"<link>http://feeds.example/tech.xml?apikey={said}</link>".encode()
        return replace(good, body=good.body.replace(b"<link>https://feeds.example</link>", link))

    environ = {FEEDS: "AAPL={url}/tech.xml?apikey=t0ken%2F1 MSFT={url}/markets.xml?format=xml"}
    found, _ = fetched(replace(BY_NAME["rss"], environ=environ, answer=answer))
    assert [type(one) for one in found] == [Hole, Page]
    assert "t0ken" not in found[0].sentence() + found[1].cursor
