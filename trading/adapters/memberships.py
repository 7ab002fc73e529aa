"""Membership of many symbols on many days at once: `trading.universe_as_of` in memory, for training sets and backtests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import psycopg

EVER = datetime.max.replace(tzinfo=UTC)

_CHANGES = """
select m.source, m.symbol, m.effective_date, m.is_member, m.known_at, m.watermark
from trading.universe_members as m
inner join raw.sources as s on s.source = m.source
where m.universe = %s and m.watermark <= %s
order by s.precedence, m.source, m.effective_date, m.known_at, m.watermark
"""


@dataclass(frozen=True)
class Change:
    """One version of one change: from `effective_date` on the symbol belongs to the universe, or does not."""

    effective_date: date
    is_member: bool
    known_at: datetime


@dataclass(frozen=True)
class Memberships:
    """The changes of one universe, by source in order of precedence, and by symbol.

    Attributes:
        known_since: Per source, when anything of it was first known: from then on the first such source serves.
        changes: Per (source, symbol), by effective date and then by when each version was known.
    """

    known_since: Sequence[tuple[str, datetime]]
    changes: dict[tuple[str, str], list[Change]]

    def serving(self, as_of: datetime) -> str | None:
        """Return the source that answers as of then: the first in precedence of which anything was known."""
        return next((name for name, since in self.known_since if since <= as_of), None)

    def is_member(self, symbol: str, day: date, as_of: datetime) -> bool:
        """Tell whether the symbol belonged to the universe on a day, as known at `as_of`."""
        source = self.serving(as_of)
        if source is None:
            return False
        standing = False
        for change in self.changes.get((source, symbol), ()):
            if change.effective_date <= day and change.known_at <= as_of:
                standing = change.is_member  # the latest date comes last, and of one date the latest version
        return standing

    def ever_members(self, first: date, last: date, as_of: datetime) -> list[str]:
        """Return who belonged on any day from `first` to `last`, both included, as known at `as_of`; in name order."""
        source = self.serving(as_of)
        return sorted(
            symbol
            for (stated_by, symbol), changes in self.changes.items()
            if stated_by == source
            and any(
                self.is_member(symbol, day, as_of)
                for day in {first, *(change.effective_date for change in changes)}
                if first <= day <= last
            )
        )


def memberships(conn: psycopg.Connection, universe: str, watermark: int) -> Memberships:
    """Return every change of a universe that was published up to a watermark."""
    since: dict[str, datetime] = {}
    changes: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for source, symbol, effective_date, is_member, known_at, _ in conn.execute(_CHANGES, (universe, watermark)):
        since[source] = min(since.get(source, known_at), known_at)
        changes[source, symbol].append(Change(effective_date, is_member, known_at))
    return Memberships(list(since.items()), dict(changes))


@dataclass(frozen=True)
class Span:
    """Days of a symbol on which one publication changed the answer, by all that is known: `was`, and is no longer.

    Attributes:
        until: The first day after it; None if it does not end.
    """

    symbol: str
    first: date
    until: date | None
    was: bool
    watermark: int

    def holds(self, day: date) -> bool:
        """Tell whether a day lies in it."""
        return self.first <= day and (self.until is None or day < self.until)


class Publications:
    """One universe as every publication left it, each read once."""

    def __init__(self, conn: psycopg.Connection, universe: str) -> None:
        self._conn, self._universe = conn, universe
        self._read: dict[int, Memberships] = {}

    def up_to(self, watermark: int) -> Memberships:
        """Return what was published up to a watermark."""
        if watermark not in self._read:
            self._read[watermark] = memberships(self._conn, self._universe, watermark)
        return self._read[watermark]

    def spans(self, watermark: int, since: Mapping[str, date]) -> list[Span]:
        """Return where the publication `watermark` changed the answer.

        Args:
            since: Symbol -> the first day that its changes speak of. Where the publication made another source serve,
                every symbol may have changed on every day.
        """
        before, after = self.up_to(watermark - 1), self.up_to(watermark)
        if before.serving(EVER) != after.serving(EVER):
            since = dict.fromkeys((symbol for _, symbol in after.changes), date.min)
        return [span for symbol in sorted(since) for span in _spans(before, after, symbol, since[symbol], watermark)]

    def rested(self, symbol: str, day: date, as_of: datetime, watermark: int, spans: Iterable[Span]) -> bool:
        """Tell whether an answer given at (as_of, watermark) was the one before the publication of one of `spans`.

        An answer that had the publication before it, and was given otherwise because of a later one, does not rest on it.
        """
        said = self.up_to(watermark).is_member(symbol, day, as_of)
        for span in spans:
            if span.symbol == symbol and span.holds(day) and said == span.was:
                heard = watermark >= span.watermark
                if not heard or self.up_to(span.watermark).is_member(symbol, day, as_of) == span.was:
                    return True
        return False


def _spans(before: Memberships, after: Memberships, symbol: str, since: date, watermark: int) -> Iterator[Span]:
    days = {change.effective_date for known in (before, after) for (_, name), changes in known.changes.items()
            if name == symbol for change in changes}  # fmt: skip
    starts = sorted(day for day in {*days, since} if day >= since)
    for first, until in zip(starts, [*starts[1:], None], strict=True):
        was = before.is_member(symbol, first, EVER)
        if was != after.is_member(symbol, first, EVER):
            yield Span(symbol, first, until, was, watermark)
