"""Price bars: a record to the values of a bar, its place in a session, and the row at the end.

A daily bar is labelled by the date as the vendor wrote it, whatever time or zone stands beside it; an intraday bar is
labelled by its start and needs a zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from trading.calendar import Sessions, bar_label, interval_length
from trading.errors import InputError
from trading.identity import PRICE_SCALE, QUANTITY_SCALE
from trading.ingestion.cells import CellError, decimal_of, text_of, utc, when_of
from trading.ingestion.payload import Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow

PRICES = ("open", "high", "low", "close")


def read(record: Record, reader: Reader) -> dict[str, Any]:
    """Return the bar's values; `about` is the date that decides its partition.

    Raises:
        CellError: a cell cannot be read.
    """
    cells = record.cells
    interval = _interval(text_of(cells.get("interval")) or reader.interval)
    timestamp = _label(when_of("timestamp", cells["timestamp"]), interval)
    return {
        "about": timestamp.date() if timestamp else None,
        "symbol": text_of(cells["symbol"]),
        "interval": interval,
        "timestamp": timestamp,
        **{name: decimal_of(name, cells[name], PRICE_SCALE) for name in PRICES},
        "volume": decimal_of("volume", cells["volume"], QUANTITY_SCALE),
        "adjustment": reader.adjustment,
    }


def is_priced(values: Mapping[str, Any]) -> bool:
    """Tell whether a bar says what it is about and has its prices."""
    return all(values[name] is not None for name in ("symbol", "timestamp", *PRICES))


def _interval(text: str) -> str:
    try:
        interval_length(text)
    except InputError as error:
        raise CellError("unknown_interval", str(error)) from error
    return text


def _label(when: date | datetime | None, interval: str) -> datetime | None:
    if when is None:
        return None
    if interval == "1d":
        return bar_label(when.date() if isinstance(when, datetime) else when)
    if not isinstance(when, datetime):
        raise CellError("naive_timestamp", f"timestamp is {when}: a bar of {interval} needs its start with a zone")
    return utc(when)


def place(
    values: dict[str, Any], lag: timedelta, calendars: Mapping[str, str], sessions: Mapping[str, Sessions]
) -> None:
    """Add `ends_at` (when the bar is over), `is_in_session`, and `nominal_at` (when it could first be known).

    Off any session there is no nominal time, and the end is that of the bar's own length.
    """
    values.update(ends_at=None, is_in_session=None, nominal_at=None)
    if values["symbol"] is None or values["timestamp"] is None:
        return
    length = interval_length(values["interval"])
    ends_at = _end(values["timestamp"], length, values["interval"] == "1d", sessions[calendars[values["symbol"]]])
    values["is_in_session"] = ends_at is not None
    values["nominal_at"] = ends_at + lag if ends_at else None
    values["ends_at"] = ends_at or values["timestamp"] + length


def _end(timestamp: datetime, length: timedelta, is_daily: bool, sessions: Sessions) -> datetime | None:
    if is_daily:
        session = sessions.on(timestamp.date())
        return session.closes_at if session else None
    return timestamp + length if sessions.overlapping(timestamp, timestamp + length) else None


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a bar within its source."""
    return (values["symbol"], values["interval"], values["timestamp"])


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the bar as a row of `raw.price_bars`; every value must be there (the gate has seen to it)."""
    content = (*(values[name] for name in PRICES), values["volume"], values["adjustment"])
    return RawRow(source, key(values), content, values["nominal_at"])
