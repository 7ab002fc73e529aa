"""The views of derived rows: what their rows are made from. The twin of features.views (migration 0037).

A view of bars has one row per bar, with the state that the next bar goes on from; features.daily has one row per row of
marts.indicators, with the day's news. What is asked of a view goes by this and not by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trading.errors import InputError

INDICATORS = "marts.indicators"
INDICATORS_EXTENDED = "marts.indicators_extended"
DAILY = "features.daily"


class MadeFrom(StrEnum):
    """What a row of a view is made from."""

    BARS = "bars"
    INDICATORS = "indicators"


@dataclass(frozen=True)
class ViewShape:
    """What all rows of a view have by its nature.

    Attributes:
        working_name: The name by which a definition's SQL reads the rows to compute from.
        decision_column: The column that says when a row's decision falls.
    """

    made_from: MadeFrom
    working_name: str
    decision_column: str


_OF_BARS = ViewShape(MadeFrom.BARS, "pending_bars", "nominal_at")
_OF_INDICATORS = ViewShape(MadeFrom.INDICATORS, "pending_indicators", "decision_at")
VIEWS = {INDICATORS: _OF_BARS, INDICATORS_EXTENDED: _OF_BARS, DAILY: _OF_INDICATORS}


def shape_of(view: str) -> ViewShape:
    """Return the shape of a view.

    Raises:
        InputError: there is no such view.
    """
    try:
        return VIEWS[view]
    except KeyError as error:
        raise InputError(f"expected one of {', '.join(VIEWS)}, found {view!r}") from error


def is_of_bars(view: str) -> bool:
    """Return whether the rows of a view are made from bars.

    Raises:
        InputError: there is no such view.
    """
    return shape_of(view).made_from is MadeFrom.BARS
