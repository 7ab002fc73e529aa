"""What a run that ended badly says: the one error of ours beneath all that Dagster, dbt and SQLAlchemy put around it.

Dagster keeps its own tables in the same PostgreSQL as the warehouse. When that goes away, the step's clear error is
followed by Dagster's failure to record it, and a retried step ends in an error that only counts the attempts.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from infra.errors import PlatformError
from trading.errors import DiskFullError, EngineUnavailableError, TradeloomError

_DRIVERS = frozenset({"psycopg", "psycopg2", "sqlalchemy"})
_BROKEN = frozenset({"OperationalError", "InterfaceError", "AdminShutdown"})


@contextmanager
def clear_errors() -> Iterator[None]:
    """Raise one error of ours in place of what is wrapped around it; what is nobody's mistake but ours passes through.

    Raises:
        TradeloomError, PlatformError: what lies beneath, as it was raised.
        EngineUnavailableError: PostgreSQL went away under Dagster's own storage.
        DiskFullError: a file of this machine could not be written.
    """
    try:
        yield
    except (TradeloomError, PlatformError):
        raise
    except Exception as error:
        plain = clear_error(error)
        if plain is None:
            raise
        raise plain from plain.__cause__


def clear_error(error: BaseException) -> TradeloomError | PlatformError | None:
    """Return what the error comes down to; None if nothing of it is known."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, TradeloomError | PlatformError):
            return one
    for one in chain:
        if isinstance(one, OSError) and one.errno == errno.ENOSPC:
            place = f" for {one.filename}" if one.filename else ""
            return DiskFullError(f"expected space{place}, found the disk full; free some and run again")
        if type(one).__module__.partition(".")[0] in _DRIVERS and type(one).__name__ in _BROKEN:
            reason = (str(one).strip() or type(one).__name__).splitlines()[0]
            return EngineUnavailableError(
                f"expected PostgreSQL to answer Dagster, found: {reason}; start it with `tradeloom up` and run again"
            )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it was raised from or during, nearest first."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [before for before in (one.__cause__, one.__context__) if before is not None]
