"""The as-of join of many questions with many row versions, in memory and exact.

Each series is put in the order in which it became known: (known_at, watermark, row_id). A version that is about an
earlier time than one known before it never answers "the latest row", so it is left out: what stays is ascending in
known_at and in timestamp, and the last of it known at a moment is the greatest timestamp in its newest version. One
binary search per question then finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Versions:
    """Row versions as columns, times in microseconds since 1970 UTC.

    Attributes:
        series: series[i] is the number of row i's series, 0..len(names)-1.
        names: (source, symbol) of each series.
        is_ordered: Rows are sorted by (series, known_at, watermark, row_id) already.
    """

    names: Sequence[tuple[str, str]]
    series: Integers
    timestamp: Integers
    known_at: Integers
    watermark: Integers
    row_id: Integers
    is_ordered: bool = False


@dataclass(frozen=True)
class Known:
    """What of one series can be the latest row: `known_at` ascending, `place` in the versions."""

    known_at: Integers
    place: Integers


def answers(
    versions: Versions,
    symbols: Sequence[str],
    codes: Integers,
    as_of: Integers,
    watermark: int,
    precedence: Sequence[str],
    sources: Sequence[str] | None = None,
) -> Integers:
    """Return the place of the row that answers each question, -1 where nothing was known.

    Args:
        symbols: The distinct symbols asked about; codes[i] is the place of question i's symbol in it.
        precedence: The sources, the best first; a question goes to the first that has a row for it.
        sources: The distinct source of each of `symbols`, where questions name it; `precedence` is not read then.
    """
    import numpy as np

    found = np.full(len(codes), -1, dtype=np.int64)
    slices = _slices(versions)
    numbers = {name: number for number, name in enumerate(versions.names)}
    by_code = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[by_code], np.arange(len(symbols) + 1))
    for code, symbol in enumerate(symbols):
        asked = by_code[bounds[code] : bounds[code + 1]]
        for source in precedence if sources is None else (sources[code],):
            if len(asked) and (number := numbers.get((source, symbol))) is not None:
                known = _known(versions, slices[number], watermark)
                place = np.searchsorted(known.known_at, as_of[asked], side="right") - 1
                has_row = place >= 0
                found[asked[has_row]] = known.place[place[has_row]]
                asked = asked[~has_row]
    return found


def _slices(versions: Versions) -> list[Integers]:
    """Return the places of each series' rows."""
    import numpy as np

    edges = np.arange(len(versions.names) + 1)
    if versions.is_ordered:
        bounds = np.searchsorted(versions.series, edges)
        return [np.arange(first, end) for first, end in pairwise(bounds)]
    by_series = np.argsort(versions.series, kind="stable")
    bounds = np.searchsorted(versions.series[by_series], edges)
    return [by_series[first:end] for first, end in pairwise(bounds)]


def _known(versions: Versions, places: Integers, watermark: int) -> Known:
    import numpy as np

    of = versions
    places = places[of.watermark[places] <= watermark]
    if not of.is_ordered:
        places = places[np.lexsort((of.row_id[places], of.watermark[places], of.known_at[places]))]
    timestamps = of.timestamp[places]
    places = places[timestamps >= np.maximum.accumulate(timestamps)] if len(places) else places
    return Known(of.known_at[places], places)
