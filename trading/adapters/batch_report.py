"""A batch's outcome between its three forms: judged in memory, recorded in the warehouse, reported to people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from trading.adapters import gaps
from trading.adapters.warehouse import Batch
from trading.ingestion.candidates import Candidate, Defect
from trading.ingestion.gaps import Part
from trading.ingestion.reader import Kind
from trading.ingestion.report import BatchReport
from trading.quality.gate import Check, Facts

# What a daily feed has every day: a bar that is not over yet, a placeholder for one that is to come.
UNFINISHED = frozenset({"from_the_future", "missing_value"})
_COUNTS = ("in", "published", "unchanged", "merged", "quarantined")
_ABOUT = {
    "prices": "timestamp",
    "actions": "nominal_at",
    "news": "published_at",
    "universe": "nominal_at",
    "trades": "timestamp",
}


@dataclass(frozen=True)
class Judged:
    """A batch that went through the gate: the facts it was judged by, and what came of its rows.

    Attributes:
        calendars: Of every symbol of the batch.
        rows_good: Rows that passed; rows_merged: folded into another before.
        rows_unfinished: Quarantined rows that break nothing but a rule of `UNFINISHED`.
        defects: Every broken rule, of rows that could not be read and of rows that did not pass; read as often as asked.
        checks: What each expectation found.
        first, last: The range of what the good rows are about.
        symbols: Those of the good rows, in name order.
    """

    facts: Facts
    calendars: dict[str, str]
    parts: tuple[Part, ...]
    rows_in: int
    rows_good: int
    rows_merged: int
    rows_unfinished: int
    defects: Iterable[Defect]
    checks: tuple[Check, ...]
    first: datetime | None
    last: datetime | None
    symbols: tuple[str, ...]

    @property
    def rows_quarantined(self) -> int:
        """The number of rows kept back: those with a defect, and any other action of the same row."""
        return self.rows_in - self.rows_merged - self.rows_good

    @cached_property
    def broken(self) -> dict[str, int]:
        """Rule -> rows that broke it."""
        return dict(Counter(defect.rule for defect in self.defects))


@dataclass(frozen=True)
class NewRows:
    """What of a batch is new: its rows, since when each symbol of them is known, and of bars their intervals."""

    rows: int
    since: Mapping[str, datetime]
    intervals: frozenset[str] = frozenset()


def unfinished(defects: Iterable[Defect]) -> int:
    """Return how many rows break nothing but a rule of `UNFINISHED`; all defects of a row must be among those given."""
    rules: dict[int, set[str]] = defaultdict(set)
    for defect in defects:
        rules[defect.number].add(defect.rule)
    return sum(broken <= UNFINISHED for broken in rules.values())


def calendars_kept(batch: Batch, judged: Judged) -> dict[str, str]:
    """Return the symbols whose instrument trades on another calendar than the delivery states, with theirs."""
    return {name: its for name, its in judged.calendars.items() if its != batch.reader.calendar}


def report_of_judged(
    batch: Batch, judged: Judged, watermark: int, *, rows_published: int, drafts: dict[str, str]
) -> BatchReport:
    """Return the report of a batch that is being published; its id is not known yet."""
    return BatchReport(
        **_identity(batch),
        status="published",
        batch_ids=(),
        watermark=watermark,
        received_at=batch.received_at.isoformat(),
        rows_in=judged.rows_in,
        rows_published=rows_published,
        rows_unchanged=judged.rows_good - rows_published,
        rows_merged=judged.rows_merged,
        rows_quarantined=judged.rows_quarantined,
        first_date=judged.first.date().isoformat() if judged.first else None,
        last_date=judged.last.date().isoformat() if judged.last else None,
        symbols=judged.symbols,
        quarantine=judged.broken,
        checks=tuple({**asdict(check), "passed": check.passed} for check in judged.checks),
        drafts=drafts,
        parts={part.name: f"{part.symbol} from {part.first}" for part in judged.parts},
        calendars_kept=calendars_kept(batch, judged),
    )


def report_of_recorded(batch: Batch, found: dict[str, Any]) -> BatchReport:
    """Return the report of a batch that the warehouse has already."""
    told = found["report"]
    return BatchReport(
        **_identity(batch),
        status="already ingested",
        batch_ids=(found["batch_id"],),
        watermark=found["watermark"],
        received_at=found["received_at"].isoformat(),
        **{f"rows_{name}": found[f"rows_{name}"] for name in _COUNTS},
        **{name: told[name] for name in ("quarantine", "drafts", "first_date", "last_date")},
        symbols=tuple(told["symbols"]),
        checks=tuple(told["checks"]),
        parts=told.get("parts", {}),
        calendars_kept=told.get("calendars_kept", {}),
    )


def recorded_values(batch: Batch, judged: Judged, report: BatchReport) -> dict[str, Any]:
    """Return the columns of `raw.ingestion_batches` that a batch's outcome decides."""
    told = {
        name: getattr(report, name)
        for name in ("quarantine", "drafts", "first_date", "last_date", "parts", "calendars_kept")
    }
    context: dict[str, Any] = {"calendars": judged.calendars}
    if judged.parts:
        context["parts"] = gaps.as_json(judged.parts)
    return {
        "status": report.status,
        "reader": {"request": batch.reader.as_dict(), "context": context},
        "report": {**told, "symbols": list(report.symbols), "checks": list(report.checks)},
        "range_from": judged.first,
        "range_to": judged.last,
        **{f"rows_{name}": getattr(report, f"rows_{name}") for name in _COUNTS},
    }


def range_of(kind: Kind, good: Sequence[Candidate]) -> tuple[datetime | None, datetime | None]:
    """Return the first and last moment that the good rows are about."""
    about = [candidate.values[_ABOUT[kind]] for candidate in good]
    return (min(about), max(about)) if about else (None, None)


def _identity(batch: Batch) -> dict[str, Any]:
    names = ("source", "kind", "mode", "payload_key", "payload_sha256", "payload_name")
    return {**{name: getattr(batch, name) for name in names}, "partition": batch.reader.partition}
