"""Keeping charts up: what was published since is fed to their machines, and the bars that close become versions.

`advance_charts` is called after every publication, by ingestion and by a live feed. What merely continues a series goes
on from where the chart stands, and costs a step. What came late or corrects a print is taken in from the last bar before
it, once for each epoch (docs/chart-bars.md), up to where bars are again those that are stored. A chart that is declared
over trades out of order is made by chart_first.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import psycopg

from trading.adapters import chart_rows
from trading.adapters.chart_feeds import Feed, News, end_of
from trading.adapters.chart_first import make_first
from trading.adapters.chart_rewriting import NOWHERE, Rewriting, as_version, fed, grid_of
from trading.adapters.chart_rows import ChartSeries, Head
from trading.adapters.postgres import connection
from trading.adapters.warehouse import take_watermark
from trading.chart_bars.machine import Machine
from trading.chart_bars.prints import Print, Prints
from trading.chart_bars.state import State
from trading.errors import InputError
from trading.identity import epoch_micros


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
    if is_first:
        return make_first(conn, feed, series, own)
    return _correct(conn, feed, series, head, news, own)


def _continue(conn: psycopg.Connection, feed: Feed, series: ChartSeries, head: Head, news: News, own: int) -> int:
    """Append the bars that new prints close, each print known no earlier than the one before it."""
    state = replace(head.state)  # the head itself stays as it was, should this be rolled back
    machine = Machine(series.chart, state, grid_of(conn, series, state, news.first_at, news.last_at))
    read_to, read_id, written = head.read_to, head.read_id, 0
    for block in feed.blocks(read_to, read_id, "infinity", own):
        _refuse_disorder(block, state.known_at)
        bars = fed(machine, block)
        written += chart_rows.write_versions(conn, series, map(as_version, bars), own)
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
    written, kept, touched = 0, head, NOWHERE
    for number, since in enumerate(reach.epochs):
        before: datetime | str = reach.epochs[number + 1] if number + 1 < len(reach.epochs) else "infinity"
        state = State.after_bar(series.chart.style, start[0]) if start else State()
        grid = grid_of(
            conn, series, state, start[1] if start else reach.first_at, max(reach.last_at, _latest(news, head))
        )
        rewriting = Rewriting(
            conn, feed, series, Machine(series.chart, state, grid), own, reach.last_at, since, before, touched
        )
        end = rewriting.run((start[0].timestamp, start[0].sequence) if start else None)
        written, touched = written + rewriting.written, max(touched, rewriting.touched)
        kept = end or head
    kept.state.known_at = max(kept.state.known_at, epoch_micros(reach.epochs[-1]))
    chart_rows.write_head(conn, series, Head(own, kept.read_to, kept.read_id, kept.state))
    return written


def _latest(news: News, head: Head) -> datetime:
    return max(at for at in (news.last_at, head.read_to) if at is not None)
