"""The identities of many bars at once: what `RawRow.hash_when_known` gives for each.

The canonical bytes of a value are those of `trading.identity`: what is the same in many rows is made by it once, the
decimals are put together as columns of text, and only the sha256 itself is taken row by row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trading.identity import canon

if TYPE_CHECKING:
    import polars as pl

# A text's canonical bytes are its tag, its length as four bytes, itself; a decimal's length always fits the last one.
_DECIMAL_TAG = "d\x00\x00\x00"


def bar_hashes(frame: pl.DataFrame, source: str, adjustment: str, numbers: Sequence[str], known_at: str) -> list[bytes]:
    """Return the sha256 of each bar of a frame without nulls, as known from the times in the column `known_at`."""
    sha256, end = hashlib.sha256, canon(adjustment)
    rows = zip(
        _keys(frame, source),
        _moments(frame["timestamp"]),
        _decimals(frame, numbers),
        _moments(frame["nominal_at"]),
        _moments(frame[known_at]),
        strict=True,
    )
    return [
        sha256(b"".join((key, at, decimals, end, nominal, known))).digest()
        for key, at, decimals, nominal, known in rows
    ]


def _keys(frame: pl.DataFrame, source: str) -> list[bytes]:
    """The source, the symbol and the interval of each row; few pairs, each made once."""
    of_source = canon(source)
    pairs = list(frame.select("symbol", "interval").iter_rows())
    made = {pair: of_source + canon(pair[0]) + canon(pair[1]) for pair in set(pairs)}
    return [made[pair] for pair in pairs]


def _moments(column: pl.Series) -> list[bytes]:
    import numpy as np
    import polars as pl

    micros = column.cast(pl.Int64).to_numpy()
    tagged = np.empty(len(micros), dtype=[("tag", "S1"), ("micros", ">i8")])
    tagged["tag"], tagged["micros"] = b"t", micros
    held, width = tagged.tobytes(), tagged.dtype.itemsize
    return [held[at : at + width] for at in range(0, len(held), width)]


def _decimals(frame: pl.DataFrame, numbers: Sequence[str]) -> list[bytes]:
    import polars as pl

    lengths = pl.Series([chr(length) for length in range(128)])
    parts: list[Any] = []
    for name in numbers:
        # A chr below 128 is one byte in UTF-8, so the whole stays a text until it is taken as bytes.
        length = pl.lit(lengths.gather(frame[name].str.len_bytes().cast(pl.UInt32)))
        parts += [pl.lit(_DECIMAL_TAG), length, pl.col(name)]
    return frame.select(pl.concat_str(parts).cast(pl.Binary).alias("bytes"))["bytes"].to_list()
