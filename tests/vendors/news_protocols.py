"""Two vendors of news: newsapi.org's /v2/everything (newsapi.org/docs), and feeds (RSS 2.0, Atom, conditional requests)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vendor_server import Reply, Request, json_reply

KEY = {"NEWSAPI_KEY": "0123456789abcdef-newsapi"}

ARTICLES: dict[str, list[dict[str, Any]]] = {
    '"Apple" OR "iPhone"': [
        {
            "source": {"id": None, "name": f"Paper {number}"},
            "author": None,
            "title": f"Apple story {number}",
            "description": "About the <i>iPhone</i> &amp; more.",
            "url": f"https://paper.example/apple/{number}",
            "urlToImage": None,
            "publishedAt": f"2024-01-{10 - number:02}T08:00:00Z",
            "content": "Cut off here... [+900 chars]",
        }
        for number in range(3)
    ],
    '"MSFT"': [
        {
            "source": {"id": None, "name": None},
            "author": None,
            "title": "[Removed]",
            "description": "[Removed]",
            "url": "https://removed.com",
            "urlToImage": None,
            "publishedAt": "2024-01-05T08:00:00Z",
            "content": "[Removed]",
        },
        {
            "source": {"id": None, "name": "Paper"},
            "author": None,
            "title": "MSFT climbs",
            "description": None,
            "url": "https://paper.example/apple/0",
            "urlToImage": None,
            "publishedAt": "2024-01-05T09:00:00Z",
            "content": None,
        },
    ],
}


def newsapi(total: int | None = None, plan: int = 100) -> Callable[[Request], Reply]:
    """Return the good behaviour of NewsAPI; `total` results are claimed, of which a plan shows `plan`."""

    def answer(request: Request) -> Reply:
        if request.headers.get("x-api-key") != KEY["NEWSAPI_KEY"] or "apiKey" in request.query:
            return _error(401, "apiKeyInvalid", "Your API key is invalid or incorrect.")
        query = request.query
        number, size = int(query["page"]), int(query["pageSize"])
        if request.path != "/v2/everything" or query["searchIn"] != "title,description" or size > 100:
            return _error(400, "parameterInvalid", "not what is documented")
        if (number - 1) * size >= plan:
            return _error(426, "maximumResultsReached", f"Developer accounts are limited to a max of {plan} results.")
        found = ARTICLES.get(query["q"], [])
        shown = found[(number - 1) * 2 : number * 2] if total else found
        return json_reply({"status": "ok", "totalResults": total or len(found), "articles": shown})

    return answer


def beyond_the_plan(request: Request) -> Reply:
    """NewsAPI with more articles about Apple than the plan of the key shows, and few about MSFT."""
    return newsapi(total=150 if "Apple" in request.query.get("q", "") else None)(request)


def _error(status: int, code: str, message: str) -> Reply:
    return json_reply({"status": "error", "code": code, "message": message}, status)


TECH = b"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>Tech</title><link>https://feeds.example</link><description>d</description>
<item><guid isPermaLink="false">t-1</guid><title>Apple &amp;amp; friends</title><link>https://feeds.example/1</link>
<description>&lt;p&gt;One&lt;/p&gt;&lt;p&gt;two&lt;/p&gt;</description><pubDate>Mon, 08 Jan 2024 09:30:00 -0500</pubDate></item>
</channel></rss>
"""
MARKETS = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Markets</title><id>urn:markets</id><updated>2024-01-09T00:00:00Z</updated>
<entry><id>urn:m:1</id><title>Microsoft w\u00e4chst</title><link href="https://feeds.example/m1"/>
<published>2024-01-09T10:00:00+01:00</published><updated>2024-01-09T12:00:00+01:00</updated><summary>Cloud.</summary></entry>
<entry><id>urn:m:2</id><title>Pineapples</title><link href="https://feeds.example/m2"/>
<updated>2024-01-09T11:00:00Z</updated><summary>Nothing of note.</summary></entry>
</feed>
""".encode()


def feeds(request: Request) -> Reply:
    """The good behaviour of two feeds, each with its validator; a third address has moved to the first."""
    if request.path == "/moved.xml":
        return Reply(301, b"", {"Location": "/tech.xml"})
    body, validator, value = {
        "/tech.xml": (TECH, "ETag", '"tech-1"'),
        "/markets.xml": (MARKETS, "Last-Modified", "Tue, 09 Jan 2024 12:00:00 GMT"),
    }.get(request.path, (b"", "", ""))
    if not body:
        return Reply(404, b"no such feed")
    condition = {"ETag": "if-none-match", "Last-Modified": "if-modified-since"}[validator]
    if request.headers.get(condition) == value:
        return Reply(304, b"", {validator: value})
    return Reply(200, body, {"Content-Type": "application/xml", validator: value})
