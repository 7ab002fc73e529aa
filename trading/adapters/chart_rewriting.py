"""A chart computed again from a bar on, and what then differs from the stored bars, as versions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from trading.adapters import chart_rows
from trading.adapters.chart_feeds import Feed, end_of
from trading.adapters.chart_rows import ChartSeries, Head
from trading.adapters.instruments import calendars_of
from trading.adapters.sessions import ensure_sessions, read_sessions
from trading.chart_bars.chart import OVER_TIME, TRADES
from trading.chart_bars.chunks import feed_many
from trading.chart_bars.closed import ClosedBar
from trading.chart_bars.grid import Grid
from trading.chart_bars.machine import Machine
from trading.chart_bars.prints import Print, Prints
from trading.chart_bars.state import State
from trading.chart_bars.timeline import Key, Stored, Version, corrections, is_same
from trading.errors import InputError
from trading.identity import epoch_micros
from trading.intervals import Interval

NOWHERE, EVERYWHERE = (-(2**63), 0), (2**63, 0)
_AROUND = timedelta(days=40)  # sessions of a whole month around a print


@dataclass
class Rewriting:
    """One epoch of a correction: from `since` until before `before` the bars are those of the prints known then.

    Args:
        last_changed: The last moment at which prints differ from those that the stored bars were made of.
        touched: The last bar that an earlier epoch may have changed: behind it nothing of ours is stored yet.
        to_at: No print of the epoch is later.
        look: How many prints are read first; where few are enough, few are read.
    """

    conn: psycopg.Connection
    feed: Feed
    series: ChartSeries
    machine: Machine
    own: int
    last_changed: datetime
    since: datetime
    before: datetime | str
    touched: Key
    written: int = 0
    to_at: datetime | None = None  # no print of the epoch is later
    look: int | None = None

    def run(self, after: Key | None) -> Head | None:
        """Add what differs behind a bar; return where the chart then stands, None where it came to what is stored."""
        state = self.machine.state
        read_to = chart_rows.moment(state.at) if after else None
        read_id = state.trade_id
        for block in self.feed.blocks(read_to, read_id, self.before, self.own, self.to_at, self.look):
            read_to, read_id = end_of(block)
            bars = [bar._replace(known_at=max(bar.known_at, self._since)) for bar in fed(self.machine, block)]
            if not bars:
                continue
            stored = self._stored(after, _key(bars[-1]))
            meeting = self._meeting(bars, stored)
            if meeting is not None:
                bars, last = bars[: meeting + 1], _key(bars[meeting])
                stored = {key: versions for key, versions in stored.items() if key <= last}
            self._add(bars, stored)
            after = _key(bars[-1])
            if meeting is not None:
                self.touched = after
                return None
        self._add([], self._stored(after, None))
        self.touched = EVERYWHERE
        return Head(self.own, read_to, read_id, state)

    @property
    def _since(self) -> int:
        return epoch_micros(self.since)

    def _stored(self, after: Key | None, to: Key | None) -> dict[Key, list[Stored]]:
        return chart_rows.stored_versions(self.conn, self.series, after, to, self.before)

    def _meeting(self, bars: list[ClosedBar], stored: dict[Key, list[Stored]]) -> int | None:
        """Return the place of the first bar from which on all is as stored: behind every changed print, and the same."""
        last_changed = epoch_micros(self.last_changed)
        for place, bar in enumerate(bars):
            if _key(bar) <= self.touched or bar.closed_at <= last_changed or bar.last_id is None:
                continue
            if there := stored.get(_key(bar)):
                newest = max(there, key=lambda one: (one.known_at, one.watermark))
                if is_same(newest.bar, bar):
                    return place
        return None

    def _add(self, bars: list[ClosedBar], stored: dict[Key, list[Stored]]) -> None:
        versions = corrections({_key(bar): bar for bar in bars}, stored, self._since)
        self.written += chart_rows.write_versions(self.conn, self.series, versions, self.own)


def fed(machine: Machine, block: Prints | list[Print]) -> list[ClosedBar]:
    """Feed a block; return the bars that closed."""
    if isinstance(block, Prints):
        return feed_many(machine, block)
    return [bar for one in block for bar in machine.feed(one)]


def _key(bar: ClosedBar) -> Key:
    return (bar.timestamp, bar.sequence)


def as_version(bar: ClosedBar) -> Version:
    """Return a bar as the version that is known since it closed."""
    return Version(_key(bar), bar.known_at, bar)


def grid_of(
    conn: psycopg.Connection, series: ChartSeries, state: State, first_at: datetime | None, last_at: datetime | None
) -> Grid | None:
    """Return the periods of a chart over time around the prints from..to; its open bar's among them."""
    if series.chart.style not in OVER_TIME or first_at is None or last_at is None:
        return None
    calendar = calendars_of(conn, [series.symbol]).get(series.symbol)
    if calendar is None:
        raise InputError(f"expected an instrument {series.symbol}, whose calendar says when it trades; found none")
    opened_at = chart_rows.moment(state.start) if state.count else first_at
    first, last = (min(opened_at, first_at) - _AROUND).date(), last_at.astimezone(UTC).date()
    ensure_sessions(conn, [calendar], first, last, last_at)
    finer = None if series.chart.fed == TRADES else Interval.parse(series.chart.fed)
    sessions = read_sessions(conn, [calendar], first, last + timedelta(days=1))
    return Grid(series.chart.interval, sessions[calendar], finer)
