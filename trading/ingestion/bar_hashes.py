"""The identities of many bars at once: what `RawRow.hash_when_known` gives for each.

The canonical bytes of a value are those of `trading.identity`: what is the same in many rows is made by it once, the
rest is put together as columns of bytes, and only the sha256 itself is taken row by row.
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


def bar_hashes(frame: pl.DataFrame, source: str, adjustment: str, numbers: Sequence[str], known_at: str) -> list[bytes]:
    """Return the sha256 of each bar of a frame without nulls, as known from the times in the column `known_at`."""
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(
        canon(source),
        _repeated(frame["symbol"]),
        _repeated(frame["interval"]),
        _moments(frame["timestamp"]),
        _decimals(frame, numbers),
        canon(adjustment),
        _moments(frame["nominal_at"]),
        _moments(frame[known_at]),
        b"",
    )
    return _digests(rows)


def _digests(rows: Any) -> list[bytes]:
    """Take the sha256 of each value of a whole Arrow array of bytes."""
    import numpy as np

    _, offsets, held = rows.buffers()
    ends = np.frombuffer(offsets, "int32", len(rows) + 1).tolist()
    data, sha256 = memoryview(held), hashlib.sha256
    return [sha256(data[start:end]).digest() for start, end in pairwise(ends)]


def _repeated(column: pl.Series) -> Any:
    """The canonical bytes of texts that repeat: each is made once."""
    import pyarrow as pa

    encoded = column.to_arrow().dictionary_encode()
    return pa.array([canon(text) for text in encoded.dictionary.to_pylist()], pa.binary()).take(encoded.indices)


def _moments(column: pl.Series) -> Any:
    import numpy as np
    import polars as pl
    import pyarrow as pa

    micros = column.cast(pl.Int64).to_numpy()
    tagged = np.empty(len(micros), dtype=[("tag", "S1"), ("micros", ">i8")])
    tagged["tag"], tagged["micros"] = b"t", micros
    offsets = np.arange(len(micros) + 1, dtype="int32") * tagged.itemsize
    return pa.BinaryArray.from_buffers(pa.binary(), len(micros), [None, pa.py_buffer(offsets), pa.py_buffer(tagged)])


def _decimals(frame: pl.DataFrame, numbers: Sequence[str]) -> Any:
    import polars as pl
    import pyarrow as pa

    lengths = pl.Series([chr(length) for length in range(128)])
    parts: list[Any] = []
    for name in numbers:
        # A chr below 128 is one byte in UTF-8, so the whole stays a text until it is taken as bytes.
        length = pl.lit(lengths.gather(frame[name].str.len_bytes().cast(pl.UInt32)))
        parts += [pl.lit(_DECIMAL_TAG), length, pl.col(name)]
    return frame.select(pl.concat_str(parts).cast(pl.Binary).alias("bytes"))["bytes"].to_arrow().cast(pa.binary())
