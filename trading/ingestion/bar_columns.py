"""A block of raw cells to the columns of its bars: what `prices.read` says of each row, many rows at once.

Times, intervals and symbols repeat, so each of their values is read once, by the reader of single rows itself. Numbers
are read as columns (`exact_texts`). A row with a cell that is not plain goes the way of single rows, whole: so what it
means, and why it is refused, is said in one place only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from trading.identity import PRICE_SCALE, QUANTITY_SCALE
from trading.ingestion import prices
from trading.ingestion.blocks import Block
from trading.ingestion.candidates import Candidate, Defect, Parsed, read_into
from trading.ingestion.cells import CellError
from trading.ingestion.exact_texts import texts_of
from trading.ingestion.payload import Cell, Record
from trading.ingestion.reader import Reader
from trading.ingestion.row_columns import frame_of_rows, held
from trading.ingestion.text_columns import distinct, repeated_texts

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Times = dict[tuple[str | date, str | None], tuple[str | None, datetime | None, bool, bool]]
"""What was read of cells that say a time and an interval: blocks of one payload have many of them in common."""

NUMBERS = (*prices.PRICES, "volume")
COLUMNS = ("number", "symbol", "interval", "timestamp", *NUMBERS)
_TIMES_KEPT = 20_000  # the dates of a lifetime; of moments within days there is no end


@dataclass
class Bars:
    """The bars of a block inside the partition, and its rows that cannot be read.

    Attributes:
        frame: `COLUMNS`; times as microseconds in UTC, numbers as decimal texts at their scale; null where missing.
        days: `symbol` and `day` of the priced bars, each once, also outside the partition.
    """

    frame: pl.DataFrame
    days: pl.DataFrame
    defects: list[Defect] = field(default_factory=list)


def read_bars(block: Block, reader: Reader, times_read: Times | None = None) -> Bars:
    """Return what a block of prices says; `times_read` is kept from block to block of one payload."""
    import numpy as np
    import polars as pl

    said = np.ones(len(block), dtype=bool)
    said[list(block.ragged)] = False
    columns: dict[str, Any] = {"number": np.arange(block.first, block.first + len(block))}
    columns["symbol"], known = repeated_texts(block.cells["symbol"])
    said &= known
    times, known = _times(block, reader, {} if times_read is None else times_read)
    said &= known
    for name in NUMBERS:
        columns[name], known = texts_of(block.cells[name], QUANTITY_SCALE if name == "volume" else PRICE_SCALE)
        said &= known
    plain = pl.DataFrame(columns | times).filter(pl.Series(said))
    parsed = Parsed()
    for place in np.flatnonzero(~said):
        read_into(parsed, block.record(int(place)), reader)
    wanted = plain.filter("is_wanted").select(COLUMNS)
    if parsed.candidates:
        wanted = pl.concat([wanted, frame_of(parsed.candidates)]).sort("number")
    return Bars(wanted, _days(plain, parsed), parsed.defects)


def frame_of(candidates: Iterable[Candidate]) -> pl.DataFrame:
    """Return single rows as columns."""
    return frame_of_rows(candidates, schema())


def values_of(row: dict[str, Any], reader: Reader) -> dict[str, Any]:
    """Return a row of the columns as `prices.read` gives it."""
    when = row["timestamp"]
    return {
        "symbol": row["symbol"],
        "interval": row["interval"],
        "timestamp": when.replace(tzinfo=UTC) if when is not None else None,
        **{name: None if row[name] is None else Decimal(row[name]) for name in NUMBERS},
        "adjustment": reader.adjustment,
    }


def schema() -> dict[str, Any]:
    """Return the columns' types."""
    import polars as pl

    moment = pl.Datetime("us")
    return {"number": pl.Int64, "symbol": pl.String, "interval": pl.String, "timestamp": moment} | dict.fromkeys(
        NUMBERS, pl.String
    )


def _times(block: Block, reader: Reader, known: Times) -> tuple[dict[str, pl.Series], np.ndarray[Any, Any]]:
    """Return `interval`, `timestamp` and `is_wanted` (by the partition), each pair of cells read once."""
    import numpy as np
    import polars as pl

    places, moments = distinct(block.cells["timestamp"])
    lengths: list[Cell] = [None]
    if "interval" in block.cells:
        of_interval, lengths = distinct(block.cells["interval"])
        places = places % len(moments) + len(moments) * (of_interval % len(lengths))
    asked, places = np.unique(places % (len(moments) * len(lengths)), return_inverse=True)
    if len(known) + len(asked) > _TIMES_KEPT:
        known.clear()
    found = []
    for one in asked.tolist():
        moment, length = moments[one % len(moments)], lengths[one // len(moments)]
        found.append(_time_once(moment, length, block, reader, known))
    kinds: dict[str, Any] = {
        "interval": pl.String,
        "timestamp": pl.Datetime("us"),
        "is_wanted": pl.Boolean,
        "said": pl.Boolean,
    }
    table = pl.DataFrame(found, schema=kinds, orient="row")[places]
    return {name: table[name] for name in kinds if name != "said"}, table["said"].to_numpy()


def _time_once(
    moment: Cell, length: Cell, block: Block, reader: Reader, known: Times
) -> tuple[str | None, datetime | None, bool, bool]:
    # Moments that are equal can be written in two zones, and then they are of two days: only texts and dates are kept.
    if type(moment) not in (str, date) or not isinstance(length, str | None):
        return _time(moment, length, block, reader)
    cells = cast("tuple[str | date, str | None]", (moment, length))
    if (found := known.get(cells)) is None:
        found = _time(moment, length, block, reader)
        if len(known) < _TIMES_KEPT:
            known[cells] = found
    return found


def _time(moment: Cell, length: Cell, block: Block, reader: Reader) -> tuple[str | None, datetime | None, bool, bool]:
    cells: dict[str, Cell] = dict.fromkeys(block.cells) | {"timestamp": moment}
    if "interval" in cells:
        cells["interval"] = length
    try:
        read = prices.read(Record(0, cells), reader)
    except CellError:
        return None, None, False, False
    about = read["about"]
    return read["interval"], held(read["timestamp"]), about is None or reader.wants(about), True


def _days(plain: pl.DataFrame, parsed: Parsed) -> pl.DataFrame:
    import polars as pl

    priced = pl.all_horizontal(pl.col("symbol", "timestamp", *prices.PRICES).is_not_null())
    found = plain.filter(priced).select("symbol", pl.col("timestamp").dt.date().alias("day")).unique()
    single: list[tuple[str, date]] = [(symbol, day) for symbol, days in parsed.days.items() for day in days]
    rest = pl.DataFrame(single, schema={"symbol": pl.String, "day": pl.Date}, orient="row")
    return pl.concat([found, rest]).unique() if single else found
