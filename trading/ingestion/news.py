"""News items: a record to the values of an item, when it was known, and the row at the end.

A date without a time is known at the end of that day in New York. Rows of one id that differ only in the symbols that
they name (one post per ticker) are one item that names them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from trading.calendar import bar_label
from trading.ingestion.cells import text_of, utc, when_of
from trading.ingestion.payload import Cell, Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow

_SEPARATORS = re.compile(r"[|,;\s]+")
_NEW_YORK = "America/New_York"


def read(record: Record, reader: Reader) -> dict[str, Any]:
    """Return the item's values; `about` is the date that decides its partition.

    Raises:
        CellError: a cell cannot be read.
    """
    when = when_of("published_at", record.cells["published_at"])
    is_date_only = when is not None and not isinstance(when, datetime)
    starts_at = _start(when)
    return {
        "about": when.date() if isinstance(when, datetime) else when,
        "news_id": text_of(record.cells["id"]),
        "headline": text_of(record.cells["headline"]),
        "body": text_of(record.cells.get("body")) or "",
        "url": text_of(record.cells.get("url")) or "",
        "symbols": _symbols(record.cells["symbols"]),
        "published_at": _published(when),
        "is_date_only": is_date_only,
        "starts_at": starts_at,
        "nominal_at": _end_of_day(when) if when is not None and not isinstance(when, datetime) else starts_at,
    }


def _symbols(cell: Cell) -> tuple[str, ...]:
    parts = [str(part) for part in cell] if isinstance(cell, list) else _SEPARATORS.split(text_of(cell) or "")
    return tuple(sorted({stripped for part in parts if (stripped := part.strip().lstrip("$"))}))


def _published(when: date | datetime | None) -> datetime | None:
    """A bare date is shown as 00:00 UTC of it: a label, as with daily bars."""
    if when is None:
        return None
    return utc(when) if isinstance(when, datetime) else bar_label(when)


def _start(when: date | datetime | None) -> datetime | None:
    if when is None:
        return None
    return utc(when) if isinstance(when, datetime) else utc(datetime.combine(when, time(), ZoneInfo(_NEW_YORK)))


def _end_of_day(day: date) -> datetime:
    return utc(datetime.combine(day + timedelta(days=1), time(), ZoneInfo(_NEW_YORK)))


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies an item within its source."""
    return (values["news_id"],)


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the item as a row of `raw.news_items`."""
    names = ("headline", "body", "url", "symbols", "published_at", "is_date_only")
    return RawRow(source, key(values), tuple(values[name] for name in names), values["nominal_at"])
