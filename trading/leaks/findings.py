"""What the gate says: which column leaks, from which row on, by how much, what it is likely to be, how to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ROW_COLUMN = "(row)"  # the row itself is there with the future and not without it, or the other way round

REMEDIES: Mapping[str, str] = {
    "whole_column": "a statistic of the whole column: use rows up to each row only (expanding, rolling, or the training window)",
    "looks_ahead": (
        "the row reads bars after it: no shift(-n), centred window, backward fill, interpolation or forward merge; "
        "label resampled rows by their end"
    ),
    "restatement": "a later version of an old bar: take each bar in the version known at the row's decision, not the newest",
    "late_bar": (
        "a bar that came late is taken as if it had been on time: give each row the decision_at of world.first_prints() (in SQL: "
        "the greatest known_at so far), or leave out bars that were not known by then"
    ),
    "actions": "a later action's factor: adjust forward (factors of actions known by then with ex-date at or before the bar)",
    "news": "news known later than the decision: filter by known_at, never by published_at or timestamp alone",
    "universe": "membership known later: ask the universe as of the row's decision, not today's list",
    "sessions": "a session change known later: ask the calendar as of the row's decision",
    "features": "another row's later features: use rows known by the decision only",
    "horizon": "the label reaches further than it declares: declare the true horizon, or shorten the label",
    "fitted_later": "fitted on rows after the training window: fit on rows known by `fitted_until` only",
    "same_bar_fill": "priced by what was known when it was decided: fill at the open of the next bar",
    "mixed_split": "a training row's label ends after the first test row: cut by time, with an embargo of the label's horizon",
    "not_repeatable": "the same input gives another answer: fix the seed, or sort before you group",
    "reads_the_clock": "it reads the clock: a past row says something else on another day; use the row's own times",
    "keeps_state": "it answers otherwise after it has seen more: keep nothing between calls, neither a global nor a cache",
    "fails_without_future": "it ends in an error when the future is taken away: do not look rows up that may not be there",
    "current_only": "it reads a table that holds today's version only: read the versioned rows as of the decision",
    "unknown": "a past value changes with the future: find what it reads after its decision",
}


@dataclass(frozen=True)
class Finding:
    """One column that leaks.

    Attributes:
        symbol, timestamp, decision_at: The first row whose value changed; ISO 8601.
        moment: What became known after this was taken away or changed (ISO 8601).
        future: `truncated` or `scrambled`.
        before, after: The value with the true future, and without it (or with another one).
        difference: after - before of numbers; None where one of them is missing or no number.
        changed_rows: How many past rows of this column changed, in the run that changed most.
        kind: A name of `REMEDIES`; cause: the part of the future that did it.
    """

    column: str
    symbol: str
    timestamp: str
    decision_at: str
    moment: str
    future: str
    before: Any
    after: Any
    difference: float | None
    changed_rows: int
    kind: str
    cause: str

    @property
    def remedy(self) -> str:
        """How to mend it."""
        return REMEDIES[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON can hold it."""
        return {**asdict(self), "remedy": self.remedy}

    def sentence(self) -> str:
        """Return the finding in one line."""
        if self.symbol == "*":  # of no row: what the definition itself says
            return f"{self.before}: {self.remedy}"
        by = f" (by {self.difference:+.6g})" if self.difference is not None else ""
        return (
            f"{self.column} of {self.symbol} at {self.timestamp[:16]} was {_shown(self.before)} and is {_shown(self.after)}{by} "
            f"{self._when()}; {self.changed_rows} past rows change; "
            f"{self.remedy}"
        )

    def _when(self) -> str:
        if self.kind == "not_repeatable":
            return "when the same is asked again"
        return f"when what became known after {self.moment[:16]} is {self.future}"


@dataclass(frozen=True)
class Report:
    """What came of judging one definition.

    Attributes:
        rows: Past values compared at least once; moments: how many cuts were made.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    rows: int
    moments: int
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether no past value changed."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        told = {"name": self.name, "kind": self.kind, "columns": list(self.columns), "passed": self.passed}
        return {
            **told,
            "rows": self.rows,
            "moments": self.moments,
            "findings": [one.to_dict() for one in self.findings],
        }

    def sentences(self) -> list[str]:
        """Return the report as lines for a terminal."""
        if self.passed:
            count = f"{len(self.columns)} columns, {self.rows:,} past rows, {self.moments} moments"
            return [f"{self.name} ({self.kind}): no leak; {count}"]
        return [f"{self.name} ({self.kind}): LEAK: {finding.sentence()}" for finding in self.findings]


def _shown(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float) else "missing" if value is None else str(value)
