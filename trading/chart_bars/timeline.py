"""Which versions make stored bars say what is true now: the smallest set, each known from a moment on.

Between two moments at which something came late, knowledge only grows at the end of a series: an epoch. Within one, a
bar is not there until its known_at and then stays as it is. What is stored may say otherwise, as it was computed from
less; every difference becomes a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from trading.chart_bars.closed import ClosedBar

Key = tuple[int, int]  # timestamp, sequence


class Version(NamedTuple):
    """A version of a bar, known from `known_at` on; `bar` None: there is no such bar."""

    key: Key
    known_at: int
    bar: ClosedBar | None


class Stored(NamedTuple):
    """A version that the warehouse has; of two of one moment the greater watermark holds."""

    known_at: int
    watermark: int
    bar: ClosedBar | None


def corrections(wanted: Mapping[Key, ClosedBar], stored: Mapping[Key, list[Stored]], since: int) -> list[Version]:
    """Return the versions to add so that from `since` on the stored bars are the wanted ones; keys in order.

    Args:
        wanted: The bars of an epoch that begins at `since`; their known_at does not lie before it.
        stored: Every version of these keys, and of all others that should not be there, of before the epoch's end.
        since: When the epoch begins, in microseconds.
    """
    keys = sorted(wanted.keys() | stored.keys())
    return [version for key in keys for version in _of_key(key, wanted.get(key), stored.get(key, []), since)]


def _of_key(key: Key, bar: ClosedBar | None, stored: list[Stored], since: int) -> Iterable[Version]:
    before = [one for one in stored if one.known_at <= since]
    visible = max(before, key=lambda one: (one.known_at, one.watermark)).bar if before else None
    later = {one.known_at: one.bar for one in sorted(stored) if one.known_at > since}
    moments = {since, *later} | ({bar.known_at} if bar else set())
    for moment in sorted(moments):
        visible = later.get(moment, visible)
        due = bar if bar is not None and moment >= bar.known_at else None
        if not is_same(visible, due):
            yield Version(key, moment, due)
            visible = due


def is_same(one: ClosedBar | None, other: ClosedBar | None) -> bool:
    """Tell whether two bars say the same, whenever each became known."""
    if one is None or other is None:
        return one is other
    return one._replace(known_at=0) == other._replace(known_at=0)
