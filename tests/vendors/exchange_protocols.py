"""Two exchanges as ccxt meets them: Binance's spot API and Kraken's public one, by their documentation.

Binance (developers.binance.com, REST API): /api/v3/klines, at most `limit` bars from `startTime` on, numbers as text;
errors are a status and {"code", "msg"}. Kraken (docs.kraken.com, Get OHLC Data): status 200 always, what is wrong in
"error"; bars from `since` on, the running one among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from vendor_server import Reply, Request, json_reply

DAY = 86_400_000  # milliseconds
FIRST = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
# Prices of six decimal places that no binary float holds.
CLOSES = ("44179.550000", "44946.910001", "42845.230002", "44151.100003", "44145.110004")


def kline(number: int, close: str) -> list[Any]:
    """Return a bar as Binance writes it: twelve fields, of which the first six are read."""
    at = FIRST + number * DAY
    return [at, close, "45879.630000", "40750.000000", close, "27174.29903000", at + DAY - 1, "1", 2, "1", "1", "0"]


def binance(page: int = 2, klines: Mapping[str, Sequence[list[Any]]] | None = None) -> Callable[[Request], Reply]:
    """Return the good behaviour of Binance, at most `page` bars at a time, by market; default: five bars of BTCUSDT."""
    markets = klines or {"BTCUSDT": [kline(number, close) for number, close in enumerate(CLOSES)]}

    def answer(request: Request) -> Reply:
        if request.path == "/api/v3/exchangeInfo":
            return json_reply({"timezone": "UTC", "symbols": [_pair("BTC", "USDT"), _pair("ETH", "USDT")]})
        if request.path != "/api/v3/klines":
            return json_reply({"code": -1, "msg": f"unexpected {request.path}"}, 404)
        query = request.query
        if query["symbol"] not in markets:
            return json_reply({"code": -1121, "msg": "Invalid symbol."}, 400)
        asked = [bar for bar in markets[query["symbol"]] if bar[0] >= int(query["startTime"])]
        return json_reply(asked[: min(page, int(query["limit"]))])

    return answer


def _pair(base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": f"{base}{quote}",
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"}],
    }


def kraken(request: Request) -> Reply:
    """The good behaviour of Kraken, the pair BTC/USD only."""
    if request.path == "/0/public/AssetPairs":
        pair = {
            "altname": "XBTUSD",
            "wsname": "XBT/USD",
            "base": "XXBT",
            "quote": "ZUSD",
            "lot": "unit",
            "pair_decimals": 1,
            "lot_decimals": 8,
            "fees": [[0, 0.4]],
            "fees_maker": [[0, 0.25]],
            "ordermin": "0.0001",
            "costmin": "0.5",
            "tick_size": "0.1",
            "status": "online",
            "leverage_buy": [],
            "leverage_sell": [],
        }
        return json_reply({"error": [], "result": {"XXBTZUSD": pair}})
    if request.path == "/0/public/OHLC":
        bars = [
            [(FIRST + number * DAY) // 1000, close, "45879.6", "40750.0", close, "43000.1", "271.5", 9]
            for number, close in enumerate(CLOSES)
        ]
        asked = [bar for bar in bars if bar[0] >= int(request.query.get("since", 0))]
        return json_reply({"error": [], "result": {"XXBTZUSD": asked, "last": bars[-2][0]}})
    return json_reply({"error": [], "result": {}})  # the list of currencies, which ccxt asks for too
