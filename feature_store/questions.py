"""Questions to a feature view, many at once: a symbol and a moment each, as a frame gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trading.errors import InputError, NaiveTimeError

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame, Series

ANSWERED = ("timestamp", "known_at", "decision_at", "watermark", "row_id")
"""What an answer says of its row, beside the source and the features."""


@dataclass(frozen=True)
class Questions:
    """A checked frame of questions.

    Attributes:
        frame: As it was given, with `symbol`, `as_of` and perhaps `source`; other columns are carried along.
        as_of: Microseconds since 1970 UTC, one per row; what a finer clock says beyond them is cut off.
    """

    frame: DataFrame
    as_of: np.ndarray[Any, np.dtype[np.int64]]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def has_source(self) -> bool:
        """Whether each question names its source; if not, the one of best precedence that has a row then answers."""
        return "source" in self.frame


def questions(entities: DataFrame, columns: Sequence[str]) -> Questions:
    """Return the questions of a frame that asks for feature `columns`.

    Raises:
        InputError: `symbol` or `as_of` is missing or empty somewhere, or a column has the name of an answer.
        NaiveTimeError: the times of `as_of` have no zone.
    """
    for name in ("symbol", "as_of"):
        if name not in entities:
            raise InputError(f"expected the columns symbol and as_of, found {', '.join(map(str, entities.columns))}")
    if taken := [name for name in entities.columns if name in (*ANSWERED, *columns)]:
        raise InputError(f"expected no column of an answer's name, found {', '.join(taken)}; rename it")
    for name in {"symbol", "as_of", "source"} & set(entities.columns):
        if entities[name].isna().any():
            raise InputError(f"expected {name} in every row, found an empty one; drop such rows")
    return Questions(entities, _micros(entities["as_of"]))


def _micros(moments: Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    if moments.dtype.kind != "M":
        raise InputError(f"expected times in as_of, found {moments.dtype}; use pandas.to_datetime(..., utc=True)")
    if getattr(moments.dtype, "tz", None) is None:
        raise NaiveTimeError("expected times with a zone in as_of, found none; use pandas.to_datetime(..., utc=True)")
    micros: np.ndarray[Any, np.dtype[np.int64]] = (
        moments.dt.tz_convert("UTC").dt.as_unit("us").to_numpy("datetime64[us]").view("int64")
    )
    return micros
