"""Closed bars as columns of whole numbers, in the order in which they closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import NamedTuple


class ClosedBar(NamedTuple):
    """One closed bar; whole numbers as in `Print`.

    Attributes:
        timestamp: Its start: the moment of its first print; of a chart over time the label of its period.
        sequence: Its number among the bars that start at that moment, from 0.
        ended_at: The moment of its last print; of a chart over time the end of its period.
        closed_at: The moment of the print that closed it, in it or, over time, after it.
        prints: How many prints are in it (0: a further Renko brick of one print).
        known_at: When it could be known: the latest known_at of all prints up to the one that closed it.
        last_at, last_id: The last print in it, after which the next bar goes on (`State.after_bar`); None if the same
            print closed further bars: between them there is no place in the series.
    """

    timestamp: int
    sequence: int
    ended_at: int
    closed_at: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    prints: int
    known_at: int
    last_at: int | None
    last_id: str | None


@dataclass(slots=True)
class ClosedBars:
    """The columns of `ClosedBar`."""

    timestamp: list[int] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    ended_at: list[int] = field(default_factory=list)
    closed_at: list[int] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    high: list[int] = field(default_factory=list)
    low: list[int] = field(default_factory=list)
    close: list[int] = field(default_factory=list)
    volume: list[int] = field(default_factory=list)
    prints: list[int] = field(default_factory=list)
    known_at: list[int] = field(default_factory=list)
    last_at: list[int | None] = field(default_factory=list)
    last_id: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        """The number of bars."""
        return len(self.timestamp)

    def __iter__(self) -> Iterator[ClosedBar]:
        """Yield the bars one by one."""
        return map(ClosedBar._make, zip(*(getattr(self, one.name) for one in fields(self)), strict=True))

    def add(self, bar: ClosedBar) -> None:
        """Append one bar."""
        for name, value in zip(ClosedBar._fields, bar, strict=True):
            getattr(self, name).append(value)
