"""Retention: taking away superseded versions of derived rows that no decision, model or backtest refers to.

What is held for ever: the first print of every bar (training sets and backtests read it), the newest version, every row
that a decision was made from, and every indicator row that a standing daily row rests on. What is taken away can be
computed again from raw, bit for bit; a question that it would have answered is refused (migration 0018).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from trading.adapters.postgres import connection
from trading.errors import InputError, NaiveTimeError
from trading.telemetry import current_trace_id


@dataclass(frozen=True)
class Compaction:
    """What was, or would be, taken away of one definition."""

    view: str
    definition: str
    row_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return the compaction as JSON can hold it."""
        return asdict(self)


def compactable(url: str, superseded_before: datetime, definition: str | None = None) -> list[Compaction]:
    """Return what `compact` would take away, and take nothing.

    Raises:
        InputError: no such definition.
        NaiveTimeError: the moment has no zone.
    """
    _zoned(superseded_before)
    with connection(url) as conn:
        return [
            Compaction(
                view, name, _one(conn, "select count(*) from features.compactable(%s, %s)", name, superseded_before)
            )
            for view, name in _definitions(conn, definition)
        ]


def compact(url: str, superseded_before: datetime, definition: str | None = None) -> list[Compaction]:
    """Take away the unreferenced versions superseded before a moment, all in one transaction; return what went.

    Daily rows go first, so that indicator rows which only they rested on can follow.

    Raises:
        InputError: no such definition, or a session is running.
        NaiveTimeError: the moment has no zone.
    """
    _zoned(superseded_before)
    with connection(url, application="tradeloom-compact") as conn:
        try:
            return [
                Compaction(
                    view,
                    name,
                    _one(conn, "select features.compact(%s, %s, %s)", name, superseded_before, current_trace_id()),
                )
                for view, name in _definitions(conn, definition)
            ]
        except psycopg.errors.ObjectInUse as error:
            raise InputError(str(error.diag.message_primary)) from error


def _definitions(conn: psycopg.Connection, definition: str | None) -> list[tuple[str, str]]:
    rows = conn.execute(
        "select view, definition from features.definitions"
        " where %(asked)s::text is null or starts_with(definition, %(asked)s) order by view, definition",
        {"asked": definition},
    ).fetchall()
    if definition is not None and len(rows) != 1:
        found = "none" if not rows else f"{len(rows)} of them"
        raise InputError(
            f"expected one definition beginning with {definition!r}, found {found}; see `tradeloom features list`"
        )
    return [(str(view), str(name)) for view, name in rows]


def _one(conn: psycopg.Connection, query: str, *values: object) -> int:
    found = conn.execute(query, values).fetchone()
    assert found is not None, "a function answers with one row"
    return int(found[0])


def _zoned(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise NaiveTimeError(f"expected a date-time with a zone, found {moment.isoformat()}; add one, such as +00:00")
