"""What of the expected bars is not there, which series stopped, and which bars are there twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trading.calendar import bar_label
from trading.reconciliation.expected import Grid
from trading.reconciliation.findings import Finding, SeriesBars, finding, microseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trading.reconciliation.findings import Moments

_UNITS = {"1w": "week", "1mo": "month"}


def expected_bars(of: SeriesBars, grid: Grid, from_us: int, to_us: int) -> Moments:
    """Return the starts that the series should have inside [from_us, to_us]: from its first bar to its last session."""
    first, last = grid.session_of(of.starts[[0, -1]])
    starts = grid.starts(grid.rhythm_of(of.starts), max(int(first), 0), int(last))
    return starts[(starts >= max(int(of.starts[0]), from_us)) & (starts <= to_us)]


def missing(of: SeriesBars, expected: Moments) -> list[Finding]:
    """Return each stretch of expected bars that are not there; the bars after the last one are `stale`'s."""
    import numpy as np

    absent = ~np.isin(expected, of.starts)
    return [
        finding(of, "missing", int(expected[begin]), int(expected[end]), end - begin + 1, _counted(end - begin + 1))
        for begin, end in runs(absent)
    ]


def stale(of: SeriesBars, grid: Grid, until: int) -> list[Finding]:
    """Return a finding if the series has no bar of the newest session that it should have; `until` is its index."""
    last = int(grid.session_of(of.starts[-1:])[0])
    behind = until - last
    if behind <= 0:
        return []
    newest = grid.sessions[until].session_date
    what = _UNITS.get(of.interval, "session") + "s" * (behind > 1)
    detail = f"no bar since {grid.sessions[last].session_date}, {behind} {what} behind {newest}"
    return [finding(of, "stale", int(of.starts[-1]), microseconds(bar_label(newest)), behind, detail)]


def doubled(of: SeriesBars, grid: Grid) -> Iterator[Finding]:
    """Yield bars that say the same under the next key too, and intraday bars that begin before the last one ended."""
    import numpy as np

    columns = (of.open, of.high, of.low, of.close, of.volume)
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    # Where nothing is traded, or one price only within the day, equal bars are no wonder.
    same &= (of.volume[1:] > 0) & (grid.is_labelled | (of.high[1:] > of.low[1:]))
    for begin, end in runs(same):
        times = end - begin + 1
        detail = f"repeats the five values of the bar before it{f', {times} times' if times > 1 else ''}"
        yield finding(of, "doubled", int(of.starts[begin + 1]), int(of.starts[end + 1]), times, detail)
    if grid.is_labelled:  # labels cannot overlap; months differ in length
        return
    for begin, end in runs(np.diff(of.starts) < grid.length):
        detail = f"begins before the bar at {finding_time(of, begin)} has ended"
        yield finding(of, "doubled", int(of.starts[begin + 1]), int(of.starts[end + 1]), end - begin + 1, detail)


def finding_time(of: SeriesBars, at: int) -> str:
    """Return the start of one bar for a sentence."""
    from trading.reconciliation.findings import moment

    return f"{moment(int(of.starts[at])):%Y-%m-%d %H:%M}"


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last index of each run of true flags."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(begin), int(end) - 1) for begin, end in edges.reshape(-1, 2)]


def _counted(bars: int) -> str:
    return f"{bars} bar{'s' * (bars > 1)} missing"
