"""Corporate actions. Only splits so far: `ratio` new shares for one old share, in force from the opening of `ex_date`.

A split is nominally known at 00:00 UTC of its ex-date, after the previous session and before the one it applies to:
what vendors give has no date of announcement, and the first bar that needs the ratio closes later on that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trading.calendar import bar_label
from trading.ingestion.cells import CellError, decimal_of, text_of, when_of
from trading.ingestion.payload import Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow

RATIO_SCALE = 10


def read(record: Record, reader: Reader) -> dict[str, Any]:
    """Return the action's values; `about` is the date that decides its partition.

    Raises:
        CellError: a cell cannot be read, or the action is of no kind that we know.
    """
    kind = text_of(record.cells.get("kind")) or "split"
    if kind != "split":
        raise CellError("unknown_action", f"kind is {kind!r}, expected split")
    ex_date = when_of("ex_date", record.cells["ex_date"])
    if isinstance(ex_date, datetime):
        ex_date = ex_date.date()
    return {
        "about": ex_date,
        "symbol": text_of(record.cells["symbol"]),
        "kind": kind,
        "ex_date": ex_date,
        "ratio": decimal_of("ratio", record.cells["ratio"], RATIO_SCALE),
        "nominal_at": bar_label(ex_date) if ex_date else None,
    }


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies an action within its source."""
    return (values["symbol"], values["kind"], values["ex_date"])


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the action as a row of `raw.corporate_actions`."""
    return RawRow(source, key(values), (values["ratio"],), values["nominal_at"])
