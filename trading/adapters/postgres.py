"""The one way to open a connection to the warehouse.

Every connection works in UTC, names its application, and turns libpq's "not there" into one line for people.
SQL itself lives with the table it speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg

from trading.errors import DiskFullError, EngineUnavailableError


@contextmanager
def connection(url: str, *, application: str = "tradeloom") -> Iterator[psycopg.Connection]:
    """Yield a connection whose block is one transaction: committed at its end, rolled back on an error.

    Raises:
        EngineUnavailableError: PostgreSQL does not answer, or went away during the block; a rerun completes the work.
        DiskFullError: PostgreSQL has no space left.
    """
    with engine_errors():
        opened = psycopg.connect(url, application_name=application, options="-c timezone=UTC", connect_timeout=10)
        with closing(opened), opened as conn:  # psycopg itself leaves it open when the commit is refused
            yield conn


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the failures of the engine itself into one clear line; mistakes of ours pass through."""
    try:
        yield
    except (pg.DiskFull, pg.IoError) as error:
        raise DiskFullError(
            f"PostgreSQL could not write: {_first_line(error)}; free some disk space and run again"
        ) from error
    except psycopg.OperationalError as error:
        raise EngineUnavailableError(
            f"expected PostgreSQL to answer, found: {_first_line(error)}; start it with `tradeloom up` and run again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass(frozen=True)
class Warehouse:
    """The warehouse as assets are handed it: an address; each use opens its own connection."""

    url: str

    def connection(self) -> AbstractContextManager[psycopg.Connection]:
        """Return `connection(url)`: one transaction per block."""
        return connection(self.url)
