"""From what people say (days, a list of symbols) to what a vendor is asked for (moments). Pure; the clock is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from trading.adapters.sources.vendor import Vendor
from trading.calendar import bar_label
from trading.errors import InputError
from trading.ingestion.ports import Ask
from trading.ingestion.reader import Gap, Kind, Mode

_DAY = timedelta(days=1)


def ask_of(
    vendor: Vendor,
    kind: Kind,
    symbols: Sequence[str],
    *,
    now: datetime,
    mode: Mode = "history",
    first: date | None = None,
    last: date | None = None,
    interval: str = "1d",
    calendar: str | None = None,
    gap: Gap = "refuse",
) -> Ask:
    """Return the ask for whole UTC days, both included, never past `now`.

    Args:
        first: Must be given for a history; a live poll begins yesterday where it is None.
        last: Where None, a history ends with yesterday, whose bars are complete; a live poll ends now.
        calendar: The vendor's own where None.

    Raises:
        InputError: no symbols, no first day, or nothing between the two.
    """
    vendor.refuse_unless_offered(kind, interval)
    today = bar_label(now.astimezone(UTC).date())
    if not symbols:
        raise InputError(f"expected --symbols, found none; say which {kind} of {vendor.name}, such as AAPL,MSFT")
    if first is None and mode == "history":
        raise InputError(f"expected --from, found none; say since which day the {kind} of {vendor.name} are wanted")
    start = bar_label(first) if first else today - _DAY
    end = min(bar_label(last) + _DAY, now) if last else (today if mode == "history" else now)
    ask = Ask(kind, tuple(dict.fromkeys(symbols)), interval, start, end, calendar or vendor.calendar, gap)
    if ask.start >= ask.end:
        raise InputError(
            f"expected --from before --to and both in the past, found {start:%Y-%m-%d} and {end:%Y-%m-%d %H:%M} UTC"
        )
    return replace(ask, interval=interval if kind == "prices" else "1d")


def symbols_of(text: str) -> list[str]:
    """Return the symbols of a list such as `AAPL,MSFT`, each once, in its order."""
    return list(dict.fromkeys(symbol.strip() for symbol in text.split(",") if symbol.strip()))
