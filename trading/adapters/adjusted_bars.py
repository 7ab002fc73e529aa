"""Bars of one series as known at (t, w), adjusted: forward, back as of t, or for total return.

The arithmetic is SQL, once (`features.adjusted_bars`, migration 0012; docs/corporate-actions.md); this is its door for
Python. What cannot be told from the data is said in `notes`, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, get_args

import psycopg
from psycopg import errors as pg
from psycopg.rows import class_row

from trading.errors import InputError

Method = Literal["forward", "back", "total_return"]

_BARS = """
select timestamp, known_at, open, high, low, close, volume, factor,
    adjusted_open, adjusted_high, adjusted_low, adjusted_close, adjusted_volume
from features.adjusted_bars(%s, %s, %s, %s, %s, %s)
"""

_SOURCE = """
select s.source from raw.sources as s
where exists (
    select from raw.price_bars as b
    where b.source = s.source and b.symbol = %(symbol)s and b.interval = %(interval)s
      and b.known_at <= %(as_of)s and b.watermark <= %(watermark)s
)
order by s.precedence limit 1
"""

_UNKNOWN_VALUES = """
select format('the spin-off of %%s on %%s has no value, so the total return leaves it out', a.symbol, a.ex_date)
from raw.actions_as_of(%s, %s) as a
where a.source = %s and a.symbol = %s and a.kind = 'spin_off' and a.amount is null
order by a.ex_date
"""


@dataclass(frozen=True)
class AdjustedBar:
    """A bar as traded and as adjusted; `factor` multiplies prices, `known_at` is that of the latest input."""

    timestamp: datetime
    known_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    factor: Decimal
    adjusted_open: Decimal
    adjusted_high: Decimal
    adjusted_low: Decimal
    adjusted_close: Decimal
    adjusted_volume: Decimal


@dataclass(frozen=True)
class AdjustedSeries:
    """The bars of one symbol in order of time, how they were asked for, and what is not in them."""

    source: str
    symbol: str
    interval: str
    adjustment: Method
    as_of: datetime
    watermark: int
    bars: tuple[AdjustedBar, ...]
    notes: tuple[str, ...] = ()


def adjusted_bars(
    conn: psycopg.Connection,
    symbol: str,
    as_of: datetime,
    watermark: int,
    *,
    adjustment: Method = "forward",
    interval: str = "1d",
    source: str | None = None,
) -> AdjustedSeries:
    """Return the bars of `symbol` as known at (as_of, watermark); no bar known then gives an empty series.

    Args:
        conn: A connection to the warehouse.
        symbol: The instrument.
        as_of: A moment with its zone.
        watermark: The newest publication that counts.
        adjustment: `forward` by the splits up to each bar, as features read; `back` the same over one number, so that
            the newest prices are as traded; `total_return` forward with dividends and spin-offs reinvested.
        interval: `1d`, `1h`, ...
        source: Whose bars; where None, the source of best precedence that has the series.

    Raises:
        InputError: another adjustment, or one that the data does not allow (prices that came adjusted, an amount in a
            foreign currency or above the close before it).
    """
    if adjustment not in get_args(Method):
        raise InputError(f"expected the adjustment forward, back or total_return, found {adjustment!r}")
    chosen = source or best_source(conn, symbol, interval, as_of, watermark)
    if chosen is None:
        return AdjustedSeries("", symbol, interval, adjustment, as_of, watermark, ())
    asked = (chosen, symbol, interval, as_of, watermark, adjustment)
    try:
        with conn.cursor(row_factory=class_row(AdjustedBar)) as cursor:
            bars = tuple(cursor.execute(_BARS, asked).fetchall())
    except pg.InvalidParameterValue as error:
        raise InputError(str(error.diag.message_primary)) from error
    notes: tuple[str, ...] = ()
    if adjustment == "total_return":
        notes = tuple(note for (note,) in conn.execute(_UNKNOWN_VALUES, (as_of, watermark, chosen, symbol)))
    return AdjustedSeries(chosen, symbol, interval, adjustment, as_of, watermark, bars, notes)


def best_source(conn: psycopg.Connection, symbol: str, interval: str, as_of: datetime, watermark: int) -> str | None:
    """Return the source of best precedence that has bars of a series known at (as_of, watermark), or None."""
    asked = {"symbol": symbol, "interval": interval, "as_of": as_of, "watermark": watermark}
    found = conn.execute(_SOURCE, asked).fetchone()
    return str(found[0]) if found else None
