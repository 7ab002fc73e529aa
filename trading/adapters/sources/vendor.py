"""What a vendor behind a network declares, and its two functions: one object per vendor's module, named `VENDOR`.

`pages` asks and yields every answer untouched; `rows` reads an answer, today's or one of years ago. How a request is
sent, paced and tried again is calls.py; what becomes of a page is trading/adapters/fetching.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from trading.adapters.sources.calls import Calls
from trading.errors import InputError
from trading.ingestion.payload import Cell
from trading.ingestion.ports import Ask, Hole, Page
from trading.ingestion.reader import Adjustment, Kind, Mode, Reader


@dataclass(frozen=True)
class Vendor:
    """A vendor's declaration and its two functions.

    Attributes:
        name: The value of the column `source`; before a colon, the first word of its formats (`ccxt:kraken`).
        kinds: What it has.
        base_url: Where it answers; `TRADELOOM_<NAME>_URL` in the environment (without a colon's part) says another address.
        requests_per_minute: What it allows; requests of one process are paced by it.
        lag: From the close of a session (the end of an intraday bar) to when it could first give it.
        pages: (ask, cursor of the last page that is here or None, calls) -> the pages after it, in a fixed order; and
            between them what it does not give of the ask.
        rows: (body, its reader) -> cells by our column names (`trading.ingestion.payload.COLUMNS`), one row each.
        adjustment: What its prices are; None where each page's reader says it.
        intervals: Bars that it has; empty where it has no prices.
        reaches_back: Interval -> how far before now it has bars; what is not named has no limit.
        page_size: The most rows of one answer, where it limits them.
        calendar: The exchange calendar of its symbols, unless the caller states another.
        credentials: Environment variables that it cannot do without.
        default_mode: `history` or `live`, where the caller does not say: of what a vendor shows only now, `live`.
        remembers: Whether a new fetch begins with the newest cursor of an earlier one, of whatever was asked: for a
            vendor that answers with what changed since.
        settings: Environment variables that say what it is asked, where they are set (`Calls.settings`).
    """

    name: str
    kinds: tuple[Kind, ...]
    base_url: str
    requests_per_minute: int
    lag: timedelta
    pages: Callable[[Ask, str | None, Calls], Iterator[Page | Hole]]
    rows: Callable[[bytes, Reader], Iterable[Mapping[str, Cell]]]
    adjustment: Adjustment | None = "raw"
    intervals: tuple[str, ...] = ()
    reaches_back: Mapping[str, timedelta] = field(default_factory=dict)
    page_size: int | None = None
    calendar: str = "XNYS"
    credentials: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    default_mode: Mode = "history"
    remembers: bool = False

    def refuse_unless_offered(self, kind: Kind, interval: str) -> None:
        """Raise InputError where the vendor has no such kind or no such bars."""
        if kind not in self.kinds:
            raise InputError(f"expected one of {', '.join(self.kinds)} of {self.name}, found {kind} asked for")
        if kind == "prices" and not self.intervals:
            raise InputError(f"expected a source that has bars, such as ccxt:kraken, found {self.name} alone")
        if kind == "prices" and interval not in self.intervals:
            raise InputError(f"expected an interval of {', '.join(self.intervals)} of {self.name}, found {interval!r}")

    def calls(self, environ: Mapping[str, str]) -> Calls:
        """Return the way to ask it, by the address and the credentials of the environment.

        Raises:
            InputError: a credential is not there.
        """
        if missing := [name for name in self.credentials if not environ.get(name)]:
            raise InputError(
                f"expected {' and '.join(missing)} in the environment for {self.name}, found none; export what the "
                "vendor gave you"
            )
        url = environ.get(f"TRADELOOM_{self.name.partition(':')[0].upper()}_URL") or self.base_url
        secrets = {name: environ[name] for name in self.credentials}
        settings = {name: environ[name] for name in self.settings if environ.get(name)}
        return Calls(self.name, url.rstrip("/"), self.requests_per_minute, secrets, settings)
