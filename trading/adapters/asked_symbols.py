"""From a list such as `AAPL,@sp500` to symbols: `@NAME` is everyone who ever belonged to the universe NAME meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import psycopg

from trading.adapters.memberships import memberships
from trading.adapters.universes import universe_names
from trading.adapters.warehouse import newest_watermark
from trading.errors import InputError

SIGN = "@"


def names_a_universe(names: Iterable[str]) -> bool:
    """Tell whether any of the names is that of a universe: `@NAME`."""
    return any(name.startswith(SIGN) for name in names)


def asked_symbols(
    conn: psycopg.Connection, names: Iterable[str], first: date, last: date, as_of: datetime
) -> list[str]:
    """Return the symbols that are meant, each once, in the order of the names; those of a universe in name order.

    Args:
        names: Symbols, and universes as `@NAME`: its members on any day from `first` to `last`, who left included.
        as_of: Memberships as known then.

    Raises:
        InputError: there is no such universe, or nobody belonged to it on these days.
    """
    found: list[str] = []
    for name in names:
        found += _members(conn, name[len(SIGN) :], first, last, as_of) if name.startswith(SIGN) else [name]
    return list(dict.fromkeys(found))


def _members(conn: psycopg.Connection, universe: str, first: date, last: date, as_of: datetime) -> list[str]:
    found = memberships(conn, universe, newest_watermark(conn)).ever_members(first, last, as_of)
    if found:
        return found
    if universe in (names := universe_names(conn)):
        raise InputError(
            f"expected members of {universe} from {first} to {last}, found none known by now; ask for other days"
        )
    known = f"found {', '.join(names)}" if names else "found none; `tradeloom ingest universe` delivers one"
    raise InputError(f"expected @NAME with the name of a universe, not @{universe}: {known}")
