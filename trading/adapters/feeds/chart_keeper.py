"""Chart bars go on beside a feed, off the way of its bars: woken by each publication, at most once a second.

A feed publishes what merely continues its series in one short transaction, which does not wait for charts (docs/chart-bars.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from trading.adapters.chart_bars import advance_charts
from trading.adapters.feeds.beside import Beside
from trading.adapters.wake_ups import WakeUps
from trading.errors import InputError

_LOOK = 0.5  # seconds of a wait, after which it is seen whether the feed has ended


class ChartKeeper(Beside):
    """Takes what is published into every chart in use while its block runs; at its end, what is left.

    Args:
        refused: Told why a chart cannot go on (bricks far too small), once for each reason.
        every: Seconds between two looks, at least.
    """

    name: ClassVar[str] = "feed-charts"
    waiting: ClassVar[str] = "charts wait"

    def __init__(self, url: str, refused: Callable[[str], None], *, every: float = 1.0) -> None:
        """Nothing runs yet."""
        super().__init__(every)
        self._url, self._refused = url, refused
        self._told: set[str] = set()

    def _follow(self) -> None:
        with WakeUps(self._url, "publications") as wake_ups:
            self._take()
            while not self._stop.is_set():
                if wake_ups.wait(_LOOK) is not None:
                    self._take()
                    self._stop.wait(self._every)

    def _take(self) -> None:
        try:
            advance_charts(self._url)
        except InputError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                self._refused(str(error))
