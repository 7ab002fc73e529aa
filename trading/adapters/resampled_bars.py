"""Bars of a longer interval out of a stored series of a shorter one, as known at (t, w).

The arithmetic is SQL, once (`features.resampled_bars`, migration 0033; docs/intervals.md); this is its door for Python.
Nothing is stored: a late bar or a correction is in the next answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, get_args

import psycopg
from psycopg import errors as pg
from psycopg.rows import class_row

from trading.adapters.adjusted_bars import best_source
from trading.errors import InputError
from trading.intervals import Interval

Method = Literal["none", "forward", "back", "total_return"]

_COLUMNS = "timestamp, starts_at, ends_at, nominal_at, known_at, is_over, bars, open, high, low, close, volume"
_WHOLE = f"select {_COLUMNS} from features.resampled_bars(%s, %s, %s, %s, %s, %s, %s)"
_SINCE = f"select {_COLUMNS} from features.resampled_since(%s, %s, %s, %s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class ResampledBar:
    """One period: `bars` of the shorter series went in, and `is_over` tells whether no more can come in time.

    `starts_at` and `ends_at` are its first opening and last close; `known_at` is that of the latest input, and of a period
    that is over never before `nominal_at`, its close plus the source's lag.
    """

    timestamp: datetime
    starts_at: datetime
    ends_at: datetime
    nominal_at: datetime
    known_at: datetime
    is_over: bool
    bars: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True)
class Resampling:
    """What is asked for.

    Attributes:
        interval: The longer one, such as `1w`.
        of: The interval of the stored series, such as `1d`; its bars must lie inside the longer ones.
        adjustment: `forward`, `back` or `total_return` as `adjusted_bars`; `none` for prices as delivered, which refuses
            a split inside a period.
        source: Whose bars; where None, the source of best precedence that has the series.
    """

    symbol: str
    interval: str
    of: str
    adjustment: Method = "forward"
    source: str | None = None


@dataclass(frozen=True)
class ResampledSeries:
    """The bars of one question in order of time; the last one may be of a period that is not over."""

    asked: Resampling
    source: str
    as_of: datetime
    watermark: int
    bars: tuple[ResampledBar, ...]


def resampled_bars(
    conn: psycopg.Connection,
    asked: Resampling,
    as_of: datetime,
    watermark: int,
    *,
    since: tuple[datetime, int] | None = None,
) -> ResampledSeries:
    """Return the bars of the longer interval as known at (as_of, watermark); no bar known then gives an empty series.

    Args:
        conn: A connection to the warehouse.
        asked: The series and the interval to make.
        as_of: A moment with its zone.
        watermark: The newest publication that counts.
        since: The (as_of, watermark) of an earlier answer: only bars from the first that may have changed on, which put
            over the earlier answer give the whole one.

    Raises:
        InputError: an interval whose bars do not lie inside the other's, another adjustment, a split inside a period
            with `none`, or bars that their vendor cut across the border of two periods.
    """
    Interval.parse(asked.interval), Interval.parse(asked.of)
    if asked.adjustment not in get_args(Method):
        raise InputError(f"expected the adjustment {', '.join(get_args(Method))}, found {asked.adjustment!r}")
    source = asked.source or best_source(conn, asked.symbol, asked.of, as_of, watermark)
    if source is None:
        return ResampledSeries(asked, "", as_of, watermark, ())
    series = (source, asked.symbol, asked.of, asked.interval)
    question = (*series, *(since or ()), as_of, watermark, asked.adjustment)
    try:
        with conn.cursor(row_factory=class_row(ResampledBar)) as cursor:
            bars = tuple(cursor.execute(_SINCE if since else _WHOLE, question).fetchall())
    except pg.InvalidParameterValue as error:
        raise InputError(str(error.diag.message_primary)) from error
    return ResampledSeries(asked, source, as_of, watermark, bars)
