"""The identities of many bars at once: what `RawRow.hash_when_known` gives for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trading.identity import canon
from trading.ingestion.canon_columns import decimals, digests, moments, repeated_texts

if TYPE_CHECKING:
    import polars as pl


def bar_hashes(frame: pl.DataFrame, source: str, adjustment: str, numbers: Sequence[str], known_at: str) -> list[bytes]:
    """Return the sha256 of each bar of a frame without nulls, as known from the times in the column `known_at`."""
    return digests(
        [
            canon(source),
            repeated_texts(frame["symbol"]),
            repeated_texts(frame["interval"]),
            moments(frame["timestamp"]),
            decimals(frame, numbers),
            canon(adjustment),
            moments(frame["nominal_at"]),
            moments(frame[known_at]),
        ]
    )
