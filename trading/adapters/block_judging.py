"""One block of a delivery through the gate as columns, with the identities of what passed.

Only rows of one key and quarantined rows are handled one by one. What a kind's columns are, bar_judging.py and
trade_judging.py say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar

from trading.adapters.spooled_rows import Spool
from trading.adapters.warehouse import Batch
from trading.ingestion.candidates import Candidate, Defect
from trading.ingestion.folding import folded
from trading.ingestion.reader import Kind
from trading.quality.gate import Check, Facts, broken_rules, judge, staged

if TYPE_CHECKING:
    import polars as pl


@dataclass
class Outcome:
    """What the gate made of some rows: those that passed, as columns, and the rest."""

    good: pl.DataFrame
    defects: list[Defect] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    rows_merged: int = 0


@dataclass(frozen=True)
class Judging(ABC):
    """What judging a delivery's rows needs: where they lie, and the facts."""

    kind: ClassVar[Kind]
    batch: Batch
    spool: Spool
    facts: Facts

    @abstractmethod
    def placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return rows with their places in time."""

    @abstractmethod
    def place_single(self, candidates: list[Candidate]) -> None:
        """Give single rows their places in time."""

    @abstractmethod
    def frame_of(self, candidates: list[Candidate]) -> pl.DataFrame:
        """Return single rows as columns."""

    @abstractmethod
    def held(self, frame: pl.DataFrame) -> Any:
        """Return rows as the gate's pandas frame: its columns are those of a single row's values."""

    def block(self, number: int, frame: pl.DataFrame) -> Outcome:
        """Judge rows of one block no two of which have one key."""
        return self.judged(number, self.placed(frame))

    def judged(self, number: int, frame: pl.DataFrame) -> Outcome:
        """Judge placed rows of a block by the suite."""
        import polars as pl

        if frame.is_empty():
            return Outcome(frame)
        broken, checks = broken_rules(self.kind, staged(self.kind, self.held(frame), self.facts), len(frame))
        bad = frame[sorted(broken)]
        told = zip(self.spool.candidates(number, bad), (broken[place] for place in sorted(broken)), strict=True)
        defects = [one.defect(rule, detail) for one, rules in told for rule, detail in rules.items()]
        good = frame.filter(~pl.col("number").is_in(bad["number"].to_list())) if len(bad) else frame
        return Outcome(good, defects, checks)

    def repeated(self, candidates: list[Candidate]) -> Outcome:
        """Judge the rows of keys that come more than once, as single rows: equal ones are folded first."""
        self.place_single(candidates)
        left, rows_merged = folded(self.kind, candidates)
        verdict = judge(self.kind, left, self.facts)
        good = self.placed(self.frame_of(verdict.good))
        return Outcome(good, verdict.defects, verdict.checks, rows_merged)


Hashes = Callable[["pl.DataFrame", str], list[bytes]]
"""Gives the identity of each row of a frame, as known from the times in a column of it."""


def with_hashes(good: pl.DataFrame, batch: Batch, hashes: Hashes, *, with_later: bool) -> pl.DataFrame:
    """Return the rows that passed as they are staged: with the hash of a first version and of a later one."""
    import polars as pl

    received = pl.lit(batch.received_at.astimezone(UTC).replace(tzinfo=None)).cast(pl.Datetime("us"))
    frame = good.with_columns(later=pl.max_horizontal("nominal_at", received))
    is_history = batch.mode == "history"
    first = _as_hex(hashes(frame, "nominal_at" if is_history else "later"))
    later: list[str] | list[None] = [None] * len(frame)
    if is_history and with_later:
        later = _as_hex(hashes(frame, "later"))
    return frame.with_columns(row_hash=pl.Series(first, dtype=pl.String), later_hash=pl.Series(later, dtype=pl.String))


def _as_hex(digests: list[bytes]) -> list[str]:
    return [f"\\x{digest.hex()}" for digest in digests]
