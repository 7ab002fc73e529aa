"""What is told while a vendor is fetched: symbols done, rows, pages, rate, what is left; and how a fetch is stopped.

On a terminal one line that is written anew, else a line per page; on stderr, since stdout is the answer's.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from trading.adapters.fetching import FetchReport
    from trading.adapters.sources.calls import Calls
    from trading.adapters.sources.vendor import Vendor
    from trading.ingestion.ports import Ask, Hole, Page

_CLEAR = "\r\033[K"


@dataclass
class FetchProgress:
    """One line per page, or one line in all on a terminal.

    Attributes:
        symbols: Those asked for, in the order in which they are fetched.
        quiet: Nothing is written.
        clock: Seconds, for the rate.
    """

    symbols: Sequence[str]
    quiet: bool = False
    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _first: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self._began = self.clock()
        self._places = {symbol: place for place, symbol in enumerate(self.symbols)}

    def after_page(self, report: FetchReport, page: Page) -> None:
        """Tell of a page that is published."""
        place = self._places.get(page.reader.details.get("symbol", ""))
        if self._first is None:
            self._first = place
        self._tell(f"{page.name}: {self._numbers(report)}{self._left(place)}")

    def after_symbol(self, done: int, sentence: str) -> None:
        """Tell of a symbol that was served, as the `done`th of all."""
        self._tell(f"{done} of {len(self.symbols)} symbols; {sentence}")

    def end(self) -> None:
        """Leave the line, where one stands."""
        if not self.quiet and self.out.isatty():
            self.out.write(_CLEAR)
            self.out.flush()

    def _numbers(self, report: FetchReport) -> str:
        seconds = max(self.clock() - self._began, 1e-3)
        before = f" after {report.pages_before}" if report.pages_before else ""
        return (
            f"{report.rows_published:,} rows in {report.pages:,} pages{before}, {report.pages * 60 / seconds:,.0f} pages "
            f"a minute, {report.rows_in / seconds:,.0f} rows a second"
        )

    def _left(self, place: int | None) -> str:
        """Say how many symbols are left. A vendor that mixes symbols in a page does not say where it is."""
        if place is None:
            return ""
        done, total = place + 1, len(self.symbols)
        here = done - (self._first or 0)
        seconds = (self.clock() - self._began) / here * (total - done)
        left = f", about {_duration(seconds)} left" if done < total else ""
        return f"; symbol {done:,} of {total:,}{left}"

    def _tell(self, line: str) -> None:
        if self.quiet:
            return
        if self.out.isatty():
            self.out.write(_CLEAR + line[: shutil.get_terminal_size().columns - 1])
        else:
            self.out.write(line + "\n")
        self.out.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


@dataclass
class Stop:
    """Whether a fetch was asked to stop, and whether a page is on its way into the warehouse just now."""

    is_asked: bool = False
    has_page: bool = False

    def between_pages(self, vendor: Vendor) -> Vendor:
        """Return the vendor as it is, but that it asks for no further page once a stop was asked for."""

        def pages(ask: Ask, resume_from: str | None, calls: Calls) -> Iterator[Page | Hole]:
            for page in vendor.pages(ask, resume_from, calls):
                self.has_page = True
                yield page
                self.has_page = False
                if self.is_asked:
                    raise KeyboardInterrupt

        return replace(vendor, pages=pages)

    def on_signal(self, _number: int, _frame: FrameType | None) -> Any:
        """Let the page in hand come in first; with none in hand, or asked twice, stop at once."""
        if self.is_asked or not self.has_page:
            raise KeyboardInterrupt
        self.is_asked = True


@contextmanager
def stoppable(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Let Ctrl-C end the block after the page in hand, with exit code 130 and a word on how to go on."""
    stop = Stop()
    before = signal.signal(signal.SIGINT, stop.on_signal)
    try:
        yield stop
    except KeyboardInterrupt:
        tell("stopped; what was fetched is kept: run the same command again to go on after it")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, before)
