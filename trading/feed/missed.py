"""What to ask a vendor for after a feed was away: whole bars that are over by now, trades for as long as it is worth it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from trading.feed.messages import FeedKind, Hole
from trading.identity import epoch_micros

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Missed:
    """Bars or trades to ask for: of these symbols, from `start` on, before `end`."""

    symbols: tuple[str, ...]
    start: datetime
    end: datetime
    kind: FeedKind = "prices"


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


def trades_missed_since(
    newest: Mapping[str, datetime], now: datetime, back: timedelta | None
) -> tuple[Missed | None, list[Hole]]:
    """Return what to ask for of the trades since `newest`, the moment of the newest that is here by symbol; and the rest.

    Trades are many: those of the last `back` are asked for (all of them where it is None), and what lies before is a
    hole. A symbol without a trade has missed nothing.
    """
    begins = min(newest.values(), default=now) if back is None else now - back
    behind = {symbol: at for symbol, at in sorted(newest.items()) if at < now}
    if not behind:
        return None, []
    too_old = [Hole("trades", symbol, at, begins) for symbol, at in behind.items() if at < begins]
    return Missed(tuple(behind), max(min(behind.values()), begins), now, "trades"), too_old


def trades_missed_in(holes: Iterable[Hole]) -> list[Missed]:
    """Return the trades of these holes, a question for each symbol; the trades around a hole are asked for again."""
    of_symbol: dict[str, list[Hole]] = {}
    for hole in holes:
        if hole.kind == "trades":
            of_symbol.setdefault(hole.symbol, []).append(hole)
    return [
        Missed(
            (symbol,), min(one.after for one in several), max(one.before for one in several) + _MICROSECOND, "trades"
        )
        for symbol, several in sorted(of_symbol.items())
    ]


def floored(moment: datetime, step: timedelta) -> datetime:
    """Return the last whole multiple of `step` (from 1970 on, UTC) that is not after `moment`."""
    return moment - timedelta(microseconds=epoch_micros(moment) % (step // _MICROSECOND))
