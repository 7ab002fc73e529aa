"""A service's connections to the warehouse: kept open between requests, and opened again when the warehouse was away.

A new connection costs several milliseconds (a password is checked), more than most questions. What is asked lives in
feature_store; whether the warehouse answers at all is `problem()`.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

import psycopg

from trading.adapters.postgres import engine_errors
from trading.errors import EngineError


class WarehouseConnections:
    """Connections to one warehouse, as many as are used at once."""

    def __init__(self, url: str, application: str) -> None:
        self._url = url
        self._application = application
        self._idle: SimpleQueue[psycopg.Connection] = SimpleQueue()

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """Yield a connection whose block is one transaction.

        Raises:
            EngineUnavailableError: the warehouse does not answer, or went away during the block.
        """
        with self._one_of_ours() as conn, conn.transaction():
            yield conn

    @contextmanager
    def connect_for_one_statement(self) -> Iterator[psycopg.Connection]:
        """Yield a connection whose block is one statement, a transaction of its own: the server is waited for once.

        Raises:
            EngineUnavailableError: as `connect`.
        """
        with self._one_of_ours() as conn:
            yield conn

    @contextmanager
    def _one_of_ours(self) -> Iterator[psycopg.Connection]:
        with engine_errors():
            conn = self._take()
            try:
                yield conn
            except psycopg.OperationalError:
                conn.close()
                raise
            finally:
                if not conn.closed:
                    self._idle.put(conn)

    def problem(self) -> str | None:
        """Return why the warehouse cannot be asked, None if it can: it answers, and it is a warehouse of ours."""
        try:
            with self.connect() as conn:
                conn.execute("select raw.newest_watermark()")
        except EngineError as error:
            return str(error)
        except psycopg.ProgrammingError as error:
            reason = str(error).splitlines()[0]
            return f"expected a migrated warehouse, found: {reason}; apply the migrations with `tradeloom up`"
        return None

    def _take(self) -> psycopg.Connection:
        while True:
            try:
                conn = self._idle.get_nowait()
            except Empty:
                return psycopg.connect(
                    self._url,
                    application_name=self._application,
                    options="-c timezone=UTC -c jit=off",
                    connect_timeout=5,
                    autocommit=True,
                )
            if _is_alive(conn):
                return conn
            conn.close()


def _is_alive(conn: psycopg.Connection) -> bool:
    """Tell whether a connection can be used; it is asked only where its server has said something since.

    A server that went away has closed its end: the socket is readable and a read gives nothing. Nothing to read means
    that all is as it was, and asking would cost as much as most questions.
    """
    heard = select.poll()
    heard.register(conn.fileno(), select.POLLIN)
    if not heard.poll(0):
        return True
    try:
        conn.execute("select")
    except psycopg.OperationalError:
        return False
    return True
