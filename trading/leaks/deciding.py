"""When each row of a definition is decided on, and at which moments the future is cut off."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from trading.leaks.declaring import Declared
from trading.leaks.world import KNOWN_AT, ROW, World

TIME: Final = "datetime64[us, UTC]"
DECISION = "decision_at"
PRICE = "price"
_RUN = 8  # decisions one after the other: a week of sessions and more
FUTURES = ("truncated", "scrambled")
_SHARES = (1 / 3, 1 / 2, 0.95)  # of the decisions: early, in the middle, near the end
EARLY = 1 + len(_SHARES)  # worlds that a definition is asked on before it sees a whole one
# What a row says is so from this time on: told a day later and more, it was not known while it was so.
_ABOUT: Final = {"actions": "ex_date", "news": "published_at", "universe": "effective_date"}
_WARM_UP = (3, 12, 18)  # just before windows of 5, 14 and 20 bars are full


def decisions(declared: Declared, world: World, made: DataFrame, fitted_until: datetime | None) -> Series[Any]:
    """Return, by row of `made`, from which moment on its value may be known; NaT if that moment has not come.

    A row without a `decision_at` of its own is decided on when the newest bar at or before its timestamp was known.
    """
    horizon = declared.horizon if declared.kind == "label" else 0
    given = DECISION in made and not horizon
    own = pd.to_datetime(made[DECISION], utc=True).astype(TIME) if given else bars_later(world, made, horizon)
    if fitted_until is not None:
        own = own.where(own > pd.Timestamp(fitted_until), pd.Timestamp(fitted_until))
    return own


def bars_later(world: World, made: DataFrame, horizon: int) -> Series[Any]:
    """Return when the bar of each row and the `horizon` bars after it were known; NaT if they never all were."""
    bars = world.first_prints("bars" if len(world.bars) else "features")[[*ROW, KNOWN_AT]]
    bars = bars.astype({"timestamp": TIME})
    needed = [bars.groupby("symbol")[KNOWN_AT].shift(-ahead) for ahead in range(horizon + 1)]
    whole = pd.concat(needed, axis=1).max(axis=1, skipna=False) if horizon else needed[0]
    bars = bars.assign(moment=whole).sort_values("timestamp", kind="stable")
    asked = made.index.to_frame(index=False).astype({"timestamp": TIME})
    asked["place"] = np.arange(len(asked))
    found = pd.merge_asof(
        asked.sort_values("timestamp", kind="stable"),
        bars[[*ROW, "moment"]],
        on="timestamp",
        by="symbol",
        direction="backward",
    ).sort_values("place")
    moments = found["moment"].reset_index(drop=True).astype(TIME)
    # A row before any bar of its symbol is decided on at its own time.
    unmatched = found.merge(bars.groupby("symbol", as_index=False)["timestamp"].min(), on="symbol", how="left")
    early = ~(unmatched["timestamp_y"] <= unmatched["timestamp_x"]).to_numpy()
    return moments.where(~early, found["timestamp"].reset_index(drop=True)).set_axis(made.index)


def training_end(world: World) -> datetime:
    """Return the moment that a normalisation is asked to be fitted until: three fifths through what is known."""
    frame = world.features if len(world.features) else world.bars
    known = np.sort(frame[KNOWN_AT].unique())
    chosen: datetime = pd.Timestamp(known[int(len(known) * 0.6)]).to_pydatetime()
    return chosen


def early_moments(world: World, fitted_until: datetime | None) -> list[datetime]:
    """Return when to cut before anything is known of a definition's own decisions: the first bar and parts of the way.

    For most definitions these are moments of `cuts` as well, and cost nothing more.
    """
    first = world.first_prints("bars" if len(world.bars) else "features")
    moments = pd.DatetimeIndex(first[DECISION].unique()).sort_values()
    chosen = sorted({moments[int((len(moments) - 1) * share)] for share in (0, *_SHARES)}) if len(moments) else []
    return [at.to_pydatetime() for at in chosen if fitted_until is None or at >= pd.Timestamp(fitted_until)]


def cuts(
    world: World, made: DataFrame, decided: Series[Any], inputs: tuple[str, ...], *, full: bool = False
) -> list[tuple[datetime, tuple[str, ...]]]:
    """Return the moments to cut at, each with the futures to put behind it, the most telling first.

    The first decision and parts of the way; just before the first and the last event of each kind; the warm-up; and a
    run of decisions one after the other, for what looks ahead in some rows only (a filled hole, a weekday). Taking the
    future away is enough to see those. `full`: every decision.
    """
    moments = pd.DatetimeIndex(decided.dropna().unique()).sort_values()
    if not len(moments):
        return []
    last = len(moments) - 1
    chosen: dict[Any, tuple[str, ...]] = {moments[0]: FUTURES[:1]}
    chosen |= {moments[int(last * share)]: FUTURES for share in _SHARES}
    further = [*_before(moments, events(world, inputs)), *_warm_up(made, decided)]
    further += list(moments) if full else list(moments[last // 2 : last // 2 + _RUN])
    for moment in further:
        chosen.setdefault(moment, FUTURES[:1])
    return [(moment.to_pydatetime(), futures) for moment, futures in chosen.items()]


def _warm_up(made: DataFrame, decided: Series[Any]) -> list[Any]:
    """Return decisions in the first bars of the series that begin first and last, and where a column's values begin.

    A value that is filled from behind is the first one of its column: the cut at its own decision takes it away.
    """
    by_symbol = decided.dropna().groupby(level="symbol")
    begins = by_symbol.min().sort_values(kind="stable")
    found: set[Any] = set()
    for symbol in begins.index[[0, -1]]:
        own = pd.DatetimeIndex(by_symbol.get_group(symbol).unique()).sort_values()
        found |= {own[place] for place in _WARM_UP if place < len(own)}
    for column in (name for name in made.columns if name != DECISION):
        present = decided[made[column].notna()].dropna()
        if len(present):
            first = present.groupby(level="symbol").min()
            found |= {first.min(), first.max()}
    return sorted(found)


def _before(moments: pd.DatetimeIndex, known: dict[str, pd.DatetimeIndex]) -> list[Any]:
    """Return the decisions just before the first and the last event of each kind."""
    found: list[Any] = []
    for times in known.values():
        places = moments.searchsorted(times, side="left") - 1
        before = [moments[int(place)] for place in places if place >= 0]
        found += [before[0], before[-1]] if before else []
    return found


def events(world: World, inputs: tuple[str, ...]) -> dict[str, pd.DatetimeIndex]:
    """Return, by input and kind, when something became known that is not simply the next bar."""
    bars = world.bars.sort_values(["symbol", "timestamp", KNOWN_AT], kind="stable")
    is_later_version = bars.duplicated(ROW)
    known_after = bars.iloc[::-1].groupby("symbol")[KNOWN_AT].cummin().iloc[::-1]
    found = {
        "restatements": bars.loc[is_later_version, KNOWN_AT],
        "late bars": bars.loc[~is_later_version & (bars[KNOWN_AT] > known_after), KNOWN_AT],
    }
    features = world.features if "features" in inputs else world.features.iloc[:0]
    found["restated features"] = features.loc[features.duplicated(ROW), KNOWN_AT]
    others = [name for name in ("actions", "news", "universe", "sessions") if name in inputs]
    found |= {name: getattr(world, name)[KNOWN_AT] for name in others}
    found |= {
        f"late {name}": _told_late(getattr(world, name), about) for name, about in _ABOUT.items() if name in inputs
    }
    return {name: pd.DatetimeIndex(known.unique()).sort_values() for name, known in found.items()}


def _told_late(rows: DataFrame, about: str) -> Series[Any]:
    known: Series[Any] = rows[KNOWN_AT]
    return known[(known - rows[about].astype(TIME)) > pd.Timedelta(days=1)] if len(rows) else known
