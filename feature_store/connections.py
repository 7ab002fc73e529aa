"""Open connections kept for reading: one per thread, since a new one costs more than a question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import psycopg

from trading.adapters.postgres import engine_errors

Answer = TypeVar("Answer")


class Readers:
    """Read-only connections to one warehouse. Each question is a transaction of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()

    def ask(self, question: Callable[[psycopg.Connection], Answer]) -> Answer:
        """Return the answer of `question`; asked once more on a new connection if the old one had gone.

        Raises:
            EngineUnavailableError: PostgreSQL does not answer.
        """
        kept: psycopg.Connection | None = getattr(self._local, "connection", None)
        if kept is not None and not kept.closed:
            try:
                return question(kept)
            except psycopg.OperationalError:
                kept.close()
        with engine_errors():
            self._local.connection = self._open()
            return question(self._local.connection)

    def close(self) -> None:
        """Close this thread's connection."""
        kept: psycopg.Connection | None = getattr(self._local, "connection", None)
        if kept is not None:
            kept.close()

    def _open(self) -> psycopg.Connection:
        options = "-c timezone=UTC -c default_transaction_read_only=on -c jit=off"
        return psycopg.connect(
            self._url, application_name="tradeloom-features", options=options, connect_timeout=10, autocommit=True
        )
