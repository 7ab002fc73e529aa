"""Who belonged to a universe on a date, as known at (t, w); the rule is SQL: `trading.universe_as_of`, migration 0013."""

from __future__ import annotations

from datetime import date, datetime

import psycopg


def members(conn: psycopg.Connection, universe: str, on: date, as_of: datetime, watermark: int) -> list[str]:
    """Return the members of a universe on a date, in name order, as known at (as_of, watermark)."""
    rows = conn.execute("select symbol from trading.universe_as_of(%s, %s, %s, %s)", (universe, on, as_of, watermark))
    return [str(symbol) for (symbol,) in rows]


def universe_names(conn: psycopg.Connection) -> list[str]:
    """Return the names of all universes of which anything was ever published, in name order."""
    return sorted(
        str(name) for (name,) in conn.execute("select distinct m.universe from trading.universe_members as m")
    )
