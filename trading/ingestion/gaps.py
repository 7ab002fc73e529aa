"""Long gaps in a symbol's bars: after one, the ticker may be another company's, and its prices another series.

QQQ has no bars from 2004-12 to 2011-03 in one vendor's files: the ticker was renamed and came back. Joined in silence,
indicators would run over the gap and a return of +42% would be a day's. So a gap of more than `LONGEST` sessions is
refused until the user says what it is: `split` (the later bars are an instrument of their own) or `join`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from trading.ingestion.candidates import Candidate, Defect

RULE = "identity_gap"
LONGEST = 250
"""Sessions without a bar up to which a series is one."""
_NEAR = timedelta(days=LONGEST)  # no calendar has more sessions than days

Days = Mapping[str, Collection[date]]


@dataclass(frozen=True, order=True)
class Part:
    """From `first` on, bars delivered as `symbol` are another company's and are published as `name`."""

    symbol: str
    first: date
    name: str


@dataclass(frozen=True)
class Gap:
    """No bar of `symbol` lies between two days; the bars on one side of it are refused."""

    symbol: str
    last_before: date
    first_after: date
    sessions: int
    calendar: str
    refused: Literal["after", "before"]

    def refuses(self, symbol: str, day: date) -> bool:
        """Tell whether a bar lies on the refused side."""
        is_there = day >= self.first_after if self.refused == "after" else day <= self.last_before
        return symbol == self.symbol and is_there

    def detail(self, next_name: str) -> str:
        """Return what is wrong and what to do, in one line."""
        what = (
            f"no bar of {self.symbol} between {self.last_before} and {self.first_after}, {self.sessions} sessions of "
            f"{self.calendar}: the ticker may be another company's since; deliver again with "
        )
        if self.refused == "after":
            return f"{what}--gap split (the later bars become {next_name}) or --gap join (it is one company)"
        return f"{what}--gap join (it is one company), or these older bars under a symbol of their own"


@dataclass(frozen=True)
class Neighbours:
    """The stored days nearest to a day: strictly before and after it, and at most and at least it; None for none."""

    before: date | None = None
    at_or_before: date | None = None
    at_or_after: date | None = None
    after: date | None = None


@dataclass(frozen=True)
class Stored:
    """What the warehouse has of the source: stored days around the ends of stretches, and whether others have bars."""

    neighbours: Mapping[tuple[str, date], Neighbours]
    others_between: Callable[[str, date, date], bool]

    def around(self, symbol: str, day: date) -> Neighbours:
        """Return the stored days nearest to a day of a symbol."""
        return self.neighbours.get((symbol, day), Neighbours())


def stretches(days: Collection[date]) -> list[tuple[date, date]]:
    """Return the first and last day of each stretch without a gap that could be too long, in order."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day - found[-1][1] <= _NEAR:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def long_gaps(
    days: Days, stored: Stored, calendars: Mapping[str, str], sessions_between: Callable[[str, date, date], int]
) -> list[Gap]:
    """Return the gaps of a delivery that nobody has explained yet, by symbol and date.

    A gap inside the delivery counts. One between it and stored bars counts only if the source has bars of other symbols
    inside: else the feed was switched off, or those months are still to come. A gap that stored bars already span was
    judged before.
    """
    found = []
    for symbol in sorted(days):
        for before, after, is_inside in _candidates(symbol, stretches(days[symbol]), stored):
            sessions = sessions_between(calendars[symbol], before, after)
            if sessions <= LONGEST:
                continue
            refused = _refused_side(symbol, before, after, stored)
            others = is_inside or _others_delivered(days, symbol, before, after)
            if refused and (others or stored.others_between(symbol, before, after)):
                found.append(Gap(symbol, before, after, sessions, calendars[symbol], refused))
    return found


def _candidates(symbol: str, found: list[tuple[date, date]], stored: Stored) -> list[tuple[date, date, bool]]:
    """Return the gaps next to the delivered stretches: last day before, first day after, and if both were delivered."""
    gaps = set()
    for place, (first, last) in enumerate(found):
        previous = found[place - 1][1] if place else None
        following = found[place + 1][0] if place + 1 < len(found) else None
        before = _later(previous, stored.around(symbol, first).before)
        after = _earlier(following, stored.around(symbol, last).after)
        if before is not None and first - before > _NEAR:
            gaps.add((before, first, before == previous))
        if after is not None and after - last > _NEAR:
            gaps.add((last, after, after == following))
    return sorted(gaps)


def _refused_side(symbol: str, before: date, after: date, stored: Stored) -> Literal["after", "before"] | None:
    older, newer = stored.around(symbol, before).at_or_before, stored.around(symbol, after).at_or_after
    has_older = older is not None and before - older <= _NEAR
    has_newer = newer is not None and newer - after <= _NEAR
    if has_older and has_newer:
        return None
    return "before" if has_newer else "after"


def _others_delivered(days: Days, symbol: str, before: date, after: date) -> bool:
    return any(before < day < after for other, theirs in days.items() if other != symbol for day in theirs)


def _later(one: date | None, other: date | None) -> date | None:
    return max(filter(None, (one, other)), default=None)


def _earlier(one: date | None, other: date | None) -> date | None:
    return min(filter(None, (one, other)), default=None)


def next_name(symbol: str, parts: Iterable[Part]) -> str:
    """Return the name of the next part of a delivered symbol: QQQ.2, then QQQ.3."""
    return f"{symbol}.{2 + sum(part.symbol == symbol for part in parts)}"


def delivered_symbol(name: str, parts: Iterable[Part]) -> str:
    """Return the symbol that a vendor calls a published one."""
    return next((part.symbol for part in parts if part.name == name), name)


def split_at(gaps: Iterable[Gap], known: Iterable[Part]) -> list[Part]:
    """Return the parts known with those that the gaps make; only bars after a gap can be given another name."""
    parts = list(known)
    for gap in gaps:
        if gap.refused == "after":
            symbol = delivered_symbol(gap.symbol, parts)
            parts.append(Part(symbol, gap.first_after, next_name(symbol, parts)))
    return parts


def name_of(parts: Iterable[Part]) -> Callable[[str, date], str]:
    """Return the rule that names a bar: the last part of its symbol that has begun, else the symbol itself."""
    by_symbol: dict[str, list[Part]] = defaultdict(list)
    for part in sorted(parts):
        by_symbol[part.symbol].append(part)

    def named(symbol: str, day: date) -> str:
        begun = [part.name for part in by_symbol.get(symbol, ()) if part.first <= day]
        return begun[-1] if begun else symbol

    return named


def rename(candidates: Iterable[Candidate], parts: Iterable[Part]) -> None:
    """Give bars and actions the name of the part that they belong to."""
    named = name_of(parts)
    for candidate in candidates:
        values = candidate.values
        day = day_of(values)
        if day is not None and values["symbol"] is not None:
            values["symbol"] = named(values["symbol"], day)


def day_of(values: Mapping[str, Any]) -> date | None:
    """Return the day that a bar or an action is about."""
    if (timestamp := values.get("timestamp")) is not None:
        day: date = timestamp.date()
        return day
    return values.get("ex_date")


def refused_by(gaps: Iterable[Gap], candidates: Iterable[Candidate], parts: Iterable[Part]) -> list[Defect]:
    """Return a defect for each bar on the refused side of a gap."""
    known, told = list(parts), {}
    for gap in gaps:
        told[gap] = gap.detail(next_name(delivered_symbol(gap.symbol, known), known))
    defects = []
    for candidate in candidates:
        day = day_of(candidate.values)
        if day is None:
            continue
        reason = next((text for gap, text in told.items() if gap.refuses(candidate.values["symbol"], day)), None)
        if reason is not None:
            defects.append(candidate.defect(RULE, reason))
    return defects
