"""A chart's first bars, of trades that came out of order: epoch by epoch, as if it had been kept from the first print on.

Nothing is stored of it yet. So each epoch begins from what the one before it left: what came late is taken in from the
last bar before it up to where bars are again the same, and what came in order goes on from the end. The cost grows with
what came late and how far that reaches, not with all there is for each of it.
"""

from __future__ import annotations

from datetime import datetime

import psycopg

from trading.adapters import chart_rows
from trading.adapters.chart_feeds import Epoch, Feed, end_of
from trading.adapters.chart_rewriting import NOWHERE, Rewriting, as_version, fed, grid_of
from trading.adapters.chart_rows import ChartSeries, Head
from trading.chart_bars.grid import Grid
from trading.chart_bars.machine import Machine
from trading.chart_bars.state import State
from trading.identity import epoch_micros

_LOOK = 250  # prints of a first look: bars mostly find back soon


def make_first(conn: psycopg.Connection, feed: Feed, series: ChartSeries, own: int) -> int:
    """Write all versions of a chart's bars, and where it stands; return how many."""
    epochs = feed.epochs(own)
    head, written = Head(own, None, "", State()), 0
    grid = _grid_of_all(conn, feed, series, epochs, own)
    for number, epoch in enumerate(epochs):
        before: datetime | str = epochs[number + 1].since if number + 1 < len(epochs) else "infinity"
        ended: Head | None = None
        if number and epoch.changed_at is not None:
            ended, count = _rewritten(conn, feed, series, epoch, before, grid, own)
            written += count
        if ended is None:
            ended, count = _continued(conn, feed, series, head, epoch, before, grid)
            written += count
        head = ended
        head.state.known_at = max(head.state.known_at, epoch_micros(epoch.since))
    chart_rows.write_head(conn, series, head)
    return written


def _rewritten(
    conn: psycopg.Connection,
    feed: Feed,
    series: ChartSeries,
    epoch: Epoch,
    before: datetime | str,
    grid: Grid | None,
    own: int,
) -> tuple[Head | None, int]:
    """Take in what came late; return where the chart then stands, None where its end is as it was."""
    assert epoch.changed_at is not None, "something came late"
    assert epoch.changed_to is not None, "something came late"
    start = chart_rows.checkpoint(conn, series, epoch.changed_at, epoch.since)
    state = State.after_bar(series.chart.style, start[0]) if start else State()
    machine = Machine(series.chart, state, grid)
    rewriting = Rewriting(
        conn,
        feed,
        series,
        machine,
        own,
        epoch.changed_to,
        epoch.since,
        before,
        NOWHERE,
        to_at=epoch.to_at,
        look=_LOOK,
    )
    ended = rewriting.run((start[0].timestamp, start[0].sequence) if start else None)
    return ended, rewriting.written


def _continued(
    conn: psycopg.Connection,
    feed: Feed,
    series: ChartSeries,
    head: Head,
    epoch: Epoch,
    before: datetime | str,
    grid: Grid | None,
) -> tuple[Head, int]:
    """Append the bars that the prints behind the end close."""
    machine, since = Machine(series.chart, head.state, grid), epoch_micros(epoch.since)
    machine.state.known_at = max(machine.state.known_at, since)
    read_to, read_id, written = head.read_to, head.read_id, 0
    for block in feed.blocks(read_to, read_id, before, head.source_watermark, epoch.to_at, _LOOK):
        written += chart_rows.write_versions(conn, series, map(as_version, fed(machine, block)), head.source_watermark)
        read_to, read_id = end_of(block)
    return Head(head.source_watermark, read_to, read_id, machine.state), written


def _grid_of_all(
    conn: psycopg.Connection, feed: Feed, series: ChartSeries, epochs: list[Epoch], own: int
) -> Grid | None:
    news = feed.news(0, own, None, "")
    return grid_of(conn, series, State(), news.first_at, max((one.to_at for one in epochs), default=None))
