"""Inputs with two times: what each row is about, and when it became known. Cut off at a moment, or with another future.

Every frame keeps all versions of a row. What a person knew at a moment is `as_of`; what a database without history
would hold is `newest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from trading.errors import InputError

KNOWN_AT = "known_at"
ROW = ["symbol", "timestamp"]


@dataclass(frozen=True)
class Shape:
    """The key of an input's rows and what may be said otherwise in another future."""

    key: tuple[str, ...]
    columns: tuple[str, ...]


SHAPES: Mapping[str, Shape] = {
    "bars": Shape(("symbol", "timestamp"), ("open", "high", "low", "close", "volume")),
    "actions": Shape(("symbol", "kind", "ex_date"), ("ratio",)),
    "news": Shape(("news_id", "symbol"), ("published_at", "score")),
    "universe": Shape(("symbol", "effective_date"), ("is_member",)),
    "sessions": Shape(("session_date",), ("is_open", "closes_at")),
    "features": Shape(("symbol", "timestamp"), ()),
}


def _none(name: str) -> DataFrame:
    shape = SHAPES[name]
    return DataFrame(columns=[*shape.key, *shape.columns, KNOWN_AT]).astype({KNOWN_AT: "datetime64[us, UTC]"})


@dataclass(frozen=True, eq=False)
class World:
    """What a definition may read.

    Attributes:
        bars: symbol, timestamp, open, high, low, close, volume (raw prices), known_at.
        actions: symbol, kind (`split`, `delisting`, ...), ex_date, ratio (new shares for one old share), known_at.
        news: news_id, symbol, published_at, score in [-1, 1], known_at.
        universe: symbol, effective_date, is_member, known_at.
        sessions: session_date, is_open, closes_at, known_at; an unscheduled closing is a later version.
        features: symbol, timestamp, known_at and numbers: rows of a feature view, for what is fitted on them.

    Times are zoned; `known_at` of every row is.
    """

    bars: DataFrame = field(default_factory=lambda: _none("bars"))
    actions: DataFrame = field(default_factory=lambda: _none("actions"))
    news: DataFrame = field(default_factory=lambda: _none("news"))
    universe: DataFrame = field(default_factory=lambda: _none("universe"))
    sessions: DataFrame = field(default_factory=lambda: _none("sessions"))
    features: DataFrame = field(default_factory=lambda: _none("features"))

    def __post_init__(self) -> None:
        """Refuse frames without their key or without known_at."""
        for name, frame in self.frames().items():
            if missing := [column for column in (*SHAPES[name].key, KNOWN_AT) if column not in frame.columns]:
                raise InputError(f"expected {name} with {', '.join(missing)}, found {', '.join(map(str, frame))}")
            if not isinstance(frame[KNOWN_AT].dtype, pd.DatetimeTZDtype):
                raise InputError(f"expected zoned times in known_at of {name}, found {frame[KNOWN_AT].dtype}")

    def frames(self) -> dict[str, DataFrame]:
        """Return the inputs by name."""
        return {name: getattr(self, name) for name in SHAPES}

    def copy(self) -> World:
        """Return a world whose frames a definition may write into."""
        return World(**{name: frame.copy() for name, frame in self.frames().items()})

    def truncated(self, at: datetime, parts: frozenset[str] | None = None) -> World:
        """Return the world without what became known after `at`; of `parts` (see `later`) alone, if given."""
        kept = {
            name: frame[~self.later(name, at, parts)].reset_index(drop=True) for name, frame in self.frames().items()
        }
        return World(**kept)

    def scrambled(self, at: datetime, seed: int, parts: frozenset[str] | None = None) -> World:
        """Return the world in which what became known after `at` says something else, as plausible as the truth."""
        draw = np.random.default_rng(seed)
        frames = self.frames()
        return World(**{name: _scrambled(frame, self.later(name, at, parts), draw) for name, frame in frames.items()})

    def later(self, name: str, at: datetime, parts: frozenset[str] | None = None) -> Series[bool]:
        """Return which rows of an input became known after `at`.

        The parts of the future are the inputs by name, but for what was already there in another version:
        `restatements` (of bars and of feature rows). `late` are the bars that lie before one that was known at `at`.
        """
        frame = getattr(self, name)
        later: Series[bool] = frame[KNOWN_AT] > pd.Timestamp(at)
        if parts is None:
            return later
        restated = later & (_first_known(frame, name) <= pd.Timestamp(at)) if name in ("bars", "features") else None
        if restated is None:
            return later if name in parts else later & False
        wanted = later & False
        if name in parts:
            wanted = wanted | (later & ~restated)
        if "restatements" in parts:
            wanted = wanted | restated
        if "late" in parts:
            wanted = wanted | (later & ~restated & (frame["timestamp"] < _newest_known(frame, at)))
        return wanted

    def as_of(self, at: datetime) -> World:
        """Return what was known at `at`: of each key the newest version by then."""
        seen = self.truncated(at)
        return World(**{name: seen.newest(name) for name in SHAPES})

    def newest(self, name: str) -> DataFrame:
        """Return the newest version of each row of an input, in the order of its key: no history, only today's answer."""
        key = list(SHAPES[name].key)
        ordered = getattr(self, name).sort_values([*key, KNOWN_AT], kind="stable")
        newest: DataFrame = ordered.drop_duplicates(key, keep="last").reset_index(drop=True)
        return newest

    def first_prints(self, name: str = "bars") -> DataFrame:
        """Return the first version of each row, with `decision_at`: since when it and all rows before it were known."""
        key = list(SHAPES[name].key)
        ordered = getattr(self, name).sort_values([*key, KNOWN_AT], kind="stable")
        first: DataFrame = ordered.drop_duplicates(key, keep="first").reset_index(drop=True)
        return first.assign(decision_at=first.groupby("symbol")[KNOWN_AT].cummax())


def _first_known(frame: DataFrame, name: str) -> Series[Any]:
    return frame.groupby(list(SHAPES[name].key))[KNOWN_AT].transform("min")


def _newest_known(frame: DataFrame, at: datetime) -> Series[Any]:
    """Return, by row, the timestamp of the newest row of its symbol that was known at `at`; NaT where there is none."""
    known = frame["timestamp"].where(frame[KNOWN_AT] <= pd.Timestamp(at))
    return known.groupby(frame["symbol"]).transform("max")


def _scrambled(frame: DataFrame, later: Series[bool], draw: np.random.Generator) -> DataFrame:
    """Say something else in the rows `later`: numbers scaled by one factor per row, scores redrawn, flags turned."""
    changed, rows = frame.copy(), np.flatnonzero(later.to_numpy())
    if not len(rows):
        return changed
    factor = draw.uniform(1.2, 2.5, len(rows)) ** draw.choice([-1.0, 1.0], len(rows))
    for column in (name for name in frame.columns if name != KNOWN_AT):
        kind = frame[column].dtype.kind
        values = frame[column].to_numpy()[rows]
        if column == "score":
            changed.loc[frame.index[rows], column] = draw.uniform(-1.0, 1.0, len(rows))
        elif kind == "f":
            changed.loc[frame.index[rows], column] = values * factor
        elif kind == "b":
            changed.loc[frame.index[rows], column] = ~values
        elif column == "closes_at":
            changed.loc[frame.index[rows], column] = frame[column].iloc[rows] - pd.Timedelta(hours=3)
    return changed
