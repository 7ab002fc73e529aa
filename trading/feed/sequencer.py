"""Messages in order: repeats left out, late ones waited for as long as it was said, what did not come told as a hole.

A bar that follows the one before it goes on at once, and so does a trade with the next number. Any other waits for what
is missing before it, at most `lateness`. Trades that nobody numbers wait as long, each, and go on in the order of their
moments. What comes later still, and what corrects, goes on when it comes: the warehouse keeps versions by their keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush

from trading.feed.messages import FeedKind, Hole, Message
from trading.identity import epoch_micros

_MICROSECOND = timedelta(microseconds=1)

# A vendor repeats what it told just before a connection broke, not what it told yesterday.
_REMEMBERED: Mapping[FeedKind, int] = {"prices": 64, "trades": 1024}


@dataclass
class Counts:
    """What became of the messages so far."""

    taken: int = 0
    repeated: int = 0
    late: int = 0


@dataclass
class _Series:
    """One kind of one symbol: where it stands, and the messages that wait, by their place."""

    place: int | None = None
    at: datetime | None = None
    waiting: list[tuple[int, int, datetime, Message]] = field(default_factory=list)
    told: OrderedDict[str, str] = field(default_factory=OrderedDict)


class Sequencer:
    """The order of a feed's messages.

    Args:
        step: The length of the bars.
        lateness: How long a message waits for what is missing before it.
    """

    def __init__(self, step: timedelta, lateness: timedelta) -> None:
        """Begin with nothing told."""
        self._step, self._lateness = step, lateness
        self._series: dict[tuple[FeedKind, str], _Series] = {}
        self._waiting: set[tuple[FeedKind, str]] = set()
        self._holes: list[Hole] = []
        self._number = 0
        self.counts = Counts()

    def take(self, message: Message, now: datetime) -> list[Message]:
        """Return what can go on now that `message` came, in its order."""
        name = (message.kind, message.symbol)
        series = self._series.setdefault(name, _Series())
        self.counts.taken += 1
        if series.told.get(message.key) == message.line:
            self.counts.repeated += 1
            return []
        self._remember(series, message)
        if message.corrects:
            return [message]
        if self._is_behind(series, message):
            self.counts.late += 1
            return [message]
        if self._is_next(series, message):
            _stand_at(series, message)
            return [message, *self._following(name, series)]
        self._number += 1
        heappush(series.waiting, (_place(message), self._number, now + self._lateness, message))
        self._waiting.add(name)
        return []

    def bars_are_here(self, newest: Mapping[str, datetime]) -> None:
        """Note that the bars up to these came another way: nothing before them is waited for; `newest` by symbol."""
        for symbol, at in newest.items():
            series = self._series.setdefault(("prices", symbol), _Series())
            if series.at is None or series.at < at:
                series.place, series.at = epoch_micros(at), at

    def trades_are_here(self, newest: Mapping[str, tuple[datetime, int]]) -> None:
        """Note that the numbered trades up to these came another way; `newest` is moment and number, by symbol."""
        for symbol, (at, number) in newest.items():
            series = self._series.setdefault(("trades", symbol), _Series())
            if series.place is None or series.place < number:
                series.place, series.at = number, at

    def due(self, now: datetime) -> list[Message]:
        """Return what has waited long enough, in its order; what was missing before it is a hole."""
        found: list[Message] = []
        for name in sorted(self._waiting):
            series = self._series[name]
            while any(until <= now for _, _, until, _ in series.waiting):
                found.append(self._jump(series))
                found += self._following(name, series)
            self._forget_unless_waiting(name, series)
        return found

    def next_due(self) -> datetime | None:
        """Return when something will have waited long enough, or None where nothing waits."""
        return min((until for name in self._waiting for _, _, until, _ in self._series[name].waiting), default=None)

    def holes(self) -> list[Hole]:
        """Return what was found missing since this was last asked."""
        found, self._holes = self._holes, []
        return found

    def _jump(self, series: _Series) -> Message:
        """Let the first that waits go on although something before it may be missing."""
        message = heappop(series.waiting)[3]
        if self._is_behind(series, message) and not _is_unnumbered_trade(message):
            return message  # what was missing before it, and it too, came another way meanwhile
        if series.at is not None and not self._is_next(series, message) and not _is_unnumbered_trade(message):
            self._holes.append(_hole_before(message, series.at, series.place))
        _stand_at(series, message)
        return message

    def _following(self, name: tuple[FeedKind, str], series: _Series) -> Iterator[Message]:
        while series.waiting and self._is_next(series, series.waiting[0][3]):
            message = heappop(series.waiting)[3]
            _stand_at(series, message)
            yield message
        self._forget_unless_waiting(name, series)

    def _forget_unless_waiting(self, name: tuple[FeedKind, str], series: _Series) -> None:
        if not series.waiting:
            self._waiting.discard(name)

    def _is_next(self, series: _Series, message: Message) -> bool:
        if _is_unnumbered_trade(message):
            return False
        if series.place is None:
            return True
        return _place(message) == series.place + (1 if message.sequence is not None else self._step // _MICROSECOND)

    @staticmethod
    def _is_behind(series: _Series, message: Message) -> bool:
        return series.place is not None and _place(message) <= series.place

    @staticmethod
    def _remember(series: _Series, message: Message) -> None:
        series.told[message.key] = message.line
        series.told.move_to_end(message.key)
        if len(series.told) > _REMEMBERED[message.kind]:
            series.told.popitem(last=False)


def _stand_at(series: _Series, message: Message) -> None:
    series.place, series.at = _place(message), message.timestamp


def _hole_before(message: Message, after: datetime, place: int | None) -> Hole:
    if message.sequence is None or place is None:
        return Hole(message.kind, message.symbol, after, message.timestamp)
    return Hole(message.kind, message.symbol, after, message.timestamp, place + 1, message.sequence - 1)


def _is_unnumbered_trade(message: Message) -> bool:
    return message.kind == "trades" and message.sequence is None


def _place(message: Message) -> int:
    """Return a message's place in its series: its number, or its moment in microseconds."""
    return epoch_micros(message.timestamp) if message.sequence is None else message.sequence
