"""What goes on beside a feed, off the way of its bars, in a thread of its own: chart_keeper.py, payload_mover.py."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, Self

from trading.errors import EngineError

_LOG = logging.getLogger(__name__)


class Beside(ABC):
    """Takes what a feed leaves to be done while its block runs; at its end, what is left.

    What an engine refuses is done at the next look, after the end by the next feed; it is logged.

    Args:
        every: Seconds between two looks, at least.
    """

    name: ClassVar[str]
    """The thread's name."""
    waiting: ClassVar[str]
    """What is said when an engine refuses."""

    def __init__(self, every: float) -> None:
        """Nothing runs yet."""
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take what is left, and wait for it."""
        self._stop.set()
        self._thread.join()

    @abstractmethod
    def _take(self) -> None:
        """Take all that is there now."""

    def _follow(self) -> None:
        """Take what comes until the feed has ended."""
        while not self._stop.wait(self._every):
            self._take()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._warned(self._follow)
        self._warned(self._take)

    def _warned(self, do: Callable[[], None]) -> None:
        try:
            do()
        except EngineError as error:
            _LOG.warning("%s: %s", self.waiting, error)
            self._stop.wait(self._every)
