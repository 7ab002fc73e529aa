"""The thread that stages judged rows while the next block is judged, so that PostgreSQL and the gate work at once.

Never more than one block waits in it. It shares the publishing session, which takes one statement at a time: whoever
asks that session something meanwhile does it under `turn`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


class StagingThread:
    """A context: at its end all that was handed over is staged."""

    def __init__(self, stage: Callable[[pl.DataFrame], None]) -> None:
        """Take `stage`, which writes good rows to the session."""
        self.turn = Lock()
        self._stage = stage
        self._thread = ThreadPoolExecutor(1, "tradeloom-staging")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> StagingThread:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is under way; raise what went wrong with it, unless something else did before."""
        self._thread.shutdown(wait=True)
        if kind is None:
            self._wait()

    def put(self, good: pl.DataFrame) -> None:
        """Hand good rows over; waits until those before them are staged, and raises what went wrong with those."""
        self._wait()
        self._under_way = self._thread.submit(self._staged, good)

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()

    def _staged(self, good: pl.DataFrame) -> None:
        with self.turn:
            self._stage(good)
