"""The vendors by name: one line each, and nothing else knows them. A module is imported when its vendor is asked for.

After a colon stands what a vendor has several of (`ccxt:kraken`, `alpaca:iex`): its module makes it with `variant`.

A vendor's formats begin with its name (`yfinance.chart`), so a stored page finds the module that reads it, for ever: a
line may be added here, and none taken away.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from trading.adapters.sources.vendor import Vendor
from trading.errors import InputError

if TYPE_CHECKING:
    from trading.adapters.feeds.stream import Stream

VENDORS: dict[str, str] = {
    "alpaca": "trading.adapters.sources.alpaca",
    "ccxt": "trading.adapters.sources.ccxt",
    "newsapi": "trading.adapters.sources.newsapi",
    "rss": "trading.adapters.sources.rss",
    "yfinance": "trading.adapters.sources.yfinance",
}


def vendor_named(name: str) -> Vendor:
    """Return the vendor of this name.

    Raises:
        InputError: there is none.
    """
    base, _, variant = name.partition(":")
    if base not in VENDORS:
        raise InputError(f"expected a vendor, one of {', '.join(sorted(VENDORS))}; found {name!r}")
    module = import_module(VENDORS[base])
    if not variant:
        return cast(Vendor, module.VENDOR)
    if not hasattr(module, "variant"):
        raise InputError(f"expected the vendor {base} without a colon, found {name!r}")
    return cast(Vendor, module.variant(variant))


def vendor_of_format(format_: str) -> Vendor | Stream:
    """Return the vendor, or the stream of one, that reads this format.

    Raises:
        InputError: no vendor's format begins so.
    """
    from trading.adapters.feeds.registry import stream_of  # a stream rests on a vendor

    name, _, form = format_.partition(".")
    return stream_of(name) if form in ("stream", "trades") else vendor_named(name)
