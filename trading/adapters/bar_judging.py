"""One block of a delivery of prices through the gate: placed in its sessions, held to its gaps, judged (block_judging.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trading.adapters.bar_places import COLUMNS as PLACED
from trading.adapters.bar_places import Places
from trading.adapters.block_judging import Judging, Outcome
from trading.ingestion.bar_columns import NUMBERS, frame_of
from trading.ingestion.candidates import Candidate, Defect
from trading.ingestion.gaps import RULE as GAP_RULE
from trading.ingestion.gaps import refused_by
from trading.ingestion.reader import Kind
from trading.quality.gate import Check

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class BarJudging(Judging):
    """What judging a delivery's bars needs, their places in sessions among it."""

    kind: ClassVar[Kind] = "prices"
    places: Places

    def placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return bars with their places in sessions."""
        return self.places.of(frame)

    def place_single(self, candidates: list[Candidate]) -> None:
        """Give single bars their places in sessions."""
        self.places.of_single(candidates)

    def frame_of(self, candidates: list[Candidate]) -> pl.DataFrame:
        """Return single bars as columns."""
        return frame_of(candidates)

    def judged(self, number: int, frame: pl.DataFrame) -> Outcome:
        """Judge placed bars of a block by the gaps, and those that are left by the suite."""
        import polars as pl

        if frame.is_empty():
            return Outcome(frame)
        gap_defects = self._refused(number, frame)
        refused = [defect.number for defect in gap_defects]
        check = Check(GAP_RULE, "symbol, timestamp", len(frame), len(gap_defects))
        left = frame.filter(~pl.col("number").is_in(refused)) if refused else frame
        found = super().judged(number, left)
        return Outcome(found.good, [*gap_defects, *found.defects], [check, *found.checks])

    def held(self, frame: pl.DataFrame) -> Any:
        """Return bars as the gate's pandas frame."""
        import polars as pl

        columns = frame.select(
            "symbol", "interval", "timestamp", *(pl.col(name).cast(pl.Float64) for name in NUMBERS), *PLACED
        )
        return columns.with_columns(adjustment=pl.lit(self.batch.reader.adjustment)).to_pandas()

    def _refused(self, number: int, frame: pl.DataFrame) -> list[Defect]:
        """Return a defect for each bar on the refused side of a gap."""
        import polars as pl

        symbols = {gap.symbol for gap in self.facts.gaps}
        if not symbols:
            return []
        touched = self.spool.candidates(number, frame.filter(pl.col("symbol").is_in(list(symbols))))
        return refused_by(self.facts.gaps, touched, self.facts.parts)
