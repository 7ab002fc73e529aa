"""Parquet to blocks of cells, read in parts: what `payload.records` says of a column as a whole is found out before.

Two things rest on all values of a column: whether a time without a zone is a date (all are midnights), and whether a
text is (all are dates with a midnight behind).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from trading.errors import UnreadablePayloadError
from trading.ingestion.blocks import Block
from trading.ingestion.payload import MIDNIGHT, refuse_doubled, resolved_columns
from trading.ingestion.reader import Reader

_DAY = 86_400_000_000
_BUFFER = 1 << 20  # bytes of a column read at once: its chunk in the file may be as long as the file


def parquet_blocks(stream: IO[bytes], reader: Reader, rows: int) -> Iterator[Block]:
    """Yield the rows of a Parquet file, `rows` at a time.

    Raises:
        UnreadablePayloadError, MissingColumnError: as `payload.records`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream, buffer_size=_BUFFER)
        if file.metadata.num_rows == 0:  # a frame of nothing often lacks its columns too
            return
        columns = resolved_columns(file.schema_arrow.names, reader)
        refuse_doubled(file.schema_arrow.names, columns)
        wanted = sorted(set(columns.values()))
        dated = {theirs for theirs in wanted if _is_dates(file, theirs, rows)}
        first = 1
        for batch in file.iter_batches(rows, columns=wanted):
            read = {theirs: _cells(batch.column(theirs), theirs in dated) for theirs in wanted}
            yield Block(first, {ours: read[theirs] for ours, theirs in columns.items()})
            first += len(batch)
    except (pa.ArrowException, OSError) as error:
        found = str(error).splitlines()[0]
        raise UnreadablePayloadError(f"expected a Parquet file, found: {found}; is it truncated?") from error


def _is_dates(file: Any, name: str, rows: int) -> bool:
    """Tell whether all values of a column are midnights; a column of nothing else is decided by its first block."""
    type_ = file.schema_arrow.field(name).type
    if not (_is_naive(type_) or _is_text(type_)):
        return False
    has_some = False
    for batch in file.iter_batches(rows, columns=[name]):
        column = batch.column(0)
        has_some = has_some or column.null_count < len(column)
        if not (_are_midnights(column) if _is_naive(type_) else _are_midnight_texts(column)):
            return False
    return has_some or _is_naive(type_)


def _are_midnights(column: Any) -> bool:
    import pyarrow as pa

    moments = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).drop_null().to_numpy()
    return bool((moments % _DAY == 0).all())


def _are_midnight_texts(column: Any) -> bool:
    return all(MIDNIGHT.fullmatch(text) for text in _plain(column).unique().to_pylist() if text is not None)


def _cells(column: Any, is_dates: bool) -> Any:
    """Return a column as its cells: what a float of 32 bits or a midnight stands for is put in its place."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _plain(column)
    if pa.types.is_timestamp(column.type):
        moments = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        return moments.cast(pa.date32()) if is_dates else moments
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        return _shortest(column)
    return pc.utf8_slice_codeunits(column, 0, 10) if is_dates else column


def _shortest(column: Any) -> Any:
    """The shortest text of the narrow float: 94.2 and not 94.19999694824219."""
    import numpy as np
    import pyarrow as pa

    narrow = column.to_numpy(zero_copy_only=False)
    bits = narrow.view(f"uint{narrow.itemsize * 8}")  # 0 and -0 are two
    distinct, places = np.unique(bits, return_inverse=True)
    values = [float(str(value)) for value in distinct.view(narrow.dtype)]
    return pa.array(np.array(values, dtype="float64")[places])


def _plain(column: Any) -> Any:
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_naive(type_: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(type_) and type_.tz is None)


def _is_text(type_: Any) -> bool:
    import pyarrow as pa

    kept = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(pa.types.is_string(kept) or pa.types.is_large_string(kept) or pa.types.is_string_view(kept))
