"""A column of cells to texts, all at once: what `cells.text_of` says of each, or "not said" where it refuses the cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trading.ingestion.cells import CellError, text_of
from trading.ingestion.payload import Cell

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# Signs of ASCII, none of them a space at an end: such a text is itself.
_PLAIN = r"^[!-~](?:[ -~]*[!-~])?$"


def distinct(column: Any) -> tuple[np.ndarray[Any, Any], list[Cell]]:
    """Return for each cell the place of its value among the distinct ones; the last of those is that of no value."""
    import numpy as np
    import pyarrow as pa

    if not isinstance(column, list) and pa.types.is_nested(column.type):
        column = column.to_pylist()
    if isinstance(column, list):
        return np.arange(len(column)), [*column, None]
    encoded = column.dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    places = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return places.astype(np.int64), values  # products of two such numbers are formed


def repeated_texts(column: Any, read: Callable[[Cell], str | None] = text_of) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Return the cells of a column whose values repeat as `read` reads each value, once, and which cells it could read."""
    import polars as pl

    places, cells = distinct(column)
    found = [said_of(cell, read) for cell in cells]
    table = pl.DataFrame(found, schema={"text": pl.String, "said": pl.Boolean}, orient="row")[places]
    return table["text"], table["said"].to_numpy()


def texts_of(column: Any) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Return the cells of a column whose values hardly repeat as texts (null: missing), and which cells that is said of."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    if not isinstance(column, list) and pa.types.is_integer(column.type):
        return pl.Series(pl.from_arrow(column)).cast(pl.String), np.ones(len(column), dtype=bool)
    if isinstance(column, list) or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return _one_by_one(column)
    cell = pl.col("cell")
    found = pl.DataFrame({"cell": pl.Series(pl.from_arrow(column)).cast(pl.String)}).select(
        pl.when(cell != "").then(cell).alias("text"),
        (cell.is_null() | (cell == "") | cell.str.contains(_PLAIN)).alias("is_plain"),
    )
    return with_odd_ones(found["text"], found["is_plain"].to_numpy(), column, text_of)


def with_odd_ones(
    found: pl.Series, is_plain: np.ndarray[Any, Any], column: Any, read: Callable[[Cell], Any]
) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Return what was found of the plain cells with what `read` says of the others, and which cells that is said of."""
    import numpy as np
    import polars as pl

    odd = np.flatnonzero(~is_plain)
    if not len(odd):
        return found, is_plain
    cells = column.take(odd).to_pylist()
    told = [said_of(cell, read) for cell in cells]
    said = is_plain.copy()
    said[odd] = [one for _, one in told]
    return found.scatter(odd, pl.Series([value for value, _ in told], dtype=found.dtype)), said


def said_of(cell: Cell, read: Callable[[Cell], Any]) -> tuple[Any, bool]:
    """Return what `read` says of a cell, and whether it says anything."""
    try:
        return read(cell), True
    except CellError:
        return None, False


def _one_by_one(column: Any) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import numpy as np
    import polars as pl

    cells = column if isinstance(column, list) else column.to_pylist()
    told = [said_of(cell, text_of) for cell in cells]
    return pl.Series([text for text, _ in told], dtype=pl.String), np.array([said for _, said in told], dtype=bool)
