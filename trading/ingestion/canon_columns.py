"""Canonical bytes of whole columns: what `trading.identity.canon` gives for each value, as Arrow arrays of bytes.

What is the same in many rows is made by `canon` itself once; the rest is put together as columns, and only the sha256 is
taken row by row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from trading.identity import canon

if TYPE_CHECKING:
    import polars as pl

# A text's canonical bytes are its tag, its length as four bytes, itself; a decimal's length always fits the last one.
_DECIMAL_TAG = "d\x00\x00\x00"


def digests(parts: Sequence[Any]) -> list[bytes]:
    """Return the sha256 of each row: its parts, columns of bytes or bytes that all rows share, one behind the other."""
    import numpy as np
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*parts, b"")
    _, offsets, held = rows.buffers()
    ends = np.frombuffer(offsets, "int32", len(rows) + 1).tolist()
    data, sha256 = memoryview(held), hashlib.sha256
    return [sha256(data[start:end]).digest() for start, end in pairwise(ends)]


def repeated_texts(column: pl.Series) -> Any:
    """The canonical bytes of texts that repeat, or of their absence: each is made once."""
    import pyarrow as pa

    encoded = column.to_arrow().dictionary_encode()
    made = [canon(text) for text in encoded.dictionary.to_pylist()]
    if not encoded.null_count:
        return pa.array(made, pa.binary()).take(encoded.indices)
    return pa.array([*made, canon(None)], pa.binary()).take(encoded.indices.fill_null(len(made)))


def texts(column: pl.Series) -> tuple[Any, Any]:
    """The canonical bytes of texts that are all there and hardly repeat, in two columns: what stands before them, they."""
    import numpy as np
    import polars as pl
    import pyarrow as pa

    heads = np.empty(len(column), dtype=[("tag", "S1"), ("bytes", ">i4")])
    heads["tag"], heads["bytes"] = b"s", column.str.len_bytes().to_numpy()
    return _fixed(heads), column.cast(pl.Binary).to_arrow().cast(pa.binary())


def moments(column: pl.Series) -> Any:
    """The canonical bytes of times, UTC without a zone."""
    import numpy as np
    import polars as pl

    micros = column.cast(pl.Int64).to_numpy()
    tagged = np.empty(len(micros), dtype=[("tag", "S1"), ("micros", ">i8")])
    tagged["tag"], tagged["micros"] = b"t", micros
    return _fixed(tagged)


def decimals(frame: pl.DataFrame, names: Sequence[str]) -> Any:
    """The canonical bytes of several columns of decimal texts at their scale, one behind the other."""
    import polars as pl
    import pyarrow as pa

    lengths = pl.Series([chr(length) for length in range(128)])
    parts: list[Any] = []
    for name in names:
        # A chr below 128 is one byte in UTF-8, so the whole stays a text until it is taken as bytes.
        length = pl.lit(lengths.gather(frame[name].str.len_bytes().cast(pl.UInt32)))
        parts += [pl.lit(_DECIMAL_TAG), length, pl.col(name)]
    return frame.select(pl.concat_str(parts).cast(pl.Binary).alias("bytes"))["bytes"].to_arrow().cast(pa.binary())


def _fixed(records: Any) -> Any:
    """Return records of one width as a column of bytes."""
    import numpy as np
    import pyarrow as pa

    offsets = np.arange(len(records) + 1, dtype="int32") * records.itemsize
    return pa.BinaryArray.from_buffers(pa.binary(), len(records), [None, pa.py_buffer(offsets), pa.py_buffer(records)])
