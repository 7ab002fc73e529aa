"""Payload bytes to blocks of raw cells, column by column: what `payload.records` says, with never more than a block held.

A cell means the same in both: `Block.record` gives the record that `payload.records` has in that place. A file that is
wrong as a whole is refused in the same words; of a long one the reader may have been given blocks before that shows.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import IO, Any

from trading.errors import NoRowsError, UnreadablePayloadError
from trading.ingestion.payload import Cell, Record, records, resolved_columns
from trading.ingestion.reader import FILE_FORMATS, Reader

BLOCK_ROWS = 100_000
"""Rows held at once: enough that the gate's fixed cost of a fifth of a second counts for little."""

Column = Any
"""A column of a block: a pyarrow array, or a list where its values are of several types."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows: the number of the first, a column of cells under each of our names, the rows of another width."""

    first: int
    cells: dict[str, Column]
    ragged: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.cells.values())))

    def record(self, place: int) -> Record:
        """Return the row at `place` (from 0) as `payload.records` gives it."""
        cells = {ours: _value(column[place]) for ours, column in self.cells.items()}
        return Record(self.first + place, cells, is_whole=place not in self.ragged)

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Yield the rows of the places start..stop-1, as `record` gives each; a column's cells are taken out at once."""
        columns = {ours: _values(column, start, stop) for ours, column in self.cells.items()}
        ragged = set(self.ragged)
        for place, cells in enumerate(zip(*columns.values(), strict=True), start=start):
            named = dict(zip(columns, cells, strict=True))
            yield Record(self.first + place, named, is_whole=place not in ragged)


def blocks(stream: IO[bytes], reader: Reader) -> Iterator[Block]:
    """Yield the payload's rows in their order, `BLOCK_ROWS` at a time; none of a Parquet file with zero rows.

    Raises:
        NoRowsError, UnreadablePayloadError, MissingColumnError: as `payload.records`; perhaps only after some blocks.
    """
    is_empty = not stream.read(1)
    stream.seek(0)
    if is_empty or reader.format not in FILE_FORMATS:
        yield from _of_records(records(stream.read(), reader))
    elif reader.format == "parquet":
        from trading.ingestion.parquet_blocks import parquet_blocks

        yield from parquet_blocks(stream, reader, BLOCK_ROWS)
    else:
        yield from _csv(stream, reader)


def _of_records(found: list[Record]) -> Iterator[Block]:
    """A vendor's answer is a page: it was in memory as a whole already."""
    for start in range(0, len(found), BLOCK_ROWS):
        part = found[start : start + BLOCK_ROWS]
        names = dict.fromkeys(name for record in part for name in record.cells)
        cells = {name: _arrow_column([record.cells.get(name) for record in part]) for name in names}
        yield Block(part[0].number, cells)


def _arrow_column(cells: list[Cell]) -> Column:
    """Return cells of one kind as an Arrow column, of which the reader makes more at once; a decimal as its text."""
    import pyarrow as pa

    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {str}:
        return pa.array(cells, pa.string())
    if kinds == {date}:
        return pa.array(cells, pa.date32())
    if kinds == {Decimal}:
        return pa.array([None if cell is None else format(cell, "f") for cell in cells], pa.string())
    return cells


def _csv(stream: IO[bytes], reader: Reader) -> Iterator[Block]:
    with _refusing():
        plain = gzip.GzipFile(fileobj=stream) if reader.format == "csv.gz" else stream
        lines = _Lines(io.TextIOWrapper(plain, encoding="utf-8-sig", newline=""))
        rows = filter(None, csv.reader(lines, strict=True))
        names = next(rows, None)
        if names is None:
            raise UnreadablePayloadError(f"expected {reader.kind} in a CSV file, found only blank lines")
        places = {ours: names.index(theirs) for ours, theirs in resolved_columns(names, reader).items()}
        first, last = 1, None
        while part := list(islice(rows, BLOCK_ROWS)):
            yield _csv_block(first, part, places, len(names))
            first, last = first + len(part), part[-1]
        if last is None:
            raise NoRowsError(f"expected rows of {reader.kind}, found a file with a header and nothing below it")
        if len(last) < len(names) and not lines.newest.endswith(("\n", "\r")):
            raise UnreadablePayloadError(
                f"expected {len(names)} values in the last line, found {len(last)}: "
                "the file is truncated; deliver it whole"
            )


class _Lines:
    """The lines of a text; `newest` is the one given last."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.newest = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.newest = line
            yield line
        self._text.detach()  # the stream is its owner's to close


def _csv_block(first: int, rows: Sequence[list[str]], places: dict[str, int], width: int) -> Block:
    import pyarrow as pa

    ragged = tuple(place for place, row in enumerate(rows) if len(row) != width)
    if ragged:
        padded = [row + [None] * (width - len(row)) if len(row) < width else row for row in rows]
        columns: Sequence[Sequence[Cell]] = [[row[at] for row in padded] for at in range(width)]
    else:
        columns = list(zip(*rows, strict=True))
    return Block(first, {ours: pa.array(columns[at], pa.string()) for ours, at in places.items()}, ragged)


@contextmanager
def _refusing() -> Iterator[None]:
    """Say in one line why a text file cannot be read."""
    try:
        yield
    except csv.Error as error:
        raise UnreadablePayloadError(f"expected CSV, found a line that is none ({error}); is it truncated?") from error
    except UnicodeDecodeError as error:
        raise UnreadablePayloadError(f"expected text in UTF-8, found: {error}") from error
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadablePayloadError(f"expected a whole gzip file, found: {error}; deliver it again") from error


def _values(column: Column, start: int, stop: int) -> list[Cell]:
    part = column[start:stop]
    found: list[Cell] = part.to_pylist() if hasattr(part, "to_pylist") else part
    return found


def _value(cell: Any) -> Cell:
    found: Cell = cell.as_py() if hasattr(cell, "as_py") else cell
    return found
