"""A delivery of rows that may be too many for memory: its folder on disk, its session, and the transaction that publishes.

What is done with the rows there is said by those that build on it: bar_batch.py, trade_batch.py.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Self

import psycopg

from trading.adapters import warehouse
from trading.adapters.bar_spool import Defects
from trading.adapters.payloads import Payload
from trading.adapters.warehouse import Batch
from trading.errors import DiskFullError, NoRowsError
from trading.ingestion.candidates import Defect


class SpooledBatch:
    """One batch; a context, whose folder and session end with it."""

    def __init__(self, url: str, batch: Batch, payload: Payload) -> None:
        """Take the batch on; nothing is read yet."""
        self._url, self._batch, self._payload = url, batch, payload

    def __enter__(self) -> Self:
        """Make the folder."""
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="tradeloom-ingest-")))
        self._session: psycopg.Connection | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session, then remove the folder."""
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def publishing(self) -> Iterator[psycopg.Connection]:
        """Yield the session for its publishing transaction, which sees all that its watermark follows."""
        conn = self._connected()
        try:
            yield conn
        except BaseException:
            if not conn.closed:  # gone: PostgreSQL has rolled back
                conn.rollback()
            raise
        conn.commit()

    def _fill(self, fill: Callable[[IO[bytes]], None]) -> None:
        """Have the payload read to disk."""
        try:
            with self._payload.open() as stream:
                fill(stream)
        except NoRowsError:
            if self._batch.mode != "live":
                raise
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DiskFullError(
                "the folder for temporary files has no space left for the rows; free some and run again"
            ) from error

    def _connected(self) -> psycopg.Connection:
        if self._session is None:
            self._session = self._stack.enter_context(warehouse.publishing(self._url))
        return self._session


class BothDefects:
    """Defects of rows that cannot be read, then of those that did not pass."""

    def __init__(self, unreadable: Defects, judged: Defects) -> None:
        """Take both; they are read as often as asked."""
        self._both = unreadable, judged

    def __iter__(self) -> Iterator[Defect]:
        """Yield them."""
        return chain(*self._both)
