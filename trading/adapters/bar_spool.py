"""A delivery of prices on disk (spooled_rows.py), and which days each symbol has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from trading.adapters.spooled_rows import Spool, Survey, named
from trading.ingestion.bar_columns import Times, read_bars, values_of
from trading.ingestion.blocks import Block
from trading.ingestion.candidates import Defect
from trading.ingestion.gaps import LONGEST, Part
from trading.ingestion.reader import Reader

if TYPE_CHECKING:
    import polars as pl


class BarSpool(Spool):
    """The bars of one payload, block by block, in a folder of its own."""

    key: ClassVar[tuple[str, ...]] = ("symbol", "interval", "timestamp")

    def __init__(self, folder: Path, reader: Reader) -> None:
        """Begin with none."""
        super().__init__(folder, reader)
        self._times_read = Times()

    def days(self, parts: Sequence[Part]) -> dict[str, set[date]]:
        """Return days of each symbol's bars, as published: not all, but its stretches and gaps are those of all.

        Of each 250 days the first and the last are kept. So no kept day is farther from the next one than they were, or
        than a gap may be, and the ends of every longer gap are there.
        """
        import polars as pl

        kept = pl.DataFrame(schema={"symbol": pl.String, "day": pl.Date})
        for number in range(self.blocks):
            found = pl.read_ipc(self._file("days", number))
            found = pl.concat([kept, found.with_columns(symbol=named(parts, pl.col("day")))])
            ends = found.group_by("symbol", pl.col("day").to_physical().floordiv(LONGEST).alias("place")).agg(
                pl.col("day").min().alias("first"), pl.col("day").max().alias("last")
            )
            both = [ends.select("symbol", day=pl.col(name)) for name in ("first", "last")]
            kept = pl.concat(both).unique()
        return {symbol: set(days) for symbol, days in kept.group_by("symbol").agg("day").iter_rows()}

    def survey(self, parts: Sequence[Part]) -> Survey:
        """Return what all bars have together."""
        ends: dict[str, tuple[datetime, datetime]] = {}

        def widen(frame: pl.DataFrame) -> None:
            for interval, first, last in _ends(frame).iter_rows():
                known = ends.get(interval, (first, last))
                ends[interval] = min(known[0], first), max(known[1], last)

        found = self._surveyed(parts, self.key, widen)
        return replace(found, ends=tuple((interval, *both) for interval, both in ends.items()))

    def _read(self, block: Block) -> tuple[pl.DataFrame, list[Defect]]:
        bars = read_bars(block, self.reader, self._times_read)
        bars.days.write_ipc(self._file("days", self.blocks))
        return bars.frame, bars.defects

    def _values(self, row: dict[str, Any]) -> dict[str, Any]:
        return values_of(row, self.reader)


def _ends(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return (
        frame.drop_nulls("timestamp")
        .group_by("interval")
        .agg(pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last"))
    )
