"""Price bars: a record to the values of a bar, its place in a session, and the row at the end.

A daily bar is labelled by the date as the vendor wrote it, whatever time or zone stands beside it; an intraday bar is
labelled by its start and needs a zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from trading.calendar import Sessions
from trading.errors import InputError
from trading.identity import PRICE_SCALE, QUANTITY_SCALE
from trading.ingestion.cells import CellError, decimal_of, text_of, utc, when_of
from trading.ingestion.payload import Cell, Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow
from trading.intervals import Interval, period_of

PRICES = ("open", "high", "low", "close")
_SUNDAY = 6
_DAY = timedelta(days=1)


def read(record: Record, reader: Reader) -> dict[str, Any]:
    """Return the bar's values; `about` is the date that decides its partition.

    Raises:
        CellError: a cell cannot be read.
    """
    cells = record.cells
    interval = _interval(text_of(cells.get("interval")) or reader.interval, reader.parser)
    timestamp = _placeable(cells["timestamp"], interval)
    return {
        "about": timestamp.date() if timestamp else None,
        "symbol": text_of(cells["symbol"]),
        "interval": interval.name,
        "timestamp": timestamp,
        **{name: decimal_of(name, cells[name], PRICE_SCALE) for name in PRICES},
        "volume": decimal_of("volume", cells["volume"], QUANTITY_SCALE),
        "adjustment": reader.adjustment,
    }


def is_priced(values: Mapping[str, Any]) -> bool:
    """Tell whether a bar says what it is about and has its prices."""
    return all(values[name] is not None for name in ("symbol", "timestamp", *PRICES))


def _interval(text: str, parser: int) -> Interval:
    try:
        interval = Interval.parse(text) if parser > 1 else Interval.stored(text)
    except InputError as error:
        raise CellError("unknown_interval", str(error)) from error
    if parser == 1 and interval.unit in ("w", "mo"):
        raise CellError("unknown_interval", f"expected an interval such as 1m, 1h or 1d, found {text!r}")
    return interval


def _placeable(cell: Cell, interval: Interval) -> datetime | None:
    """Return the bar's timestamp; one at the ends of the calendar, around which no day can be reckoned, is no time."""
    try:
        timestamp = _label(when_of("timestamp", cell), interval)
        if timestamp is not None:
            interval.label_end(timestamp) + _DAY
    except (OverflowError, ValueError) as error:
        if isinstance(error, CellError):
            raise
        raise CellError("unreadable_timestamp", f"timestamp is {cell!r}") from error
    return timestamp


def _label(when: date | datetime | None, interval: Interval) -> datetime | None:
    if when is None:
        return None
    if interval.name == "1d" or interval.unit in ("w", "mo"):
        return _label_of_day(when.date() if isinstance(when, datetime) else when, interval)
    if not isinstance(when, datetime):
        raise CellError("naive_timestamp", f"timestamp is {when}: a bar of {interval.name} needs its start with a zone")
    return utc(when)


def _label_of_day(day: date, interval: Interval) -> datetime:
    """Return the label of the day, week or month; any of its days may name it, but not a Sunday, which two weeks claim."""
    if interval.unit == "w" and day.weekday() == _SUNDAY:
        raise CellError(
            "unknown_interval",
            f"timestamp is {day}, a Sunday: the week before it or after it? Date a week on its Monday",
        )
    return interval.label(day)


def place(
    values: dict[str, Any],
    lag: timedelta,
    calendars: Mapping[str, str],
    sessions: Mapping[str, Sessions],
    parser: int,
) -> None:
    """Add `ends_at` (when the bar is over), `is_in_session`, and `nominal_at` (when it could first be known).

    Off any session there is no nominal time, and the end is that of the bar's own length. What parser 1 read ends after
    its length even where its session closed before; from parser 2 on no bar ends after the close.
    """
    values.update(ends_at=None, is_in_session=None, nominal_at=None)
    if values["symbol"] is None or values["timestamp"] is None:
        return
    interval, of_symbol = Interval.stored(values["interval"]), sessions[calendars[values["symbol"]]]
    ends_at = _end(values["timestamp"], interval, of_symbol, parser)
    values["is_in_session"] = ends_at is not None
    values["nominal_at"] = ends_at + lag if ends_at else None
    values["ends_at"] = ends_at or interval.label_end(values["timestamp"])


def _end(timestamp: datetime, interval: Interval, sessions: Sessions, parser: int) -> datetime | None:
    period = period_of(interval, timestamp, sessions)
    if period is None:
        return None
    return interval.label_end(timestamp) if parser == 1 and interval.name != "1d" else period.ends_at


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a bar within its source."""
    return (values["symbol"], values["interval"], values["timestamp"])


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the bar as a row of `raw.price_bars`; every value must be there (the gate has seen to it)."""
    content = (*(values[name] for name in PRICES), values["volume"], values["adjustment"])
    return RawRow(source, key(values), content, values["nominal_at"])
