"""The vendor `yfinance`: Yahoo's chart endpoint through the session of the library yfinance, its bodies untouched.

Yahoo has no raw prices: it restates every older bar and dividend at each split, which is undone (yahoo_chart.py), so
that nothing that was published changes at the next split (docs/decisions/0102-yahoos-splits-are-undone.md).

Not offered: `30m` (Yahoo answers with other bars) and `1w`, `1mo` (a split inside a bar cannot be undone; resample).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from trading.adapters.sources.answers import Answer, ConnectionCut, json_of
from trading.adapters.sources.calls import Calls
from trading.adapters.sources.vendor import Vendor
from trading.adapters.sources.yahoo_chart import result_of, rows, splits_of
from trading.errors import VendorRefusedError
from trading.ingestion.ports import Ask, Page
from trading.intervals import Interval

_FORMAT = "yfinance.chart"
_FAR = 9_999_999_999  # seconds since 1970; later than any split that can be in the answer
_NOT_THERE = (400, 404, 422)
# How much one answer holds. Daily bars always come up to now, so that every later split is among their events.
_AT_ONCE = {
    "1m": timedelta(days=7),
    "5m": timedelta(days=59),
    "15m": timedelta(days=59),
    "1h": timedelta(days=729),
}


def _pages(ask: Ask, resume_from: str | None, calls: Calls) -> Iterator[Page]:
    """Yield a page per symbol and stretch of time; the cursor is the symbol's place and where its next page begins."""
    place, start = _place(ask, resume_from)
    client = _Client(calls)
    for at in range(place, len(ask.symbols)):
        symbol = ask.symbols[at]
        is_daily = ask.kind == "actions" or ask.interval == "1d"
        splits = "" if is_daily else client.splits_since(symbol, start)
        while start < ask.end:
            end = ask.end if is_daily else min(start + _AT_ONCE[ask.interval], ask.end)
            body = client.chart(symbol, "1d" if is_daily else ask.interval, start, None if is_daily else end)
            details = {"symbol": symbol, "from": start.isoformat(), "to": _last_start(ask, end, is_daily).isoformat()}
            reader = ask.reader(_FORMAT, "raw", **details | ({"splits": splits} if splits else {}))
            cursor = f"{at + 1}" if end == ask.end else f"{at} {end.isoformat()}"
            yield Page(body, f"chart {symbol} {ask.kind} {ask.interval} {start:%Y-%m-%d}", reader, cursor)
            start = end
        start = ask.start


def _last_start(ask: Ask, end: datetime, is_daily: bool) -> datetime:
    """Return before when a bar of this stretch must begin: at the end of the ask it must be over too."""
    if is_daily or end < ask.end:
        return end
    return end - Interval.parse(ask.interval).length + timedelta.resolution


def _place(ask: Ask, cursor: str | None) -> tuple[int, datetime]:
    place, _, start = (cursor or "0").partition(" ")
    return int(place), datetime.fromisoformat(start) if start else ask.start


class _Client:
    """Yahoo behind the session that yfinance makes: it looks like a browser, which Yahoo asks for."""

    def __init__(self, calls: Calls) -> None:
        from yfinance._http import new_session

        self._calls = calls
        self._session: Any = new_session()
        calls.closing(self._session.close)

    def chart(self, symbol: str, interval: str, start: datetime, end: datetime | None) -> bytes:
        """Return the chart of a symbol as it came; without `end` up to now, with its splits and dividends."""
        # Yahoo dates a day by its opening, which in the Pacific is on the eve in UTC.
        begin = start - timedelta(days=1) if interval == "1d" else start
        params = {
            "period1": str(int(begin.timestamp())),
            "period2": str(int(end.timestamp()) if end else _FAR),
            "interval": interval,
            "includePrePost": "false",
            "events": "div,splits",
        }
        path = f"/v8/finance/chart/{quote(symbol, safe='')}"
        answer = self._calls.attempt(lambda: self._once(path, params), path, Answer.value, accepts=_NOT_THERE)
        result_of(answer.value())
        if not answer.is_good and not _says_that_nothing_is_there(answer):
            raise VendorRefusedError(f"expected the chart of {symbol}, found {_reason(answer.value())}")
        return answer.body

    def splits_since(self, symbol: str, start: datetime) -> str:
        """Return the splits from `start` up to now, as a reader keeps them: `2020-08-31 4,2024-06-10 10`."""
        found = splits_of(result_of(json_of(self.chart(symbol, "1d", start, None))))
        return ",".join(f"{split.ex_date} {split.ratio}" for split in found)

    def _once(self, path: str, params: Mapping[str, str]) -> Answer:
        from yfinance._http import requests

        try:
            got = self._session.get(self._calls.base_url + path, params=params, timeout=self._calls.patience.to_answer)
        except requests.exceptions.RequestException as error:
            raise ConnectionCut(f"a cut connection ({type(error).__name__})") from error
        return Answer(got.status_code, {name.lower(): value for name, value in got.headers.items()}, bytes(got.content))


def _says_that_nothing_is_there(answer: Answer) -> bool:
    return answer.status == 404 or "Data doesn't exist" in _reason(answer.value())


def _reason(found: Any) -> str:
    return str((found["chart"].get("error") or {}).get("description"))


VENDOR = Vendor(
    name="yfinance",
    kinds=("prices", "actions"),
    base_url="https://query2.finance.yahoo.com",
    requests_per_minute=60,  # Yahoo states none; what the library's users report to be safe
    lag=timedelta(minutes=20),
    pages=_pages,
    rows=rows,
    intervals=("1m", "5m", "15m", "1h", "1d"),
    reaches_back={
        "1m": timedelta(days=29),
        "5m": timedelta(days=59),
        "15m": timedelta(days=59),
        "1h": timedelta(days=729),
    },
)
