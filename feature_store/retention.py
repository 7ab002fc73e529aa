"""Retention: taking away superseded versions of derived rows that no decision, model or backtest refers to.

What is held for ever: the first print of every bar (training sets and backtests read it), the newest version, every row
that a decision was made from, and every indicator row that a standing daily row rests on. What is taken away can be
computed again from raw, bit for bit; a question that it would have answered is refused (migration 0018).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg

from trading.adapters.postgres import connection
from trading.errors import CompactedError, InputError, NaiveTimeError
from trading.telemetry import current_trace_id

if TYPE_CHECKING:
    from collections.abc import Sequence

# A question's answer is wrong where a later version of the same key, known and published by then, was taken away.
_TAKEN_AWAY = """
select q.symbol, q.timestamp, q.as_of::text
from unnest(
    %(sources)s::text[], %(symbols)s::text[], %(timestamps)s::timestamptz[], %(known)s::timestamptz[],
    %(watermarks)s::bigint[], %(moments)s::timestamptz[]
) as q (source, symbol, timestamp, known_at, watermark, as_of)
join features.compacted_rows as c
    on c.definition = %(definition)s and c.source = q.source and c.symbol = q.symbol and c.interval = %(interval)s
    and c.timestamp = q.timestamp
where c.known_at <= q.as_of and c.watermark <= %(watermark)s and (c.known_at, c.watermark) > (q.known_at, q.watermark)
limit 1
"""


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


@dataclass(frozen=True)
class Answered:
    """What a question got: the row's key and version, and the moment that was asked about (or `infinity`)."""

    source: str
    symbol: str
    timestamp: datetime
    known_at: datetime
    watermark: int
    as_of: datetime | str


def was_compacted(conn: psycopg.Connection, definition: str) -> bool:
    """Tell whether rows of a definition were ever taken away."""
    found = conn.execute("select exists (select from features.compactions where definition = %s)", (definition,))
    return bool(found.fetchone() == (True,))


def refuse_compacted(
    conn: psycopg.Connection, definition: str, interval: str, answers: Sequence[Answered], watermark: int
) -> None:
    """Refuse answers that are older than what was known at the moment asked about.

    Raises:
        CompactedError: the version that answers a question was taken away.
    """
    asked = {
        "sources": [one.source for one in answers],
        "symbols": [one.symbol for one in answers],
        "timestamps": [one.timestamp for one in answers],
        "known": [one.known_at for one in answers],
        "watermarks": [one.watermark for one in answers],
        "moments": [one.as_of for one in answers],
    }
    found = conn.execute(
        _TAKEN_AWAY, {**asked, "definition": definition, "interval": interval, "watermark": watermark}
    ).fetchone()
    if found is not None:
        symbol, timestamp, as_of = found
        raise CompactedError(
            f"expected a version that is still kept, found that the one of {symbol} {timestamp:%Y-%m-%d} as known at "
            f"{as_of} was compacted; ask about a later moment, or compute it again (FeatureStore.recompute)"
        )


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
