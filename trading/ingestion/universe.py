"""Membership of a universe: from `date` on a symbol belongs to it, or no longer does.

A change is nominally known at 00:00 UTC of its date, as a corporate action is: lists of members have no date of
announcement.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trading.calendar import bar_label
from trading.ingestion.cells import CellError, is_missing, text_of, when_of
from trading.ingestion.payload import Cell, Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow

_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})


def read(record: Record, reader: Reader) -> dict[str, Any]:
    """Return the change's values; `about` is the date that decides its partition.

    Raises:
        CellError: a cell cannot be read.
    """
    effective = when_of("date", record.cells["date"])
    if isinstance(effective, datetime):
        effective = effective.date()
    return {
        "about": effective,
        "universe": text_of(record.cells["universe"]),
        "symbol": text_of(record.cells["symbol"]),
        "effective_date": effective,
        "is_member": _flag(record.cells["member"]),
        "nominal_at": bar_label(effective) if effective else None,
    }


def _flag(cell: Cell) -> bool | None:
    if isinstance(cell, bool):
        return cell
    if is_missing(cell):
        return None
    text = str(cell).strip().lower().removesuffix(".0")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise CellError("unreadable_flag", f"member is {cell!r}, expected true or false")


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a change within its source."""
    return (values["universe"], values["symbol"], values["effective_date"])


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the change as a row of `trading.universe_members`."""
    return RawRow(source, key(values), (values["is_member"],), values["nominal_at"])
