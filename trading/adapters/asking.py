"""From what people say (days, a list of symbols) to what a vendor is asked for (moments). Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from trading.calendar import bar_label
from trading.errors import InputError
from trading.ingestion.ports import Ask
from trading.ingestion.reader import Gap, Kind, Mode

_DAY = timedelta(days=1)


def ask_of(
    kind: Kind,
    symbols: Sequence[str],
    *,
    now: datetime,
    mode: Mode = "history",
    first: date | None = None,
    last: date | None = None,
    interval: str = "1d",
    calendar: str = "XNYS",
    gap: Gap = "refuse",
) -> Ask:
    """Return the ask for whole UTC days, both included, never past `now`.

    Args:
        first: Must be given for a history; a live poll begins yesterday where it is None. What is there already is
            trading/adapters/resuming.py's to say.
        last: Where None, a history ends with yesterday, whose bars are complete; a live poll ends now.

    Raises:
        InputError: no symbols, no first day, or nothing between the two.
    """
    today = bar_label(now.astimezone(UTC).date())
    if not symbols:
        raise InputError(f"expected --symbols, found none; say whose {kind} are wanted, such as AAPL,MSFT")
    if first is None and mode == "history":
        raise InputError(f"expected --from, found none; say since which day the {kind} are wanted")
    start = bar_label(first) if first else today - _DAY
    end = min(bar_label(last) + _DAY, now) if last else (today if mode == "history" else now)
    if start >= end:
        raise InputError(
            f"expected --from before --to and both in the past, found {start:%Y-%m-%d} and {end:%Y-%m-%d %H:%M} UTC"
        )
    of_bars = interval if kind == "prices" else "1d"
    return Ask(kind, tuple(dict.fromkeys(symbols)), of_bars, start, end, calendar, gap)


def symbols_of(text: str) -> list[str]:
    """Return the symbols of a list such as `AAPL,MSFT`, each once, in its order."""
    return list(dict.fromkeys(symbol.strip() for symbol in text.split(",") if symbol.strip()))
