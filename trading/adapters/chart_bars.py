"""Keeping charts up: what was published since is fed to their machines, and the bars that close become versions.

`advance_charts` is called after every publication, by ingestion and by a live feed. What merely continues a series goes
on from where the chart stands, and costs a step. What came late or corrects a print is taken in from the last bar before
it, once for each epoch (docs/chart-bars.md), up to where bars are again those that are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from trading.adapters import chart_rows
from trading.adapters.chart_feeds import Feed, News, Reach, end_of
from trading.adapters.chart_rows import ChartSeries, Head
from trading.adapters.instruments import calendars_of
from trading.adapters.postgres import connection
from trading.adapters.sessions import ensure_sessions, read_sessions
from trading.adapters.warehouse import take_watermark
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

_NOWHERE, _EVERYWHERE = (-(2**63), 0), (2**63, 0)
_AROUND = timedelta(days=40)  # sessions of a whole month around a print


class _OutOfOrderError(Exception):
    """A print became known before one that traded earlier: what was appended is not what was known in between."""


@dataclass(frozen=True)
class Advanced:
    """What became of a chart: versions of bars that were added; `refused` says why it could not go on."""

    series: ChartSeries
    versions: int
    refused: str | None = None


def advance_charts(url: str) -> list[Advanced]:
    """Take everything published so far into every chart in use; all of it becomes visible at once.

    Nothing waiting: nothing is written, no watermark is taken.

    Raises:
        InputError: charts that cannot go on (bricks far too small); the others were advanced.
        EngineUnavailableError, DiskFullError: PostgreSQL failed; nothing is half done, call again.
    """
    with connection(url, application="tradeloom-charts") as conn:
        if not chart_rows.waiting_charts(conn):
            return []
    # Prints are streamed while bars are written, which one connection cannot do. The watermark's lock keeps every
    # publisher out until the end, so both see the same. A stream that is left before its end fails its transaction:
    # each has its own.
    with (
        connection(url, application="tradeloom-charts") as conn,
        connection(url, application="tradeloom-charts") as reading,
    ):
        reading.autocommit = True
        own = take_watermark(conn, "charts")
        done = [_advanced(conn, reading, one, own) for one in chart_rows.waiting_charts(conn)]
        if not done:
            conn.rollback()  # somebody else did it
    if refused := [one.refused for one in done if one.refused is not None]:
        raise InputError("; ".join(refused))
    return done


def _advanced(conn: psycopg.Connection, reading: psycopg.Connection, series: ChartSeries, own: int) -> Advanced:
    try:
        with conn.transaction():
            return Advanced(series, _advance(conn, reading, series, own))
    except InputError as error:
        chart = series.chart
        return Advanced(series, 0, f"{chart.style} {chart.parameter} of {series.symbol}: {error}")


def _advance(conn: psycopg.Connection, reading: psycopg.Connection, series: ChartSeries, own: int) -> int:
    head = chart_rows.read_head(conn, series) or Head(0, None, "", State())
    feed = Feed(reading, series.source, series.symbol, series.chart.fed)
    news = feed.news(head.source_watermark, own, head.read_to, head.read_id)
    if news.known_at is None:
        return 0
    is_first = head.source_watermark == 0 and not chart_rows.has_bars(conn, series)
    if (
        (is_first or head.source_watermark > 0)
        and not news.reaches_back
        and head.state.known_at <= epoch_micros(news.known_at)
    ):
        try:
            with conn.transaction():
                return _continue(conn, feed, series, head, news, own)
        except _OutOfOrderError:
            pass  # what was written is rolled back; it is taken in as what came late
    return _correct(conn, feed, series, head, news, own)


def _continue(conn: psycopg.Connection, feed: Feed, series: ChartSeries, head: Head, news: News, own: int) -> int:
    """Append the bars that new prints close, each print known no earlier than the one before it."""
    state = replace(head.state)  # the head itself stays as it was, should this be rolled back
    machine = Machine(series.chart, state, _grid(conn, series, state, news.first_at, news.last_at))
    read_to, read_id, written = head.read_to, head.read_id, 0
    for block in feed.blocks(read_to, read_id, "infinity", own):
        _refuse_disorder(block, state.known_at)
        bars = _fed(machine, block)
        written += chart_rows.write_versions(conn, series, map(_as_version, bars), own)
        read_to, read_id = end_of(block)
    chart_rows.write_head(conn, series, Head(own, read_to, read_id, machine.state))
    return written


def _refuse_disorder(block: Prints | list[Print], known_at: int) -> None:
    known = np.array([one.known_at for one in block]) if isinstance(block, list) else block.known_at
    if known[0] < known_at or (np.diff(known) < 0).any():
        raise _OutOfOrderError


def _correct(conn: psycopg.Connection, feed: Feed, series: ChartSeries, head: Head, news: News, own: int) -> int:
    """Compute again from the last bar before what changed, once per epoch, and add what differs."""
    reach = feed.reach(head.source_watermark, own)
    start = chart_rows.checkpoint(conn, series, reach.first_at, reach.epochs[0])
    written, kept, touched = 0, head, _NOWHERE
    for number, since in enumerate(reach.epochs):
        before: datetime | str = reach.epochs[number + 1] if number + 1 < len(reach.epochs) else "infinity"
        state = State.after_bar(series.chart.style, start[0]) if start else State()
        grid = _grid(
            conn, series, state, start[1] if start else reach.first_at, max(reach.last_at, _latest(news, head))
        )
        rewriting = _Rewriting(
            conn, feed, series, Machine(series.chart, state, grid), own, reach, since, before, touched
        )
        end = rewriting.run((start[0].timestamp, start[0].sequence) if start else None)
        written, touched = written + rewriting.written, max(touched, rewriting.touched)
        kept = end or head
    kept.state.known_at = max(kept.state.known_at, epoch_micros(reach.epochs[-1]))
    chart_rows.write_head(conn, series, Head(own, kept.read_to, kept.read_id, kept.state))
    return written


@dataclass
class _Rewriting:
    """One epoch of a correction: from `since` until before `before` the bars are those of the prints known then."""

    conn: psycopg.Connection
    feed: Feed
    series: ChartSeries
    machine: Machine
    own: int
    reach: Reach
    since: datetime
    before: datetime | str
    touched: Key  # the last bar that an earlier epoch may have changed: behind it nothing of ours is stored yet
    written: int = 0

    def run(self, after: Key | None) -> Head | None:
        """Add what differs behind a bar; return where the chart then stands, None where it came to what is stored."""
        state = self.machine.state
        read_to = chart_rows.moment(state.at) if after else None
        read_id = state.trade_id
        for block in self.feed.blocks(read_to, read_id, self.before, self.own):
            read_to, read_id = end_of(block)
            bars = [bar._replace(known_at=max(bar.known_at, self._since)) for bar in _fed(self.machine, block)]
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
        self.touched = _EVERYWHERE
        return Head(self.own, read_to, read_id, state)

    @property
    def _since(self) -> int:
        return epoch_micros(self.since)

    def _stored(self, after: Key | None, to: Key | None) -> dict[Key, list[Stored]]:
        return chart_rows.stored_versions(self.conn, self.series, after, to, self.before)

    def _meeting(self, bars: list[ClosedBar], stored: dict[Key, list[Stored]]) -> int | None:
        """Return the place of the first bar from which on all is as stored: behind every changed print, and the same."""
        last_changed = epoch_micros(self.reach.last_at)
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


def _fed(machine: Machine, block: Prints | list[Print]) -> list[ClosedBar]:
    if isinstance(block, Prints):
        return feed_many(machine, block)
    return [bar for one in block for bar in machine.feed(one)]


def _key(bar: ClosedBar) -> Key:
    return (bar.timestamp, bar.sequence)


def _as_version(bar: ClosedBar) -> Version:
    return Version(_key(bar), bar.known_at, bar)


def _latest(news: News, head: Head) -> datetime:
    return max(at for at in (news.last_at, head.read_to) if at is not None)


def _grid(
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
    ensure_sessions(conn, [calendar], first, last, last)
    fed = None if series.chart.fed == TRADES else Interval.parse(series.chart.fed)
    sessions = read_sessions(conn, [calendar], first, last + timedelta(days=1))
    return Grid(series.chart.interval, sessions[calendar], fed)
