"""A column of numbers to exact decimal texts at a scale, all at once: what `cells.decimal_of` says of each, as text.

Only what is plainly a number of zero or above is answered here: digits with at most `scale` places, a whole number, a
float whose rounding is beyond doubt. For every other cell the answer is "not said", and the caller asks `decimal_of`,
which also knows why a cell is refused. So a mistake here can only be in what is plain, and tests compare the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trading.ingestion.cells import LARGEST, CellError, decimal_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# Up to here a float times a power of ten is wrong by less than 0.0001, so a fraction farther from a half is no tie.
_SURE = 2.0**39
_AWAY_FROM_A_TIE = 1e-3
_EXACT_DIGITS = 1e15  # a decimal of up to 15 digits is the shortest text of the float nearest to it
_WHOLE = 2.0**53


def texts_of(column: Any, scale: int) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    """Return the cells as decimal texts with `scale` places (null: missing), and which cells that is said of."""
    import pyarrow as pa

    if isinstance(column, list):
        return _one_by_one(column, scale)
    kind = column.type
    if pa.types.is_float64(kind):
        return _of_floats(column, scale)
    if pa.types.is_integer(kind):
        return _of_integers(column, scale)
    if pa.types.is_decimal(kind):
        return _of_texts(column.cast(pa.string()), scale)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _of_texts(column, scale)
    return _one_by_one(column.to_pylist(), scale)


def _one_by_one(cells: list[Any], scale: int) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import numpy as np
    import polars as pl

    texts: list[str | None] = []
    said = np.ones(len(cells), dtype=bool)
    for place, cell in enumerate(cells):
        try:
            exact = decimal_of("", cell, scale)
            texts.append(None if exact is None else format(exact, "f"))
        except CellError:
            texts.append(None)
            said[place] = False
    return pl.Series(texts, dtype=pl.String), said


def _of_texts(column: Any, scale: int) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import polars as pl

    digits = len(str(LARGEST[scale])) - 1
    plain = rf"^(?:0|[1-9][0-9]{{0,{digits - 1}}})(?:\.[0-9]{{1,{scale}}}0*)?$"
    found = pl.DataFrame({"cell": pl.Series(pl.from_arrow(column)).cast(pl.String)}).select(
        pl.when(pl.col("cell").str.contains(plain))
        .then(pl.col("cell").str.replace(rf"(\.[0-9]{{{scale}}})0+$", "$1"))
        .cast(pl.Decimal(38, scale))
        .cast(pl.String)
        .alias("text"),
        (pl.col("cell").is_null() | (pl.col("cell") == "") | pl.col("cell").str.contains(plain)).alias("said"),
    )
    return found["text"], found["said"].to_numpy()


def _of_integers(column: Any, scale: int) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import polars as pl

    cell = pl.col("cell")
    said = cell.is_between(0, int(LARGEST[scale]), closed="left")
    found = pl.DataFrame({"cell": pl.Series(pl.from_arrow(column))}).select(
        pl.when(said).then(pl.concat_str(cell.cast(pl.String), pl.lit("." + "0" * scale))).alias("text"),
        (cell.is_null() | said).alias("said"),
    )
    return found["text"], found["said"].to_numpy()


def _of_floats(column: Any, scale: int) -> tuple[pl.Series, np.ndarray[Any, Any]]:
    import numpy as np
    import polars as pl

    value = column.to_numpy(zero_copy_only=False)
    unit = 10.0**scale
    missing = np.isnan(value)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = value * unit
        nearest = np.rint(scaled)
        is_whole = (value == np.rint(value)) & (value < _WHOLE)
        is_its_text = (nearest / unit == value) & (nearest < _EXACT_DIGITS)
        is_no_tie = (scaled < _SURE) & (np.abs(scaled - np.floor(scaled) - 0.5) > _AWAY_FROM_A_TIE)
        is_in_range = ~np.signbit(value) & (value < float(LARGEST[scale]))
    said = is_in_range & (is_whole | is_its_text | is_no_tie)
    whole = np.where(said & is_whole, value, 0.0).astype("int64")
    units = np.where(said & ~is_whole, nearest, 0.0).astype("int64")
    parts = pl.DataFrame({"whole": whole + units // int(unit), "places": units % int(unit), "said": said})
    text = pl.concat_str(
        pl.col("whole").cast(pl.String), pl.lit("."), pl.col("places").cast(pl.String).str.zfill(scale)
    )
    return parts.select(pl.when("said").then(text).alias("text"))["text"], said | missing
