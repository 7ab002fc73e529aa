"""The streams by the vendor's name: one line each. A module is imported when its stream is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from trading.adapters.feeds.stream import Stream
from trading.errors import InputError

STREAMS: dict[str, str] = {
    "alpaca": "trading.adapters.feeds.alpaca",
    "alpaca:iex": "trading.adapters.feeds.alpaca",
    "alpaca:realtime": "trading.adapters.feeds.alpaca",
    "ccxt:binance": "trading.adapters.feeds.binance",
}
# First word of a stored format -> a stream that reads it, for ever: a line may be added here, and none taken away.
_READERS = {"alpaca": "alpaca", "ccxt": "ccxt:binance"}


def has_stream(source: str) -> bool:
    """Tell whether a vendor is listened to, or else polled."""
    return source in STREAMS


@cache
def stream_named(source: str) -> Stream:
    """Return the stream of this vendor.

    Raises:
        InputError: it has none.
    """
    from trading.adapters.sources.registry import vendor_named

    if source not in STREAMS:
        raise InputError(f"expected a vendor with a stream, one of {', '.join(STREAMS)}; found {source!r}")
    found: Stream = import_module(STREAMS[source]).stream(vendor_named(source))
    return found


def stream_of(first_word: str) -> Stream:
    """Return a stream that reads the stored messages of this vendor.

    Raises:
        InputError: no vendor's stream has this name.
    """
    return stream_named(_READERS.get(first_word, first_word))
