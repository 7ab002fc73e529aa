"""Suspicious moves: far out of the series' own range, and no corporate action explains them.

The range is robust and looks back only: the median of the last 60 absolute moves. What is far out of it may still be
real; a finding names the likely cause and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import TYPE_CHECKING

from trading.reconciliation.expected import Grid
from trading.reconciliation.findings import Action, Finding, SeriesBars, finding, moment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trading.reconciliation.findings import Floats

LOOK_BACK = 60  # moves
ENOUGH = 20  # of them to speak of a range
FAR = 12.0  # times the range
FAR_FOR_A_SPLIT = 6.0  # a price that lands on a split's ratio needs less
LEAST_OVERNIGHT, LEAST_WITHIN = 0.2, 0.1  # of the logarithm: what no calm series makes suspicious
FIT = 0.035  # how near the opening must lie to a split's ratio
_WHOLE = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50, 100)
RATIOS = {"3:2": 1.5, "4:3": 4 / 3, "5:2": 2.5} | {f"{number}:1": float(number) for number in _WHOLE}


def suspicious(of: SeriesBars, grid: Grid, beginning: Mapping[int, list[str]]) -> list[Finding]:
    """Return the jumps of a series that no action explains.

    Args:
        beginning: Start -> symbols of the same source whose first bar begins then; a spin-off's child is one.
    """
    import numpy as np

    if len(of.starts) < 2:
        return []
    moves = _moves(of)
    ranges = _ranges(moves)
    overnight = np.diff(grid.session_of(of.starts)) > 0
    least = np.where(overnight, LEAST_OVERNIGHT, LEAST_WITHIN)
    far = np.abs(moves) > np.maximum(FAR * ranges, least)
    near = np.abs(moves) > np.maximum(FAR_FOR_A_SPLIT * ranges, LEAST_OVERNIGHT)
    found = []
    came_back = -1
    for at in np.flatnonzero(far | near):
        split = _split_like(of, int(at))
        if at == came_back or not (far[at] or split):
            continue
        if _comes_back(moves, int(at)):
            came_back = int(at) + 1
        cause = _cause(of, grid, moves, int(at), split, beginning)
        start = int(of.starts[at + 1])
        found.append(finding(of, "suspicious", start, start, 1, f"{_told(of, int(at))}; {cause}"))
    return found


def _moves(of: SeriesBars) -> Floats:
    """Return the logarithm of what one share became, bar over bar, actions counted in; shape (n - 1,)."""
    import numpy as np

    shares, cash = np.ones(len(of.starts)), np.zeros(len(of.starts))
    explained = np.zeros(len(of.starts), dtype=bool)
    for action in of.actions:
        at = _first_bar_from(of, action)
        if at is None:
            continue
        if action.kind == "split" and of.adjustment == "raw":
            shares[at] *= float(action.ratio)
        elif action.kind in ("dividend", "spin_off") and of.adjustment != "all":
            cash[at] += float(action.amount or 0)
            explained[at] |= action.kind == "spin_off" and action.amount is None
    moves = np.log((of.close[1:] * shares[1:] + cash[1:]) / of.close[:-1])
    return np.where(explained[1:] & (moves < 0), 0.0, moves)


def _first_bar_from(of: SeriesBars, action: Action) -> int | None:
    """Return the index of the first bar with an action in it, if a bar lies before it too."""
    import numpy as np

    at = int(np.searchsorted(of.starts, action.from_at))
    return at if 0 < at < len(of.starts) else None


def _ranges(moves: Floats) -> Floats:
    """Return the usual size of a move before each: of the last 60, else of the whole series; 0 where there are few."""
    import numpy as np
    import pandas as pd

    sizes = pd.Series(np.abs(moves))
    whole = 1.4826 * float(sizes.median()) if len(sizes) >= ENOUGH else 0.0
    rolling = 1.4826 * sizes.rolling(LOOK_BACK, min_periods=ENOUGH).median().shift(1)
    return rolling.fillna(whole).to_numpy()


def _split_like(of: SeriesBars, at: int) -> str | None:
    """Return the split ratio on which the opening after bar `at` lands, such as `4:1`; actions known are counted in."""
    gap = log(of.open[at + 1] * _shares_on(of, at + 1) / of.close[at])
    for name, ratio in RATIOS.items():
        if abs(gap + log(ratio)) <= FIT:
            return name
        if abs(gap - log(ratio)) <= FIT:
            return ":".join(reversed(name.split(":")))
    return None


def _splits_on(of: SeriesBars, at: int) -> list[Action]:
    splits = [action for action in of.actions if action.kind == "split" and of.adjustment == "raw"]
    return [action for action in splits if _first_bar_from(of, action) == at]


def _shares_on(of: SeriesBars, at: int) -> float:
    shares = 1.0
    for action in _splits_on(of, at):
        shares *= float(action.ratio)
    return shares


def _comes_back(moves: NDArray[np.float64], at: int) -> bool:
    return at + 1 < len(moves) and abs(moves[at] + moves[at + 1]) < 0.25 * abs(moves[at])


def _told(of: SeriesBars, at: int) -> str:
    before, after = of.close[at], of.close[at + 1]
    return f"close {before:.6g} to {after:.6g} ({after / before - 1:+.1%})"


def _cause(
    of: SeriesBars, grid: Grid, moves: Floats, at: int, split: str | None, beginning: Mapping[int, list[str]]
) -> str:
    start = int(of.starts[at + 1])
    sessions = grid.session_of(of.starts[at : at + 2])
    if (gap := int(sessions[1] - sessions[0]) - 1) > 0 and gap > LOOK_BACK:
        return f"after {gap} sessions without a bar: is it the same company?"
    if _splits_on(of, at + 1) and abs(log(of.close[at + 1] / of.close[at])) < abs(moves[at]) / 2:
        return "a split row is there, but the price did not move by it: is the series adjusted already?"
    if _comes_back(moves, at):
        return "back with the next bar: looks like a wrong price"
    if split is not None:
        return f"looks like a {split} split with no action row"
    children = [name for name in beginning.get(start, []) if name != of.symbol]
    if children and moves[at] < 0:
        return f"{', '.join(children[:3])} begins at {moment(start):%Y-%m-%d}: looks like a spin-off with no action row"
    return "no action explains it and no split ratio fits: a real move, or a wrong price"
