"""A delivery of trades on disk (spooled_rows.py), where those without a name get one.

A nameless trade is called by its place among those of its symbol and moment in the whole payload (trading/ingestion/trades.py).
Moments that only one block has are counted within it; of the others some are counted at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from trading.adapters.spooled_rows import Spool, hashes_of, repeated_hashes
from trading.ingestion.blocks import Block
from trading.ingestion.candidates import Defect
from trading.ingestion.reader import Reader
from trading.ingestion.trade_columns import read_trades, values_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_MOMENTS_AT_ONCE = 200_000
_MOMENT = ("symbol", "timestamp")


class TradeSpool(Spool):
    """The trades of one payload, block by block, in a folder of its own."""

    key: ClassVar[tuple[str, ...]] = ("symbol", "trade_id")

    def __init__(self, folder: Path, reader: Reader) -> None:
        """Begin with none."""
        super().__init__(folder, reader)
        self._has_nameless = False

    def fill(self, stream: IO[bytes]) -> None:
        """Read the whole payload, and name the trades that have no name.

        Raises:
            NoRowsError, UnreadablePayloadError, MissingColumnError, NaiveTimeError: it cannot be read as a whole.
        """
        super().fill(stream)
        if not self._has_nameless:
            return
        shared = self._shared_moments()
        shares = len(shared) // _MOMENTS_AT_ONCE + 1
        for share in range(shares):
            self._name(shared, share, shares)

    def _read(self, block: Block) -> tuple[pl.DataFrame, list[Defect]]:
        found = read_trades(block, self.reader)
        self._has_nameless = self._has_nameless or found.frame["trade_id"].has_nulls()
        return found.frame, found.defects

    def _values(self, row: dict[str, Any]) -> dict[str, Any]:
        return values_of(row)

    def _shared_moments(self) -> np.ndarray[Any, Any]:
        """Return the hashes of the moments that nameless trades of more than one block have."""
        file = self._folder / "moments"
        with file.open("wb") as moments:
            for number in range(self.blocks):
                frame = self.frame(number, (), self.key + _MOMENT[1:])
                moments.write(hashes_of(frame.filter(_is_nameless()).select(_MOMENT).unique(), _MOMENT).tobytes())
        return repeated_hashes(file)

    def _name(self, shared: np.ndarray[Any, Any], share: int, shares: int) -> None:
        """Name the trades of a share of all moments; how often a shared one came before goes from block to block."""
        import numpy as np
        import polars as pl

        before = pl.DataFrame(schema={"symbol": pl.String, "timestamp": pl.Datetime("us"), "before": pl.Int64})
        for number in range(self.blocks):
            frame = self.frame(number, ())
            hashes = hashes_of(frame, _MOMENT)
            chosen = frame.select(_is_nameless()).to_series().to_numpy() & (hashes % shares == share)
            if not chosen.any():
                continue
            moments = frame.filter(pl.Series(chosen)).select(_MOMENT)
            names = _names(moments, before)
            of_shared = moments.filter(pl.Series(np.isin(hashes[chosen], shared)))
            counted = of_shared.group_by(_MOMENT).agg(pl.len().cast(pl.Int64).alias("before"))
            before = pl.concat([before, counted]).group_by(_MOMENT).sum()
            named = frame.with_columns(frame["trade_id"].scatter(np.flatnonzero(chosen), names))
            # What was read may lie in the file's own pages, so the new rows are written beside it.
            new = self._file("named", number)
            named.write_ipc(new)
            new.replace(self._file("rows", number))


def _is_nameless() -> pl.Expr:
    """Whether a trade has no name and a moment to be called by."""
    import polars as pl

    return pl.col("trade_id").is_null() & pl.all_horizontal(pl.col(_MOMENT).is_not_null())


def _names(moments: pl.DataFrame, before: pl.DataFrame) -> pl.Series:
    """Return the names of trades of a block in their order, `before` telling how many their moments had before it."""
    import polars as pl

    placed = moments.with_columns(place=pl.int_range(1, pl.len() + 1).over(_MOMENT))
    counted = placed.join(before, on=_MOMENT, how="left", maintain_order="left")
    place = pl.col("place") + pl.col("before").fill_null(0)
    return counted.select(pl.concat_str(pl.col("timestamp").cast(pl.Int64), pl.lit("-"), place).alias("name"))["name"]
