"""A column of cells to moments in UTC, all at once: what a reader of single cells says of each, as microseconds.

Answered here is what is plainly a moment: a date, a time and an offset as text, or a column of times with a zone. Every
other cell is asked of the reader itself, and where that refuses it, nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trading.ingestion.payload import Cell
from trading.ingestion.text_columns import said_of, with_odd_ones

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Read = Callable[[Cell], datetime | None]
"""Reads one cell as a moment; raises `CellError`."""

_PLAIN = (
    r"^(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[T ](?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}"
    r"(?:\.[0-9]{1,6})?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])$"
)
_MINUTE = 60_000_000
# Far from the ends of the calendar, around which no day can be reckoned.
_ENDS = tuple(datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1800, 2400))


def moments_of(column: Any, read: Read) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Return the cells as times in UTC without a zone (null: missing), and which cells that is said of."""
    import pyarrow as pa

    if isinstance(column, list):
        return _one_by_one(column, read)
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _of_times(column, read)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_texts(column, read)
    return _one_by_one(column.to_pylist(), read)


def _of_times(column: Any, read: Read) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import polars as pl
    import pyarrow as pa

    found = pl.Series(pl.from_arrow(column.cast(pa.timestamp("us", "UTC")))).dt.replace_time_zone(None)
    is_plain = found.is_between(_ENDS[0], _ENDS[1]).fill_null(value=True).to_numpy()
    return with_odd_ones(found, is_plain, column, _naive(read))


def _of_texts(column: Any, read: Read) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import polars as pl

    cell = pl.col("cell")
    seconds = cell.str.slice(0, 19).str.replace(" ", "T", literal=True)
    fraction = cell.str.extract(r"\.([0-9]{1,6})").str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    zone = cell.str.extract_groups(r"(?<sign>[+-])(?<hours>[0-9]{2}):(?<minutes>[0-9]{2})$")
    offset = zone.struct.field("hours").cast(pl.Int64) * 60 + zone.struct.field("minutes").cast(pl.Int64)
    east = pl.when(zone.struct.field("sign") == "-").then(-offset).otherwise(offset).fill_null(0)
    moment = seconds.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).cast(pl.Int64)
    texts = pl.DataFrame({"cell": pl.Series(pl.from_arrow(column)).cast(pl.String)})
    plain = texts.with_columns(pl.when(cell.str.contains(_PLAIN)).then(cell).alias("cell"))
    found = plain.select((moment + fraction - east * _MINUTE).cast(pl.Datetime("us")).alias("moment"))["moment"]
    is_missing = texts.select(cell.is_null() | (cell == ""))["cell"]
    return with_odd_ones(found, (found.is_not_null() | is_missing).to_numpy(), column, _naive(read))


def _one_by_one(cells: list[Cell], read: Read) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import numpy as np
    import polars as pl

    told = [said_of(cell, _naive(read)) for cell in cells]
    moments = pl.Series([moment for moment, _ in told], dtype=pl.Datetime("us"))
    return moments, np.array([said for _, said in told], dtype=bool)


def _naive(read: Read) -> Callable[[Cell], datetime | None]:
    def found(cell: Cell) -> datetime | None:
        moment = read(cell)
        return None if moment is None else moment.replace(tzinfo=None)

    return found
