"""One block of a delivery of trades through the gate: placed in time, judged (block_judging.py)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from trading.adapters.block_judging import Judging
from trading.ingestion import trades
from trading.ingestion.candidates import Candidate
from trading.ingestion.reader import Kind
from trading.ingestion.trade_columns import COLUMNS, frame_of

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class TradeJudging(Judging):
    """What judging a delivery's trades needs; `lag`: how long after its moment a trade of the source can be known."""

    kind: ClassVar[Kind] = "trades"
    lag: timedelta

    def placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return trades with their `nominal_at`."""
        import polars as pl

        return frame.with_columns(nominal_at=pl.col("timestamp") + self.lag)

    def place_single(self, candidates: list[Candidate]) -> None:
        """Give single trades their `nominal_at`."""
        for candidate in candidates:
            trades.place(candidate.values, self.lag)

    def frame_of(self, candidates: list[Candidate]) -> pl.DataFrame:
        """Return single trades as columns."""
        return frame_of(candidates)

    def held(self, frame: pl.DataFrame) -> Any:
        """Return trades as the gate's pandas frame."""
        import polars as pl

        numbers = [pl.col(name).cast(pl.Float64) for name in ("price", "size")]
        return frame.select(*COLUMNS[1:], "nominal_at").with_columns(numbers).to_pandas()
