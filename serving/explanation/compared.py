"""What became of each thing that was asked again, and what that makes in all: counts, causes, the first difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from serving.explanation.findings import Cause, Finding

IDENTICAL, ELSEWHERE, DIFFERS = "identical", "elsewhere", "differs"


class Subject(Protocol):
    """Something that was served: a decision, or an answer of a service."""

    @property
    def kind(self) -> str:
        """Which of the kinds of `trading.parity_runs.kinds`."""

    @property
    def subject_id(self) -> str:
        """Its key within its kind."""

    @property
    def symbol(self) -> str | None:
        """What it is about; None where the caller brought what was asked about."""

    @property
    def as_of(self) -> datetime:
        """The moment that was asked about, or at which it was asked."""


@dataclass(frozen=True)
class Compared:
    """One answer after its check: `outcome` is identical, elsewhere (another numeric environment) or differs."""

    served: Subject
    outcome: str
    findings: Sequence[Finding]

    @classmethod
    def of(cls, served: Subject, found: Sequence[Finding], is_same_environment: bool) -> Compared:
        """Return what `found` makes of an answer."""
        if found:
            return cls(served, DIFFERS, found)
        return cls(served, IDENTICAL if is_same_environment else ELSEWHERE, [])

    @property
    def cause(self) -> Cause | None:
        """The first cause found: what it rests on comes before it."""
        return self.findings[0].cause if self.findings else None

    @property
    def detail(self) -> str | None:
        """All that was found, in words."""
        return "; ".join(finding.what for finding in self.findings) or None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer and what is wrong with it as JSON can hold it."""
        return {
            "kind": self.served.kind,
            "id": self.served.subject_id,
            "symbol": self.served.symbol,
            "as_of": self.served.as_of.isoformat(),
            "cause": self.cause,
            "detail": self.detail,
        }


@dataclass
class Tally:
    """What has come out so far."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    first: Compared | None = None

    def add(self, compared: Iterable[Compared]) -> None:
        """Count these too."""
        for one in compared:
            self.kinds.setdefault(one.served.kind, Counter())[one.outcome] += 1
            if one.outcome == DIFFERS:
                self.causes[str(one.cause)] += 1
                self.first = self.first or one

    def count(self, outcome: str) -> int:
        """Return how many came out so."""
        return sum(counts[outcome] for counts in self.kinds.values())

    @property
    def checked(self) -> int:
        """How many there are."""
        return sum(counts.total() for counts in self.kinds.values())
