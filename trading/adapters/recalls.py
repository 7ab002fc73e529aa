"""Recalls: published bars put into quarantine after use, and what may not rest on them any more.

A recall changes no row and no answer as of an earlier moment. While no later version of the bar has come, it stops what
would newly rest on the bar: training sets, new sessions, and decisions taken after it was known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row, dict_row

from trading.errors import InputError, RecalledDataError
from trading.telemetry import current_trace_id

NEWEST = 2**63 - 1  # no watermark is greater


@dataclass(frozen=True)
class OpenRecall:
    """A recalled bar that nothing has lifted. `bar_known_at`: since when rows could rest on it."""

    recall_id: int
    bar_id: int
    source: str
    symbol: str
    interval: str
    timestamp: datetime
    batch_id: int
    bar_known_at: datetime
    reason: str
    known_at: datetime
    watermark: int


@dataclass(frozen=True)
class Asked:
    """Which bars: those of a batch, or those of a symbol from..to (bar timestamps, both included)."""

    batch: int | None = None
    source: str | None = None
    symbol: str | None = None
    first: datetime | None = None
    last: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the values by the names that the SQL of recalls and changes uses."""
        return {
            "batch": self.batch,
            "source": self.source,
            "symbol": self.symbol,
            "first": self.first or "-infinity",
            "last": self.last or "infinity",
        }


@dataclass(frozen=True)
class RecallReport:
    """What became of a recall: bars recalled (or withdrawn) now, already so, and no longer in force."""

    changed: int
    already: int
    superseded: int
    watermark: int | None


_IN_FORCE = """
with asked as (
    select b.* from raw.price_bars as b
    where case when %(batch)s::bigint is not null then b.batch_id = %(batch)s
        else b.symbol = %(symbol)s and (%(source)s::text is null or b.source = %(source)s)
            and b.timestamp between %(first)s and %(last)s end
)
select
    a.bar_id,
    not exists (
        select from raw.price_bars as l
        where l.source = a.source and l.symbol = a.symbol and l.interval = a.interval and l.timestamp = a.timestamp
            and (l.known_at, l.watermark) > (a.known_at, a.watermark)
    ) as is_in_force,
    coalesce((select r.status from raw.recalls as r where r.bar_id = a.bar_id order by r.watermark desc limit 1), 'none')
        as status
from asked as a
order by a.bar_id
"""

_INSERT = """
insert into raw.recalls (bar_id, status, reason, known_at, watermark, trace_id)
select b.bar_id, %(status)s, %(reason)s, %(known_at)s, %(watermark)s, %(trace_id)s
from unnest(%(bars)s::bigint[]) as b (bar_id)
"""

_OPEN = """
select
    r.recall_id, r.bar_id, r.source, r.symbol, r.bar_interval as interval, r.at_time as timestamp, r.batch_id,
    r.bar_known_at, r.reason, r.known_at, r.watermark
from raw.open_recalls(%(as_of)s, %(watermark)s) as r
where r.source = %(source)s and r.symbol = any(%(symbols)s) and r.bar_interval = %(interval)s
    and r.at_time <= %(until)s
order by r.symbol, r.at_time
"""


def recall_bars(
    conn: psycopg.Connection,
    asked: Asked,
    reason: str,
    now: datetime,
    status: Literal["recalled", "withdrawn"] = "recalled",
) -> RecallReport:
    """Put the bars that are in force into quarantine, or take their recall back; one publication, or none at all.

    Raises:
        InputError: there is no such batch or symbol, it has no bars, or the reason is empty.
    """
    if not reason.strip():
        raise InputError("expected --reason TEXT, found nothing; say why, it is kept")
    found = conn.execute(_IN_FORCE, asked.parameters()).fetchall()
    if not found:
        raise InputError(_nothing(conn, asked))
    wanted = "recalled" if status == "recalled" else "withdrawn"
    current = [bar for bar in found if bar[1]]
    changing = [bar for bar, _, stands in current if (stands == "recalled") != (wanted == "recalled")]
    watermark = _write(conn, changing, status, reason, now) if changing else None
    return RecallReport(len(changing), len(current) - len(changing), len(found) - len(current), watermark)


def open_recalls(
    conn: psycopg.Connection,
    source: str,
    symbols: Sequence[str],
    interval: str,
    until: datetime,
    *,
    as_of: datetime | None = None,
    watermark: int | None = None,
) -> list[OpenRecall]:
    """Return the recalls in force as of (as_of, watermark) of bars up to `until`: what rests on the series rests on them."""
    cursor = conn.cursor(row_factory=class_row(OpenRecall))
    asked = {
        "source": source,
        "symbols": list(symbols),
        "interval": interval,
        "until": until,
        "as_of": as_of or "infinity",
        "watermark": NEWEST if watermark is None else watermark,
    }
    return cursor.execute(_OPEN, asked).fetchall()


def refuse_recalled(recalls: Sequence[OpenRecall], what: str) -> None:
    """Refuse `what` if anything it would rest on is recalled and not corrected.

    Raises:
        RecalledDataError: it is; the message carries the reason code DATA_RECALLED.
    """
    if recalls:
        first, more = recalls[0], f" and {len(recalls) - 1} more" if len(recalls) > 1 else ""
        raise RecalledDataError(
            f"DATA_RECALLED: expected {what} without recalled bars, found {first.symbol} {first.timestamp:%Y-%m-%d} of "
            f"{first.source}{more} recalled ({first.reason}); deliver a correction, or take the recall back with "
            "`tradeloom recall --withdraw`"
        )


def recalled_bars(conn: psycopg.Connection, limit: int = 1_000) -> list[dict[str, Any]]:
    """Return every recalled bar with how it stands (open, lifted, withdrawn), newest first."""
    cursor = conn.cursor(row_factory=dict_row)
    return cursor.execute("select * from raw.recalled_bars order by recall_id desc limit %s", [limit]).fetchall()


def _write(
    conn: psycopg.Connection, bars: Sequence[int], status: Literal["recalled", "withdrawn"], reason: str, now: datetime
) -> int:
    found = conn.execute("select raw.take_watermark(%s)", [f"recall: {status}"]).fetchone()
    assert found is not None, "a function always answers"
    conn.execute(
        _INSERT,
        {
            "bars": list(bars),
            "status": status,
            "reason": reason.strip(),
            "known_at": now,
            "watermark": found[0],
            "trace_id": current_trace_id(),
        },
    )
    return int(found[0])


def _nothing(conn: psycopg.Connection, asked: Asked) -> str:
    if asked.batch is None:
        return f"expected bars of {asked.symbol} in that range, found none; see `tradeloom features bars`"
    kind = conn.execute("select kind from raw.ingestion_batches where batch_id = %s", [asked.batch]).fetchone()
    if kind is None:
        return f"expected a batch by its number, found no batch {asked.batch}; see raw.ingestion_batches"
    if kind[0] != "prices":
        return f"expected a batch of prices, found batch {asked.batch} of {kind[0]}; correct it by delivering it again"
    return f"expected published bars in batch {asked.batch}, found none"
