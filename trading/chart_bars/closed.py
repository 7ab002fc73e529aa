"""A bar that is closed, in whole numbers."""

from __future__ import annotations

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
