"""Alpaca's market data protocol, as documented at docs.alpaca.markets/reference (stockbars, news-3, corporateactions-1).

Bars are sorted by symbol, then by time; `next_page_token` says where the next page begins. The pages are shorter here
than the limit that was asked for, which the protocol allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vendor_server import Reply, Request, json_reply

KEYS = {"APCA_API_KEY_ID": "PKALPACA7", "APCA_API_SECRET_KEY": "s3cret-of-alpaca"}

# Midnight in New York, in UTC: 05:00 in winter.
BARS: dict[str, list[dict[str, Any]]] = {
    "AAPL": [
        {"t": "2024-01-02T05:00:00Z", "o": 187.15, "h": 188.44, "l": 183.885, "c": 185.64, "v": 82496943, "n": 1, "vw": 185.9},
        {"t": "2024-01-03T05:00:00Z", "o": 184.22, "h": 185.88, "l": 183.43, "c": 184.25, "v": 58418916, "n": 1, "vw": 184.3},
        {"t": "2024-01-04T05:00:00Z", "o": 182.15, "h": 183.0872, "l": 180.88, "c": 181.91, "v": 71992243, "n": 1, "vw": 182},
    ],
    "MSFT": [
        {"t": "2024-01-02T05:00:00Z", "o": 373.86, "h": 375.9, "l": 366.7718, "c": 370.87, "v": 25258633, "n": 1, "vw": 370.3},
        {"t": "2024-01-03T05:00:00Z", "o": 369.01, "h": 373.26, "l": 368.51, "c": 370.6, "v": 23083465, "n": 1, "vw": 370.8},
    ],
}  # fmt: skip

NEWS = [
    {
        "id": 24843171,
        "headline": "Apple&#39;s Headset Gets a Date",
        "author": "A Writer",
        "created_at": "2024-01-08T14:00:00Z",
        "updated_at": "2024-01-08T14:05:30Z",
        "summary": "<p>It comes in <b>February</b>.</p>",
        "content": "",
        "url": "https://news.example/24843171",
        "images": [],
        "symbols": ["AAPL"],
        "source": "benzinga",
    },
    {
        "id": 24843172,
        "headline": "Two Cloud Makers Report",
        "author": "A Writer",
        "created_at": "2024-01-09T21:00:00Z",
        "updated_at": "2024-01-09T21:00:00Z",
        "summary": "",
        "content": "",
        "url": "https://news.example/24843172",
        "images": [],
        "symbols": ["AMZN", "MSFT"],
        "source": "benzinga",
    },
]

ACTIONS: dict[str, list[dict[str, Any]]] = {
    "cash_dividends": [
        {"symbol": "AAPL", "rate": 0.24, "special": False, "foreign": False, "process_date": "2024-02-15", "ex_date": "2024-02-09"},
        {"symbol": "MSFT", "rate": 0.75, "special": False, "foreign": False, "process_date": "2024-03-14", "ex_date": "2024-02-14"},
        {"symbol": "MSFT", "rate": 3, "special": True, "foreign": False, "process_date": "2024-03-14", "ex_date": "2024-02-14"},
    ],
    "forward_splits": [
        {"symbol": "NVDA", "new_rate": 10, "old_rate": 1, "process_date": "2024-06-10", "ex_date": "2024-06-10"}
    ],
    "reverse_splits": [
        {"symbol": "TINY", "new_rate": 1, "old_rate": 3, "process_date": "2024-03-01", "ex_date": "2024-03-01"}
    ],
    "name_changes": [
        {"old_symbol": "FB", "new_symbol": "META", "old_cusip": "1", "new_cusip": "2", "process_date": "2022-06-09"},
        {"old_symbol": "SAME", "new_symbol": "SAME", "old_cusip": "1", "new_cusip": "2", "process_date": "2022-06-09"},
    ],
    "cash_mergers": [
        {"acquiree_symbol": "TWTR", "rate": 54.2, "process_date": "2022-10-28", "effective_date": "2022-10-28"}
    ],
    "spin_offs": [
        {"source_symbol": "GE", "source_rate": 4, "new_symbol": "GEV", "new_rate": 1, "process_date": "2024-04-02", "ex_date": "2024-04-02"}
    ],
    "unit_splits": [{"old_symbol": "UNIT", "process_date": "2024-04-02"}],
}  # fmt: skip


def alpaca(page: int = 2) -> Callable[[Request], Reply]:
    """Return the good behaviour of Alpaca, `page` rows at a time."""

    def answer(request: Request) -> Reply:
        headers = {"apca-api-key-id": "APCA_API_KEY_ID", "apca-api-secret-key": "APCA_API_SECRET_KEY"}
        if any(request.headers.get(header) != KEYS[name] for header, name in headers.items()):
            return json_reply({"message": "forbidden."}, 403)
        if request.path == "/v2/stocks/bars":
            return _bars(request.query, page)
        if request.path == "/v1beta1/news":
            return _news(request.query, page)
        if request.path == "/v1/corporate-actions":
            return json_reply({"corporate_actions": _actions(request.query), "next_page_token": None})
        return json_reply({"message": "endpoint not found."}, 404)

    return answer


def _bars(query: dict[str, str], page: int) -> Reply:
    if query.get("timeframe") not in ("1Day", "5Min", "1Week"):
        return json_reply({"message": "invalid timeframe"}, 400)
    asked = [
        (symbol, bar)
        for symbol in sorted(query["symbols"].split(","))
        for bar in BARS.get(symbol, [])
        if query["start"] <= bar["t"] <= query["end"]
    ]
    at, following = _place(query, page, len(asked))
    found: dict[str, list[Any]] = {}
    for symbol, bar in asked[at : at + page]:
        found.setdefault(symbol, []).append(bar)
    return json_reply({"bars": found, "next_page_token": following})


def _news(query: dict[str, str], page: int) -> Reply:
    symbols = set(query["symbols"].split(","))
    asked = [item for item in NEWS if symbols & set(item["symbols"])]
    at, following = _place(query, page, len(asked))
    return json_reply({"news": asked[at : at + page], "next_page_token": following})


def _actions(query: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """By the day on which Alpaca processes them, both ends included; `types` are singular there."""
    asked = set(query["symbols"].split(","))
    names = ("symbol", "old_symbol", "new_symbol", "acquiree_symbol", "source_symbol")
    wanted = {f"{name}s" for name in query["types"].split(",")} if "types" in query else set(ACTIONS)
    return {
        kind: [
            action
            for action in actions
            if asked & {action.get(name) for name in names} and query["start"] <= action["process_date"] <= query["end"]
        ]
        for kind, actions in ACTIONS.items()
        if kind in wanted
    }


def _place(query: dict[str, str], page: int, rows: int) -> tuple[int, str | None]:
    at = int(query.get("page_token", "AT|0").removeprefix("AT|"))
    return at, f"AT|{at + page}" if at + page < rows else None
