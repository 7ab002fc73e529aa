"""Open connections kept for reading: one per thread, since a new one costs more than a question."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

import psycopg

from trading.adapters.postgres import engine_errors
from trading.adapters.replicas import hold

Answer = TypeVar("Answer")


class _Kept:
    """A thread's connection, closed when the thread or its store is gone: nobody else could close it then.

    By a finalizer, which holds the connection until then: in garbage that refers to itself (an error and its frames) the
    connection could otherwise be deleted first, still open.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        weakref.finalize(self, connection.close)


class Readers:
    """Read-only connections to one warehouse. Each question is a transaction of its own.

    Args:
        plans_once: A prepared statement's plan does not look at its parameters: for one question asked over and over,
            whose planning would take longer than its answer.
    """

    def __init__(self, url: str, *, plans_once: bool = False) -> None:
        self._url = url
        self._plans = " -c plan_cache_mode=force_generic_plan" if plans_once else ""
        self._local = threading.local()

    def ask(self, question: Callable[[psycopg.Connection], Answer], watermark: int | None = None) -> Answer:
        """Return the answer of `question`; asked once more on a new connection if the old one had gone.

        Args:
            watermark: What the question names: a replica that does not hold it yet is waited for.

        Raises:
            EngineUnavailableError: PostgreSQL does not answer.
            ReplicaBehindError: a replica does not hold `watermark` in time.
        """
        kept: _Kept | None = getattr(self._local, "kept", None)
        if kept is not None and not kept.connection.closed:
            try:
                return _answer(kept.connection, question, watermark)
            except psycopg.OperationalError:
                kept.connection.close()
        with engine_errors():
            self._local.kept = _Kept(self._open())
            return _answer(self._local.kept.connection, question, watermark)

    def close(self) -> None:
        """Close this thread's connection."""
        kept: _Kept | None = getattr(self._local, "kept", None)
        if kept is not None:
            kept.connection.close()

    def _open(self) -> psycopg.Connection:
        options = "-c timezone=UTC -c default_transaction_read_only=on -c jit=off" + self._plans
        return psycopg.connect(
            self._url, application_name="tradeloom-features", options=options, connect_timeout=10, autocommit=True
        )


def _answer(
    conn: psycopg.Connection, question: Callable[[psycopg.Connection], Answer], watermark: int | None
) -> Answer:
    hold(conn, watermark)
    return question(conn)
