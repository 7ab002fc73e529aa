"""Judged bars in a temporary table of the publishing session, and from there, in SQL, what of them is new.

Says for many rows at once what `trading.ingestion.versions` says of each: the first version of a key is known at its
nominal time in a `history` batch, every other one when it was received; one that says what was in force adds nothing.
`row_hash` is the identity of a first version, `later_hash` that of a later one where the two may differ.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg

from trading.adapters.partitions import analyze_for, make_partitions_for
from trading.adapters.warehouse import Batch
from trading.ingestion.bar_columns import NUMBERS

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = ("number", "symbol", "interval", "timestamp", *NUMBERS, "nominal_at", "row_hash", "later_hash")
_MANY_ROWS = 1_000
_COPIED_AT_ONCE = 20_000  # their text is 4 MB

_TABLES = """
create temporary table if not exists staged_bars (
    number bigint, symbol text, interval text, timestamp timestamptz, open numeric(15, 6), high numeric(15, 6),
    low numeric(15, 6), close numeric(15, 6), volume numeric(20, 8), nominal_at timestamptz, row_hash bytea,
    later_hash bytea
);
create temporary table if not exists known_bars (number bigint, is_unchanged boolean);
truncate staged_bars, known_bars;
"""

# Of each staged bar that has versions: is the one in force at the time of its delivery the same?
_KNOWN = """
insert into known_bars
select distinct on (s.number)
    s.number,
    v.known_at <= greatest(s.nominal_at, %(received_at)s)
    and (v.open, v.high, v.low, v.close, v.volume, v.adjustment)
    = (s.open, s.high, s.low, s.close, s.volume, %(adjustment)s)
from staged_bars as s
inner join raw.price_bars as v using (symbol, interval, timestamp)
where v.source = %(source)s and v.watermark < %(watermark)s
order by s.number, v.known_at <= greatest(s.nominal_at, %(received_at)s) desc, v.known_at desc, v.watermark desc
"""

_KNOWN_AT = "case when {first} then s.nominal_at else greatest(s.nominal_at, %(received_at)s) end"

_NEW = """
from staged_bars as s left join known_bars as k using (number)
where k.is_unchanged is not true
"""

_SUMMARY = f"""
select s.symbol, s.interval, min({_KNOWN_AT}), count(*), count(*) filter (where {{later}} and s.later_hash is null)
{_NEW}
group by s.symbol, s.interval
"""

_INSERT = f"""
insert into raw.price_bars (
    source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark,
    batch_id, row_hash
)
select
    %(source)s, s.symbol, s.interval, s.timestamp, s.open, s.high, s.low, s.close, s.volume, %(adjustment)s,
    s.nominal_at, {_KNOWN_AT}, %(watermark)s, %(batch_id)s, case when {{later}} then s.later_hash else s.row_hash end
{_NEW}
order by s.symbol, s.interval, s.timestamp
"""


@dataclass(frozen=True)
class NewBars:
    """What of a staged batch is new: rows, since when each symbol of them is known, their intervals.

    `lacks_hashes`: somebody published bars of these keys after the batch was staged as one of first versions only.
    """

    rows: int
    since: Mapping[str, datetime]
    intervals: frozenset[str]
    lacks_hashes: bool


def begin_staging(conn: psycopg.Connection) -> None:
    """Make the session's staging tables, or empty them."""
    conn.execute(_TABLES)


def stage(conn: psycopg.Connection, frame: pl.DataFrame) -> None:
    """Copy good bars in; `frame` has the staged columns, times as UTC without a zone, hashes as hex or null."""
    with (
        conn.cursor() as cursor,
        cursor.copy(f"copy staged_bars ({', '.join(_COLUMNS)}) from stdin (format csv)") as copy,
    ):
        for part in frame.select(_COLUMNS).iter_slices(_COPIED_AT_ONCE):
            lines = io.BytesIO()
            part.write_csv(
                lines, include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00", quote_style="necessary"
            )
            copy.write(lines.getbuffer())


def compare(conn: psycopg.Connection, batch: Batch, staged: int, watermark: int) -> NewBars:
    """Compare the staged bars with the versions below `watermark`."""
    if staged >= _MANY_ROWS:
        conn.execute("analyze staged_bars")  # a temporary table has no statistics, and the join is planned by them
    about = _about(batch, watermark)
    conn.execute(_KNOWN, about)
    if staged >= _MANY_ROWS:
        conn.execute("analyze known_bars")
    found = conn.execute(_filled(_SUMMARY, batch), about).fetchall()
    since: dict[str, datetime] = {}
    for symbol, _, known_at, _, _ in found:
        since[symbol] = min(since.get(symbol, known_at), known_at)
    rows, lacking = (sum(line[at] for line in found) for at in (3, 4))
    return NewBars(rows, since, frozenset(line[1] for line in found), lacking > 0)


def insert_new(conn: psycopg.Connection, batch: Batch, rows: int, watermark: int, batch_id: int) -> None:
    """Write the new versions that `compare` found, `rows` of them."""
    make_partitions_for(conn, "prices", "staged_bars")
    conn.execute(_filled(_INSERT, batch), _about(batch, watermark) | {"batch_id": batch_id})
    if rows >= _MANY_ROWS:
        # What derives from the batch plans by statistics, and autovacuum comes too late for a first load.
        analyze_for(conn, "raw.price_bars", "staged_bars")


def has_bars(conn: psycopg.Connection, source: str) -> bool:
    """Tell whether the source has any bar, so that a delivery may bring later versions."""
    found = conn.execute("select exists (select from raw.price_bars where source = %s)", (source,)).fetchone()
    return bool(found and found[0])


def _about(batch: Batch, watermark: int) -> dict[str, Any]:
    return {
        "source": batch.source,
        "adjustment": batch.reader.adjustment,
        "received_at": batch.received_at,
        "watermark": watermark,
    }


def _filled(statement: str, batch: Batch) -> str:
    """In a live batch every version is known when it was received, and `row_hash` is made for that."""
    is_history = batch.mode == "history"
    return statement.format(
        first="k.number is null" if is_history else "false", later="k.number is not null" if is_history else "false"
    )
