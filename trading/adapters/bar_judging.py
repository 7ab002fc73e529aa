"""One block of a delivery of prices through the gate: placed in its sessions, judged, with the identities of what passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from trading.adapters.bar_places import COLUMNS as PLACED
from trading.adapters.bar_places import Places
from trading.adapters.bar_spool import Spool
from trading.adapters.warehouse import Batch
from trading.ingestion.bar_columns import NUMBERS, frame_of, values_of
from trading.ingestion.bar_hashes import bar_hashes
from trading.ingestion.candidates import Candidate, Defect
from trading.ingestion.folding import folded
from trading.ingestion.gaps import RULE as GAP_RULE
from trading.ingestion.gaps import refused_by
from trading.quality.gate import Check, Facts, broken_rules, judge, staged

if TYPE_CHECKING:
    import polars as pl


@dataclass
class Outcome:
    """What the gate made of some bars: those that passed, as columns, and the rest."""

    good: pl.DataFrame
    defects: list[Defect] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    rows_merged: int = 0


@dataclass(frozen=True)
class Judging:
    """What judging a delivery's bars needs: where they lie, the facts, their places in sessions."""

    batch: Batch
    spool: Spool
    facts: Facts
    places: Places

    def block(self, number: int, frame: pl.DataFrame) -> Outcome:
        """Judge bars of one block no two of which have one key."""
        import polars as pl

        frame = self.places.of(frame)
        gap_defects = self._refused(number, frame)
        refused = [defect.number for defect in gap_defects]
        check = Check(GAP_RULE, "symbol, timestamp", len(frame), len(gap_defects))
        judged = frame.filter(~pl.col("number").is_in(refused)) if refused else frame
        if judged.is_empty():
            return Outcome(judged, gap_defects, [check] if len(frame) else [])
        broken, checks = broken_rules("prices", staged("prices", self._held(judged), self.facts), len(judged))
        bad = judged[sorted(broken)]
        told = zip(self._candidates(number, bad), (broken[place] for place in sorted(broken)), strict=True)
        defects = [one.defect(rule, detail) for one, rules in told for rule, detail in rules.items()]
        good = judged.filter(~pl.col("number").is_in(bad["number"].to_list())) if len(bad) else judged
        return Outcome(good, [*gap_defects, *defects], [check, *checks])

    def repeated(self, candidates: list[Candidate]) -> Outcome:
        """Judge the bars of keys that come more than once, as single rows: equal ones are folded first."""
        self.places.of_single(candidates)
        left, rows_merged = folded("prices", candidates)
        verdict = judge("prices", left, self.facts)
        good = frame_of(verdict.good)
        return Outcome(self.places.of(good), verdict.defects, verdict.checks, rows_merged)

    def candidates(self, number: int, frame: pl.DataFrame) -> list[Candidate]:
        """Return bars of a block as single rows."""
        return self._candidates(number, frame)

    def _refused(self, number: int, frame: pl.DataFrame) -> list[Defect]:
        """Return a defect for each bar on the refused side of a gap."""
        import polars as pl

        symbols = {gap.symbol for gap in self.facts.gaps}
        if not symbols:
            return []
        touched = self._candidates(number, frame.filter(pl.col("symbol").is_in(list(symbols))))
        return refused_by(self.facts.gaps, touched, self.facts.parts)

    def _held(self, frame: pl.DataFrame) -> Any:
        """Return bars as the gate's frame: its columns are those of a single row's values."""
        import polars as pl

        columns = frame.select(
            "symbol", "interval", "timestamp", *(pl.col(name).cast(pl.Float64) for name in NUMBERS), *PLACED
        )
        return columns.with_columns(adjustment=pl.lit(self.batch.reader.adjustment)).to_pandas()

    def _candidates(self, number: int, frame: pl.DataFrame) -> list[Candidate]:
        reader = self.batch.reader
        rows = [{"number": row["number"], "values": values_of(row, reader)} for row in frame.iter_rows(named=True)]
        return self.spool.candidates(number, rows) if rows else []


def with_hashes(good: pl.DataFrame, batch: Batch, *, with_later: bool) -> pl.DataFrame:
    """Return the bars that passed as they are staged: with the hash of a first version and of a later one."""
    import polars as pl

    received = pl.lit(batch.received_at.astimezone(UTC).replace(tzinfo=None)).cast(pl.Datetime("us"))
    frame = good.with_columns(later=pl.max_horizontal("nominal_at", received))
    is_history = batch.mode == "history"
    first = _hashes(frame, batch, "nominal_at" if is_history else "later")
    later: list[str] | list[None] = [None] * len(frame)
    if is_history and with_later:
        later = _hashes(frame, batch, "later")
    return frame.with_columns(row_hash=pl.Series(first, dtype=pl.String), later_hash=pl.Series(later, dtype=pl.String))


def _hashes(frame: pl.DataFrame, batch: Batch, known_at: str) -> list[str]:
    found = bar_hashes(frame, batch.source, batch.reader.adjustment, NUMBERS, known_at)
    return [f"\\x{digest.hex()}" for digest in found]
