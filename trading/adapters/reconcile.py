"""Reconciling: what the sources should have delivered by now, against what is in the warehouse. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg

from trading.adapters.sessions import read_sessions
from trading.adapters.warehouse import newest_watermark, source_lag
from trading.calendar import Session, exchange_sessions
from trading.errors import InputError
from trading.intervals import Interval
from trading.reconciliation.expected import Grid
from trading.reconciliation.findings import (
    Action,
    Finding,
    Reconciliation,
    SeriesBars,
    SeriesState,
    microseconds,
    moment,
)
from trading.reconciliation.jumps import suspicious
from trading.reconciliation.presence import doubled, expected_bars, missing, stale

_PG_EPOCH = 946_684_800_000_000  # 2000-01-01 in microseconds since 1970: timestamptz_send counts from there

# One row per series, each column as packed binary values: a million bars cross the wire in one piece per series.
_BARS = """
with known as (
    select distinct on (b.source, b.interval, b.symbol, b.timestamp) b.*
    from raw.price_bars as b
    where (%(sources)s::text[] is null or b.source = any(%(sources)s))
      and (%(symbols)s::text[] is null or b.symbol = any(%(symbols)s))
      and (%(interval)s::text is null or b.interval = %(interval)s)
      and b.known_at <= %(as_of)s and b.watermark <= %(watermark)s
    order by b.source, b.interval, b.symbol, b.timestamp, b.known_at desc, b.watermark desc
)

select
    k.source, k.interval, k.symbol, max(k.adjustment),
    string_agg(timestamptz_send(k.timestamp), ''::bytea order by k.timestamp),
    string_agg(float8send(k.open::double precision), ''::bytea order by k.timestamp),
    string_agg(float8send(k.high::double precision), ''::bytea order by k.timestamp),
    string_agg(float8send(k.low::double precision), ''::bytea order by k.timestamp),
    string_agg(float8send(k.close::double precision), ''::bytea order by k.timestamp),
    string_agg(float8send(k.volume::double precision), ''::bytea order by k.timestamp)
from known as k
group by k.source, k.interval, k.symbol
order by k.source, k.interval, k.symbol
"""

_NEWEST = """
select max(b.timestamp) from raw.price_bars as b
where b.source = %(source)s and b.interval = %(interval)s and b.known_at <= %(as_of)s and b.watermark <= %(watermark)s
"""

_ACTIONS = """
select a.source, a.symbol, a.kind, a.from_at, a.ratio, a.amount
from features.actions_of(%(interval)s, %(as_of)s, %(watermark)s) as a
order by a.source, a.symbol, a.ex_date
"""

_INSTRUMENTS = """
select i.symbol, i.calendar, i.delisted_on from trading.instruments_as_of(%(as_of)s, %(watermark)s) as i
"""

_IS_LIVE = """
select distinct b.source from raw.ingestion_batches as b
where b.kind = 'prices' and b.mode = 'live' and b.status = 'published' and b.received_at <= %(as_of)s
"""


@dataclass(frozen=True)
class Question:
    """What to reconcile; None: all there is.

    Attributes:
        first, last: Only what lies in these days, both included.
    """

    as_of: datetime
    source: str | None = None
    symbols: Sequence[str] | None = None
    interval: str | None = None
    first: date | None = None
    last: date | None = None


def reconcile(conn: psycopg.Connection, question: Question) -> Reconciliation:
    """Compare the bars known at `question.as_of` with the sessions that their sources should have by then.

    A source that is fed live is measured by the clock; one that was only ever loaded as history, by its newest bar.

    Raises:
        InputError: no such bars are there.
    """
    asked: dict[str, Any] = {
        "as_of": question.as_of,
        "watermark": newest_watermark(conn),
        "sources": [question.source] if question.source else None,
        "symbols": list(question.symbols) if question.symbols else None,
        "interval": question.interval,
    }
    found = _series(conn, asked)
    _refuse_nothing(found, question)
    live = {str(row[0]) for row in conn.execute(_IS_LIVE, asked)}
    states: list[SeriesState] = []
    findings: list[Finding] = []
    for (source, interval), group in _groups(found).items():
        newest = max(int(one.starts[-1]) for one in group)
        if question.symbols:  # measured by all that the source has
            newest = _newest(conn, {**asked, "source": source, "interval": interval})
        end = question.as_of if source in live else moment(newest) + timedelta(days=1)
        grids = _grids(conn, group, interval, end)
        lag = source_lag(conn, source) if source in live else timedelta(0)
        within = _Within.of(question, grids, end - lag, newest if source not in live else None)
        beginning: dict[int, list[str]] = defaultdict(list)
        for one in group:
            beginning[int(one.starts[0])].append(one.symbol)
        for one in group:
            state, of_series = _examined(one, grids[one.calendar], within, beginning)
            states.append(state)
            findings += of_series
    return Reconciliation(question.as_of, asked["watermark"], states, findings)


@dataclass(frozen=True)
class _Within:
    """The range asked for in microseconds, and per calendar the index of the newest session that should be there.

    `last_start` is the last bar that can be there: the session of the newest bars may not be over.
    """

    first: int
    last: int
    last_start: int
    until: Mapping[str, int]

    @classmethod
    def of(cls, question: Question, grids: Mapping[str, Grid], end: datetime, newest: int | None) -> _Within:
        import numpy as np

        day = timedelta(days=1)
        first = datetime.combine(question.first or date(1, 1, 2), time(), UTC)
        last = datetime.combine(min(question.last or date.max, date.max - day), time(), UTC) + day
        due = microseconds(min(end, last))
        until = {name: int(np.searchsorted(grid.closes, due, side="right")) - 1 for name, grid in grids.items()}
        started = due - min(grid.length for grid in grids.values()) if newest is None else newest
        return cls(microseconds(first), microseconds(last) - 1, started, until)


def _examined(
    one: SeriesBars, grid: Grid, within: _Within, beginning: Mapping[int, list[str]]
) -> tuple[SeriesState, list[Finding]]:
    import numpy as np

    until = within.until[one.calendar]
    if one.ended_on is not None:
        labels = grid.labels
        until = min(
            until, int(np.searchsorted(labels, microseconds(datetime.combine(one.ended_on, time(), UTC)), "right")) - 1
        )
    # A day's bar is due with its session, which `until` has seen to; a bar within the day when it is over.
    expected = expected_bars(
        one, grid, within.first, within.last if grid.is_labelled else min(within.last, within.last_start)
    )
    gaps = missing(one, expected)
    others = [*doubled(one, grid), *suspicious(one, grid, beginning)]
    inside = [each for each in others if within.first <= microseconds(each.first) <= within.last]
    behind = stale(one, grid, until)
    kept = int(((one.starts >= within.first) & (one.starts <= within.last)).sum())
    state = SeriesState(
        source=one.source,
        symbol=one.symbol,
        interval=one.interval,
        calendar=one.calendar,
        bars=kept,
        expected=len(expected) + sum(each.count for each in behind),
        missing=sum(each.count for each in gaps),
        first=moment(int(one.starts[0])),
        last=moment(int(one.starts[-1])),
        expected_until=grid.sessions[max(until, 0)].session_date,
    )
    return state, [*gaps, *behind, *inside]


def _series(conn: psycopg.Connection, asked: dict[str, Any]) -> list[SeriesBars]:
    actions: dict[str, dict[tuple[str, str], list[Action]]] = {}
    known = {symbol: (calendar, ended_on) for symbol, calendar, ended_on in conn.execute(_INSTRUMENTS, asked)}
    found = []
    for source, interval, symbol, adjustment, starts, *columns in conn.execute(_BARS, asked, binary=True):
        if interval not in actions:
            actions[interval] = _actions(conn, {**asked, "interval": interval})
        if symbol not in known:
            raise InputError(f"expected an instrument for {symbol}, found none; ingest its prices")
        calendar, ended_on = known[symbol]
        opened, high, low, close, volume = [_unpacked(column, ">f8").astype("float64") for column in columns]
        moments = _unpacked(starts, ">i8").astype("int64") + _PG_EPOCH
        found.append(
            SeriesBars(
                source=source,
                symbol=symbol,
                interval=interval,
                calendar=calendar,
                adjustment=adjustment,
                ended_on=ended_on,
                starts=moments,
                open=opened,
                high=high,
                low=low,
                close=close,
                volume=volume,
                actions=tuple(actions[interval].get((source, symbol), ())),
            )
        )
    return found


def _actions(conn: psycopg.Connection, asked: dict[str, Any]) -> dict[tuple[str, str], list[Action]]:
    """Return what is known of each (source, symbol), from when on bars of the interval asked for have it in them."""
    found: dict[tuple[str, str], list[Action]] = defaultdict(list)
    for source, symbol, kind, from_at, ratio, amount in conn.execute(_ACTIONS, asked):
        found[source, symbol].append(Action(kind, microseconds(from_at), ratio, amount))
    return found


def _newest(conn: psycopg.Connection, asked: dict[str, Any]) -> int:
    row = conn.execute(_NEWEST, asked).fetchone()
    assert row is not None, "an aggregate always has a row"
    return microseconds(row[0])


def _unpacked(packed: bytes, type_: str) -> Any:
    import numpy as np

    return np.frombuffer(packed, dtype=type_)


def _groups(found: Sequence[SeriesBars]) -> dict[tuple[str, str], list[SeriesBars]]:
    groups: dict[tuple[str, str], list[SeriesBars]] = defaultdict(list)
    for one in found:
        groups[one.source, one.interval].append(one)
    return groups


def _grids(conn: psycopg.Connection, group: Sequence[SeriesBars], interval: str, end: datetime) -> dict[str, Grid]:
    """Return the sessions of each calendar from the first bar on: the recorded ones, and those after them up to `end`."""
    calendars = {one.calendar for one in group}
    day = timedelta(days=1)
    first = moment(min(int(one.starts[0]) for one in group)).date() - day
    last = end.date()
    if is_longer := Interval.stored(interval).unit in ("w", "mo"):
        first, last = first + day, last + 45 * day  # whole weeks and months, which begin with their labels
    recorded = read_sessions(conn, calendars, first, last, planned=is_longer)
    return {name: Grid.of(_with_newer(name, recorded[name].ordered, last), interval) for name in calendars}


def _with_newer(calendar: str, recorded: Sequence[Session], last: date) -> list[Session]:
    begin = recorded[-1].session_date + timedelta(days=1)
    return [*recorded, *(exchange_sessions(calendar, begin, last) if begin <= last else [])]


def _refuse_nothing(found: Sequence[SeriesBars], question: Question) -> None:
    there = {one.symbol for one in found}
    if unknown := sorted(set(question.symbols or ()) - there):
        raise InputError(f"expected bars of {', '.join(unknown)}, found none known at {question.as_of.isoformat()}")
    if not found:
        whose = f" of {question.source}" if question.source else ""
        raise InputError(f"expected bars{whose}, found none known at {question.as_of.isoformat()}; ingest prices first")
