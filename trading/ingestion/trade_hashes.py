"""The identities of many trades at once: what `RawRow.hash_when_known` gives for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trading.identity import canon
from trading.ingestion.canon_columns import decimals, digests, moments, repeated_texts, texts

if TYPE_CHECKING:
    import polars as pl


def trade_hashes(frame: pl.DataFrame, source: str, known_at: str) -> list[bytes]:
    """Return the sha256 of each trade of a frame, as known from the times in `known_at`; only `side` may be null."""
    return digests(
        [
            canon(source),
            repeated_texts(frame["symbol"]),
            *texts(frame["trade_id"]),
            moments(frame["timestamp"]),
            decimals(frame, ("price", "size")),
            repeated_texts(frame["side"]),
            moments(frame["nominal_at"]),
            moments(frame[known_at]),
        ]
    )
