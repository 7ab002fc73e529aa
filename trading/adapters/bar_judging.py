"""One block of a delivery of prices through the gate: placed in its sessions, judged, with the identities of what passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from trading.adapters.bar_spool import Spool
from trading.adapters.placing import place_bars
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

_PLACED = ("ends_at", "is_in_session", "nominal_at")


@dataclass
class Outcome:
    """What the gate made of some bars: those that passed, as columns, and the rest."""

    good: pl.DataFrame
    defects: list[Defect] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    rows_merged: int = 0


@dataclass(frozen=True)
class Judging:
    """What judging a delivery's bars needs: where they lie, the facts, the calendar of each symbol."""

    conn: psycopg.Connection
    batch: Batch
    spool: Spool
    facts: Facts
    calendars: Mapping[str, str]

    def block(self, number: int, frame: pl.DataFrame) -> Outcome:
        """Judge bars of one block no two of which have one key."""
        import polars as pl

        frame = self._placed(frame)
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
        place_bars(self.conn, self.batch.source, candidates, self.calendars, self.batch.reader.parser)
        left, rows_merged = folded("prices", candidates)
        verdict = judge("prices", left, self.facts)
        good = frame_of(verdict.good)
        return Outcome(self._placed(good), verdict.defects, verdict.checks, rows_merged)

    def candidates(self, number: int, frame: pl.DataFrame) -> list[Candidate]:
        """Return bars of a block as single rows."""
        return self._candidates(number, frame)

    def staged(self, good: pl.DataFrame, *, with_later: bool) -> pl.DataFrame:
        """Return the bars that passed as they are staged: with the hash of a first version and of a later one."""
        import polars as pl

        received = pl.lit(self.batch.received_at.astimezone(UTC).replace(tzinfo=None)).cast(pl.Datetime("us"))
        frame = good.with_columns(later=pl.max_horizontal("nominal_at", received))
        is_history = self.batch.mode == "history"
        first = self._hashes(frame, "nominal_at" if is_history else "later")
        later = self._hashes(frame, "later") if is_history and with_later else [None] * len(frame)
        return frame.with_columns(
            row_hash=pl.Series(first, dtype=pl.String), later_hash=pl.Series(later, dtype=pl.String)
        )

    def _hashes(self, frame: pl.DataFrame, known_at: str) -> list[str | None]:
        found = bar_hashes(frame, self.batch.source, self.batch.reader.adjustment, NUMBERS, known_at)
        return [f"\\x{digest.hex()}" for digest in found]

    def _placed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Give each bar its end and its nominal time: each (calendar, interval, time) is placed once, as a single row."""
        import polars as pl

        schema: dict[str, Any] = {"place": pl.Int64, "ends_at": frame.schema["timestamp"], "is_in_session": pl.Boolean}
        schema |= {"nominal_at": frame.schema["timestamp"]}
        calendar = pl.col("symbol").replace_strict(dict(self.calendars), default=None, return_dtype=pl.String)
        frame = frame.with_columns(calendar=calendar)
        kinds = (
            frame.group_by("calendar", "interval", "timestamp").agg(pl.col("symbol").first()).with_row_index("place")
        )
        ones = [
            Candidate(
                row["place"],
                {"symbol": row["symbol"], "interval": row["interval"], "timestamp": _zoned(row["timestamp"])},
                {},
            )
            for row in kinds.iter_rows(named=True)
        ]
        place_bars(self.conn, self.batch.source, ones, self.calendars, self.batch.reader.parser)
        found = [(one.number, *(_naive(one.values[name]) for name in _PLACED)) for one in ones]
        kinds = kinds.with_columns(pl.DataFrame(found, schema=schema, orient="row").select(_PLACED))
        keys = ["calendar", "interval", "timestamp"]
        return frame.join(kinds.drop("symbol", "place"), on=keys, how="left", nulls_equal=True, maintain_order="left")

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
            "symbol", "interval", "timestamp", *(pl.col(name).cast(pl.Float64) for name in NUMBERS), *_PLACED
        )
        return columns.with_columns(adjustment=pl.lit(self.batch.reader.adjustment)).to_pandas()

    def _candidates(self, number: int, frame: pl.DataFrame) -> list[Candidate]:
        reader = self.batch.reader
        rows = [{"number": row["number"], "values": values_of(row, reader)} for row in frame.iter_rows(named=True)]
        return self.spool.candidates(number, rows) if rows else []


def _zoned(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
