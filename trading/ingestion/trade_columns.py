"""A block of raw cells to the columns of its trades: what `trades.read` says of each row, many rows at once.

A row with a cell that cannot be read goes the way of single rows, whole: so why it is refused is said in one place only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trading.identity import PRICE_SCALE, QUANTITY_SCALE
from trading.ingestion import exact_texts, trades
from trading.ingestion.blocks import Block
from trading.ingestion.candidates import Candidate, Defect, Parsed, read_into
from trading.ingestion.moment_columns import moments_of
from trading.ingestion.reader import Reader
from trading.ingestion.row_columns import frame_of_rows
from trading.ingestion.text_columns import repeated_texts, texts_of

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("number", "symbol", "trade_id", "timestamp", "price", "size", "side")
_SCALES = {"price": PRICE_SCALE, "size": QUANTITY_SCALE}


@dataclass
class Trades:
    """The trades of a block inside the partition, and its rows that cannot be read.

    Attributes:
        frame: `COLUMNS`; times as microseconds in UTC, numbers as decimal texts at their scale; null where missing.
    """

    frame: pl.DataFrame
    defects: list[Defect] = field(default_factory=list)


def read_trades(block: Block, reader: Reader) -> Trades:
    """Return what a block of trades says; trades without an id have none yet."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    cells = block.cells
    nothing = pa.nulls(len(block), pa.string())
    columns: dict[str, Any] = {"number": np.arange(block.first, block.first + len(block))}
    said = np.ones(len(block), dtype=bool)
    said[list(block.ragged)] = False
    read = {
        "symbol": repeated_texts(cells["symbol"]),
        "trade_id": texts_of(cells.get("trade_id", nothing)),
        "timestamp": moments_of(cells["timestamp"], trades.moment_of),
        **{name: exact_texts.texts_of(cells[name], scale) for name, scale in _SCALES.items()},
        "side": repeated_texts(cells.get("side", nothing), trades.side_of),
    }
    for name, (column, known) in read.items():
        columns[name] = column
        said &= known
    frame = pl.DataFrame(columns, schema_overrides=schema())
    plain = _wanted(frame if said.all() else frame.filter(pl.Series(said)), reader)
    parsed = Parsed()
    for place in np.flatnonzero(~said):
        read_into(parsed, block.record(int(place)), reader)
    if parsed.candidates:
        plain = pl.concat([plain, frame_of(parsed.candidates)]).sort("number")
    return Trades(plain, parsed.defects)


def frame_of(candidates: Iterable[Candidate]) -> pl.DataFrame:
    """Return single rows as columns."""
    return frame_of_rows(candidates, schema())


def values_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the columns as `trades.read` gives it."""
    when = row["timestamp"]
    return {
        "symbol": row["symbol"],
        "trade_id": row["trade_id"],
        "timestamp": None if when is None else when.replace(tzinfo=UTC),
        **{name: None if row[name] is None else Decimal(row[name]) for name in _SCALES},
        "side": row["side"],
        "nominal_at": None,
    }


def schema() -> dict[str, Any]:
    """Return the columns' types."""
    import polars as pl

    return dict.fromkeys(COLUMNS, pl.String) | {"number": pl.Int64, "timestamp": pl.Datetime("us")}


def _wanted(frame: pl.DataFrame, reader: Reader) -> pl.DataFrame:
    """Return the trades of the partition that was asked for; one without a time belongs to any."""
    import polars as pl

    if reader.partition is None:
        return frame
    days = frame["timestamp"].dt.date()
    wanted: list[date | None] = [day for day in days.unique().to_list() if day is None or reader.wants(day)]
    return frame.filter(days.is_in(pl.Series(wanted, dtype=pl.Date), nulls_equal=True))
