"""Membership of many symbols on many days at once: `trading.universe_as_of` in memory, for training sets and backtests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

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

    def is_member(self, symbol: str, day: date, as_of: datetime) -> bool:
        """Tell whether the symbol belonged to the universe on a day, as known at `as_of`."""
        source = next((name for name, since in self.known_since if since <= as_of), None)
        if source is None:
            return False
        standing = False
        for change in self.changes.get((source, symbol), ()):
            if change.effective_date <= day and change.known_at <= as_of:
                standing = change.is_member  # the latest date comes last, and of one date the latest version
        return standing


def memberships(conn: psycopg.Connection, universe: str, watermark: int) -> Memberships:
    """Return every change of a universe that was published up to a watermark."""
    since: dict[str, datetime] = {}
    changes: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for source, symbol, effective_date, is_member, known_at, _ in conn.execute(_CHANGES, (universe, watermark)):
        since[source] = min(since.get(source, known_at), known_at)
        changes[source, symbol].append(Change(effective_date, is_member, known_at))
    return Memberships(list(since.items()), dict(changes))
