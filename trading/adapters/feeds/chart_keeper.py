"""Chart bars go on beside a feed, off the way of its bars: woken by each publication, at most once a second.

A feed publishes what merely continues its series in one short transaction, which does not wait for charts (docs/chart-bars.md).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from trading.adapters.chart_bars import advance_charts
from trading.adapters.wake_ups import WakeUps
from trading.errors import EngineError, InputError

_LOG = logging.getLogger(__name__)
_LOOK = 0.5  # seconds of a wait, after which it is seen whether the feed has ended


class ChartKeeper:
    """Takes what is published into every chart in use while its block runs; at its end, what is left.

    Args:
        refused: Told why a chart cannot go on (bricks far too small), once for each reason.
        every: Seconds between two looks, at least.
    """

    def __init__(self, url: str, refused: Callable[[str], None], *, every: float = 1.0) -> None:
        """Nothing runs yet."""
        self._url, self._refused, self._every = url, refused, every
        self._told: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-charts", daemon=True)

    def __enter__(self) -> ChartKeeper:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take what is left; what cannot be taken now waits for the next publication."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except EngineError as error:
                _LOG.warning("charts wait: %s", error)
                self._stop.wait(self._every)

    def _follow(self) -> None:
        with WakeUps(self._url, "publications") as wake_ups:
            self._advance()
            while not self._stop.is_set():
                if wake_ups.wait(_LOOK) is not None:
                    self._advance()
                    self._stop.wait(self._every)
        self._advance()

    def _advance(self) -> None:
        try:
            advance_charts(self._url)
        except InputError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                self._refused(str(error))
