"""What a vendor's websocket declares, and its functions; how a connection is kept is connection.py.

A stored message is read by the same module that heard it: `rows`, found by the reader's format (`alpaca.stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trading.adapters.sources.vendor import Vendor
from trading.errors import InputError
from trading.feed.messages import FeedKind, Message
from trading.ingestion.payload import Cell
from trading.ingestion.reader import Reader


@dataclass(frozen=True)
class Subscription:
    """What is listened to: bars of an interval, trades, or both, of these symbols."""

    symbols: tuple[str, ...]
    interval: str
    kinds: tuple[FeedKind, ...] = ("prices",)


class Talk(Protocol):
    """A connection while two sides greet each other."""

    def send(self, text: str) -> None:
        """Send one frame."""
        ...

    def hear(self) -> str:
        """Return the next frame; raises ConnectionCut where none comes in time."""
        ...


@dataclass(frozen=True)
class Stream:
    """A vendor's websocket.

    Attributes:
        vendor: Who gives the same bars by pages: the source's name, its lag, its calendar, its credentials.
        url: Where it listens; `TRADELOOM_<NAME>_STREAM_URL` in the environment says another address.
        intervals: The bars that it tells.
        kinds: What it tells.
        greet: Makes itself known and subscribes: (connection, subscription, credentials by their variables).
        read: One frame -> the messages in it that tell a finished bar or a trade. Raises what a frame says is wrong.
        details: The symbols of some messages -> what their reader must say beside their words.
        rows: Stored messages, one per line, and their reader -> cells by our column names; pages of `trades` too.
        trades: Who gives the same trades by pages, under the same ids; None where nobody does.
    """

    vendor: Vendor
    url: str
    intervals: tuple[str, ...]
    kinds: tuple[FeedKind, ...]
    format: str
    greet: Callable[[Talk, Subscription, Mapping[str, str]], None]
    read: Callable[[str, Subscription], list[Message]]
    rows: Callable[[bytes, Reader], Iterable[Mapping[str, Cell]]]
    details: Callable[[Iterable[str]], dict[str, str]] = field(default=lambda symbols: {})
    trades: Vendor | None = None

    @property
    def source(self) -> str:
        """The value of the column `source`."""
        return self.vendor.name

    def refuse_unless_offered(self, wanted: Subscription) -> None:
        """Raise InputError where the stream does not tell what is wanted."""
        if lacking := [kind for kind in wanted.kinds if kind not in self.kinds]:
            raise InputError(
                f"expected {' or '.join(self.kinds)} of {self.source}'s stream, found {lacking[0]} asked for"
            )
        if wanted.interval not in self.intervals:
            raise InputError(
                f"expected an interval of {', '.join(self.intervals)} of {self.source}'s stream, found {wanted.interval!r}"
            )

    def address(self, environ: Mapping[str, str]) -> str:
        """Return where to connect."""
        name = self.source.partition(":")[0].upper()
        return environ.get(f"TRADELOOM_{name}_STREAM_URL", "") or self.url
