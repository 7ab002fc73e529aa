"""What to ask a vendor for after a feed was away: whole bars from the newest that is here to the newest that is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading.feed.messages import Hole
from trading.identity import epoch_micros

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Missed:
    """Bars to ask for: of these symbols, from `start` on, before `end`."""

    symbols: tuple[str, ...]
    start: datetime
    end: datetime


def missed_since(newest: Mapping[str, datetime], now: datetime, step: timedelta) -> Missed | None:
    """Return what may have been missed; `newest` is the start of the newest bar that is here, by symbol.

    The newest bar is asked for again: it may have been told before it was over, or corrected since. A symbol without a
    bar has missed nothing: its history is `tradeloom ingest`'s to fetch. None where no further bar can be over.
    """
    end = floored(now, step)
    behind = {symbol: at for symbol, at in newest.items() if at + step < end}
    return Missed(tuple(sorted(behind)), min(behind.values()), end) if behind else None


def missed_in(holes: Iterable[Hole], step: timedelta) -> Missed | None:
    """Return the bars of these holes as one question."""
    of_bars = [hole for hole in holes if hole.kind == "prices"]
    if not of_bars:
        return None
    symbols = tuple(sorted({hole.symbol for hole in of_bars}))
    return Missed(symbols, min(hole.after for hole in of_bars) + step, max(hole.before for hole in of_bars))


def floored(moment: datetime, step: timedelta) -> datetime:
    """Return the last whole multiple of `step` (from 1970 on, UTC) that is not after `moment`."""
    return moment - timedelta(microseconds=epoch_micros(moment) % (step // _MICROSECOND))
