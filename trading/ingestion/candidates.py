"""Rows on their way to the gate: parsed, not yet judged.

A candidate may still lack values or break every rule of sense; a row that cannot even be read is a `Defect` here. What
both kinds hold of the vendor's own words goes into quarantine with the rule that was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from trading.errors import NaiveTimeError
from trading.ingestion import actions, news, prices, trades, universe
from trading.ingestion.cells import CellError
from trading.ingestion.payload import Record, records
from trading.ingestion.reader import Kind, Reader


@dataclass(frozen=True)
class Defect:
    """A row that is not published: its number from 1, the rule that it breaks, what was found, its cells as text."""

    number: int
    rule: str
    detail: str
    content: dict[str, str]


@dataclass
class Candidate:
    """A row that could be read. `values` by column of its kind; None where the vendor gave nothing."""

    number: int
    values: dict[str, Any]
    content: dict[str, str]

    def defect(self, rule: str, detail: str) -> Defect:
        """Return this row as one that breaks `rule`."""
        return Defect(self.number, rule, detail, self.content)


@dataclass
class Parsed:
    """All rows of a payload inside the partition asked for.

    `days`: by symbol, the days that the whole payload has priced bars of, also outside the partition: whether a series
    has a gap does not depend on which month of it is asked for.
    """

    candidates: list[Candidate] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    days: dict[str, set[date]] = field(default_factory=dict)

    @property
    def rows_in(self) -> int:
        """The number of rows read."""
        return len(self.candidates) + len(self.defects)


NAIVE = "naive_timestamp"

# A row of actions may hold several or none; of every other kind it is one.
_READ: dict[Kind, Callable[[Record, Reader], dict[str, Any] | list[dict[str, Any]]]] = {
    "prices": prices.read,
    "actions": actions.read,
    "news": news.read,
    "universe": universe.read,
    "trades": trades.read,
}


def parse(payload: bytes, reader: Reader) -> Parsed:
    """Return the candidates and the unreadable rows of a payload.

    Raises:
        UnreadablePayloadError, MissingColumnError: the whole file cannot be read.
        NaiveTimeError: every row has a date-time without a zone, so the file must say which zone it means.
    """
    parsed = Parsed()
    for record in records(payload, reader):
        read_into(parsed, record, reader)
    if reader.kind == "trades":
        trades.name_nameless(candidate.values for candidate in parsed.candidates)
    if parsed.defects and all(defect.rule == NAIVE for defect in parsed.defects) and not parsed.candidates:
        raise all_naive(parsed.defects[0])
    return parsed


def all_naive(first: Defect) -> NaiveTimeError:
    """Return the refusal of a payload in which no row has a date-time with a zone."""
    return NaiveTimeError(
        f"expected date-times with a zone (2004-05-03T14:30:00Z) or bare dates, found {first.detail} "
        "and the same in every row; write the offset into the file"
    )


def read_into(parsed: Parsed, record: Record, reader: Reader) -> None:
    """Add what a record says to `parsed`: its candidates, or the defect that it is."""
    content = {name: str(cell) for name, cell in record.cells.items() if cell is not None}
    try:
        if not record.is_whole:
            raise CellError("wrong_column_count", "the row has more or fewer values than the header")
        found = _READ[reader.kind](record, reader)
    except CellError as error:
        parsed.defects.append(Defect(record.number, error.rule, error.detail, content))
        return
    for values in found if isinstance(found, list) else [found]:
        about = values.pop("about")
        if reader.kind == "prices" and prices.is_priced(values):
            parsed.days.setdefault(values["symbol"], set()).add(values["timestamp"].date())
        if about is None or reader.wants(about):
            parsed.candidates.append(Candidate(record.number, values, content))


def span(candidates: Iterable[Candidate], column: str) -> tuple[date, date] | None:
    """Return the first and last date of a date-time column, or None where no row has it."""
    days = [candidate.values[column].date() for candidate in candidates if candidate.values[column] is not None]
    return (min(days), max(days)) if days else None
