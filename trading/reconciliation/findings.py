"""What reconciling finds, and the bars it looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Moments = NDArray[np.int64]

Kind = Literal["missing", "stale", "doubled", "suspicious"]
KINDS: tuple[Kind, ...] = ("missing", "stale", "doubled", "suspicious")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Action:
    """A corporate action of a series: what it does to one share.

    Attributes:
        from_at: The start of the first bar with it in it, microseconds since 1970 (`features.acts_from`).
    """

    kind: str
    from_at: int
    ratio: Decimal
    amount: Decimal | None


@dataclass(frozen=True)
class SeriesBars:
    """The bars of one series as known at one moment, oldest first.

    Attributes:
        starts: Microseconds since 1970, UTC, shape (n,); the prices and the volume have the same shape.
        adjustment: `raw`, `split` or `all`, as the source delivers.
        ended_on: The last day on which the instrument traded; None while it does.
    """

    source: str
    symbol: str
    interval: str
    calendar: str
    adjustment: str
    ended_on: date | None
    starts: Moments
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a series: from when to when, how many bars or sessions, and in words."""

    kind: Kind
    source: str
    symbol: str
    interval: str
    first: datetime
    last: datetime
    count: int
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {**asdict(self), "first": self.first.isoformat(), "last": self.last.isoformat()}


@dataclass(frozen=True)
class SeriesState:
    """How much of a series is there; `expected_until` is the newest session that it should have."""

    source: str
    symbol: str
    interval: str
    calendar: str
    bars: int
    expected: int
    missing: int
    first: datetime
    last: datetime
    expected_until: date

    def as_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        moments = {name: getattr(self, name).isoformat() for name in ("first", "last", "expected_until")}
        return {**asdict(self), **moments}


@dataclass(frozen=True)
class Reconciliation:
    """Everything found over the series asked for, as known at (`as_of`, `watermark`)."""

    as_of: datetime
    watermark: int
    series: Sequence[SeriesState]
    findings: Sequence[Finding]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is missing, stale, doubled or suspicious."""
        return not self.findings

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> findings of it, every kind named."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}

    def sentence(self) -> str:
        """Return the whole as one line for people."""
        bars, missing = sum(one.bars for one in self.series), sum(one.missing for one in self.series)
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        verdict = "clean" if self.is_clean else f"not clean: {counts}"
        return f"{len(self.series)} series, {bars:,} bars, {missing:,} missing; {verdict}"

    def as_dict(self) -> dict[str, Any]:
        """Return the whole as JSON values."""
        return {
            "as_of": self.as_of.isoformat(),
            "watermark": self.watermark,
            "clean": self.is_clean,
            "counts": self.counts,
            "series": [state.as_dict() for state in self.series],
            "findings": [finding.as_dict() for finding in self.findings],
        }


def moment(microseconds: int) -> datetime:
    """Return a start as a date-time in UTC."""
    return _EPOCH + timedelta(microseconds=int(microseconds))


def microseconds(when: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def finding(of: SeriesBars, kind: Kind, first: int, last: int, count: int, detail: str) -> Finding:
    """Return a finding of one series; `first` and `last` in microseconds."""
    return Finding(kind, of.source, of.symbol, of.interval, moment(first), moment(last), count, detail)
