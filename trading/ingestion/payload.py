"""Payload bytes to records of cells, column names resolved. What a cell means is `cells`' business.

Files are read here; the answer of a vendor is read by the vendor's own module (docs/adding-a-source.md).

A whole file that cannot be read fails here, in one line: empty, truncated, not of the type its name says, or without a
column that its kind must have. A single bad row never does; it becomes a defect later.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from trading.errors import MissingColumnError, NoRowsError, UnreadablePayloadError
from trading.ingestion.reader import FILE_FORMATS, Kind, Reader

Cell = str | int | float | bool | Decimal | date | datetime | list[Any] | None

# Our column -> the names that files commonly use for it, in lower case; the first that a file has is taken.
COLUMNS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "prices": {
        "symbol": ("symbol", "ticker"),
        "timestamp": ("timestamp", "date", "datetime", "time", "ts", "session_date"),
        "open": ("open",),
        "high": ("high",),
        "low": ("low",),
        "close": ("close",),
        "volume": ("volume",),
        "interval": ("interval",),
    },
    "actions": {
        "symbol": ("symbol", "ticker"),
        "kind": ("kind",),
        "ex_date": ("ex_date", "date", "timestamp", "effective_date", "session_date", "ts"),
        "ratio": ("ratio", "split_ratio", "stock_splits", "split_factor"),
        "amount": ("amount", "dividend", "dividends", "ex_dividend", "ex-dividend", "dividend_amount"),
        "currency": ("currency",),
        "new_symbol": ("new_symbol", "new_ticker"),
        "close": ("close",),
    },
    "news": {
        "id": ("id", "news_id", "post_id"),
        "published_at": ("published_at", "created_at", "timestamp", "date"),
        "symbols": ("symbols", "symbol", "tickers", "ticker"),
        "headline": ("headline", "title", "text"),
        "url": ("url", "link"),
        "body": ("body", "content", "summary"),
    },
    "universe": {
        "universe": ("universe", "index"),
        "symbol": ("symbol", "ticker"),
        "date": ("date", "effective_date"),
        "member": ("member", "is_member"),
    },
    "trades": {
        "symbol": ("symbol", "ticker"),
        "timestamp": ("timestamp", "datetime", "time", "ts"),
        "price": ("price",),
        "size": ("size", "quantity", "qty", "amount"),
        "trade_id": ("trade_id", "id"),
        "side": ("side", "taker_side"),
    },
}
OPTIONAL: dict[Kind, frozenset[str]] = {
    "prices": frozenset({"interval"}),
    "actions": frozenset({"kind", "ratio", "amount", "currency", "new_symbol", "close"}),
    "news": frozenset({"url", "body"}),
    "universe": frozenset(),
    "trades": frozenset({"trade_id", "side"}),
}
# A file must have one of these columns.
ONE_OF: dict[Kind, tuple[str, ...]] = {"actions": ("ratio", "amount", "kind")}


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
MIDNIGHT = re.compile(r"\d{4}-\d\d-\d\d[ T]00:00:00(\.0+)?")


@dataclass(frozen=True)
class Record:
    """One data row of a payload: its number from 1, its cells under our column names, None where the row ends early."""

    number: int
    cells: dict[str, Cell]
    is_whole: bool = True


def records(payload: bytes, reader: Reader) -> list[Record]:
    """Return every data row of the payload, in its order; none of a Parquet file that says it has zero rows.

    Raises:
        NoRowsError: a CSV file with a header and nothing below it.
        UnreadablePayloadError: empty, truncated, or not of the format that the reader names.
        MissingColumnError: a column that this kind must have is not there.
    """
    if not payload:
        raise UnreadablePayloadError(f"expected {reader.kind} in a {reader.format} file, found an empty file")
    if reader.format not in FILE_FORMATS:
        return _of_vendor(payload, reader)
    return _parquet(payload, reader) if reader.format == "parquet" else _csv(payload, reader)


def _of_vendor(payload: bytes, reader: Reader) -> list[Record]:
    """Read a vendor's own format by its module, which gives cells under our names; what it leaves out is missing."""
    from trading.adapters.sources.registry import vendor_of_format  # the one line where a vendor is known is there

    required: dict[str, Cell] = {ours: None for ours in COLUMNS[reader.kind] if ours not in OPTIONAL[reader.kind]}
    rows = vendor_of_format(reader.format).rows(payload, reader)
    return [Record(number, required | dict(cells)) for number, cells in enumerate(rows, start=1)]


def resolved_columns(names: Sequence[str], reader: Reader) -> dict[str, str]:
    """Return our column -> the file's column, by the user's mapping first and by the usual names else.

    Raises:
        MissingColumnError: a mapped column is not in the file, or a required one cannot be found.
    """
    _refuse_other_separators(names)
    by_usual = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
    resolved = {}
    for ours, usual in COLUMNS[reader.kind].items():
        theirs = reader.columns.get(ours) or next((by_usual[name] for name in usual if name in by_usual), None)
        if theirs is not None and theirs in names:
            resolved[ours] = theirs
        elif ours in reader.columns or ours not in OPTIONAL[reader.kind]:
            raise _missing(ours, names, reader)
    _refuse_unknown_targets(reader)
    if (one_of := ONE_OF.get(reader.kind)) and not any(ours in resolved for ours in one_of):
        raise _missing(one_of[0], names, reader)
    return resolved


def refuse_doubled(names: Sequence[str], columns: dict[str, str]) -> None:
    """Refuse a Parquet file with two columns of one name that is read: nobody can say which is meant.

    Raises:
        UnreadablePayloadError: as said.
    """
    if doubled := sorted({theirs for theirs in columns.values() if names.count(theirs) > 1}):
        raise UnreadablePayloadError(
            f"expected one column of each name, found {', '.join(doubled)} more than once; leave one out of the file"
        )


def _refuse_other_separators(names: Sequence[str]) -> None:
    """Refuse a header that is one cell because commas are not what separates it."""
    other = next((name for sign, name in _SEPARATORS.items() if len(names) == 1 and sign in names[0]), None)
    if other:
        raise MissingColumnError(
            f"expected columns separated by commas, found a header separated by {other}: {' '.join(names[0].split())}; "
            "save it with commas"
        )


def _missing(ours: str, names: Sequence[str], reader: Reader) -> MissingColumnError:
    usual = COLUMNS[reader.kind][ours]
    looked_for = " or ".join([reader.columns[ours]] if ours in reader.columns else usual)
    return MissingColumnError(
        f"expected a column for {ours} ({looked_for}), found {', '.join(names)}; name it with --map {ours}=THEIRS"
        + (", or add it, with the symbol in every row" if ours == "symbol" else "")
    )


def _refuse_unknown_targets(reader: Reader) -> None:
    if unknown := sorted(set(reader.columns) - set(COLUMNS[reader.kind])):
        raise MissingColumnError(
            f"expected a mapping onto one of {', '.join(COLUMNS[reader.kind])}, found {', '.join(unknown)}"
        )


def _csv(payload: bytes, reader: Reader) -> list[Record]:
    text = _text(payload, reader)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise UnreadablePayloadError(f"expected CSV, found a line that is none ({error}); is it truncated?") from error
    if not lines:
        raise UnreadablePayloadError(f"expected {reader.kind} in a CSV file, found only blank lines")
    names, data = lines[0], lines[1:]
    columns = resolved_columns(names, reader)
    if not data:
        raise NoRowsError(f"expected rows of {reader.kind}, found a file with a header and nothing below it")
    if len(data[-1]) < len(names) and not text.endswith(("\n", "\r")):
        raise UnreadablePayloadError(
            f"expected {len(names)} values in the last line, found {len(data[-1])}: "
            "the file is truncated; deliver it whole"
        )
    places = {ours: names.index(theirs) for ours, theirs in columns.items()}
    return [_csv_record(number, line, places, len(names)) for number, line in enumerate(data, start=1)]


def _csv_record(number: int, line: list[str], places: dict[str, int], width: int) -> Record:
    cells: dict[str, Cell] = {ours: line[at] if at < len(line) else None for ours, at in places.items()}
    return Record(number, cells, is_whole=len(line) == width)


def _text(payload: bytes, reader: Reader) -> str:
    try:
        plain = gzip.decompress(payload) if reader.format == "csv.gz" else payload
        return plain.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadablePayloadError(f"expected a whole gzip file, found: {error}; deliver it again") from error
    except UnicodeDecodeError as error:
        raise UnreadablePayloadError(f"expected text in UTF-8, found: {error}") from error


def _parquet(payload: bytes, reader: Reader) -> list[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        described = pq.read_metadata(io.BytesIO(payload))
        if described.num_rows == 0:  # a frame of nothing often lacks its columns too
            return []
        names = described.schema.to_arrow_schema().names
        columns = resolved_columns(names, reader)
        refuse_doubled(names, columns)
        table = pq.read_table(io.BytesIO(payload), columns=sorted(set(columns.values())))
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise UnreadablePayloadError(f"expected a Parquet file, found: {first}; is it truncated?") from error
    cells = {ours: list(_column(table.column(theirs))) for ours, theirs in columns.items()}
    return [
        Record(number, dict(zip(cells, row, strict=True)))
        for number, row in enumerate(zip(*cells.values(), strict=True), start=1)
    ]


def _column(column: Any) -> Iterator[Cell]:
    """Yield the values of an Arrow column as Python values that lose nothing."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        values = column.to_pylist()
        # Parquet written from a data frame has no bare dates: a naive column of midnights only is one of dates.
        if column.type.tz is None and all(value is None or _is_midnight(value) for value in values):
            return iter([None if value is None else value.date() for value in values])
        return iter(values)
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        # The shortest text of the narrow float: 94.2 and not 94.19999694824219.
        narrow = column.to_numpy(zero_copy_only=False)
        return iter([float(str(value)) for value in narrow])
    values = column.to_pylist()
    texts = [value for value in values if value is not None]
    if texts and all(isinstance(text, str) and MIDNIGHT.fullmatch(text) for text in texts):
        return iter([None if value is None else value[:10] for value in values])  # the same column, made text before
    return iter(values)


def _is_midnight(value: datetime) -> bool:
    return (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
