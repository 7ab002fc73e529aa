"""Judged trades in a temporary table of the publishing session, and from there, in SQL, what of them is new.

Says for many rows at once what `trading.ingestion.versions` says of each, as bar_staging.py does of bars. `row_hash` is
the identity of a first version, `later_hash` that of a later one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from trading.adapters.batch_report import NewRows
from trading.adapters.partitions import analyze_for, make_partitions_for
from trading.adapters.warehouse import Batch
from trading.ingestion.rows import RawRow
from trading.ingestion.versions import known_since

_MANY_ROWS = 1_000

_TABLES = """
create temporary table if not exists staged_trades (
    number bigint, symbol text, trade_id text, timestamp timestamptz, price numeric(15, 6), size numeric(20, 8),
    side text, nominal_at timestamptz, row_hash bytea, later_hash bytea
);
create temporary table if not exists known_trades (number bigint, is_unchanged boolean);
truncate staged_trades, known_trades;
"""

_COPY = """
copy staged_trades (
    number, symbol, trade_id, timestamp, price, size, side, nominal_at, row_hash, later_hash
) from stdin
"""

# Of each staged trade that has versions: is the one in force at the time of its delivery the same?
_KNOWN = """
insert into known_trades
select distinct on (s.number)
    s.number,
    v.known_at <= greatest(s.nominal_at, %(received_at)s)
    and (v.timestamp, v.price, v.size) = (s.timestamp, s.price, s.size) and v.side is not distinct from s.side
from staged_trades as s
inner join raw.trades as v using (symbol, trade_id)
where v.source = %(source)s and v.watermark < %(watermark)s
order by s.number, v.known_at <= greatest(s.nominal_at, %(received_at)s) desc, v.known_at desc, v.watermark desc
"""

_KNOWN_AT = """
case when k.number is null and %(mode)s = 'history' then s.nominal_at
else greatest(s.nominal_at, %(received_at)s) end
"""

_NEW = """
from staged_trades as s left join known_trades as k using (number)
where k.is_unchanged is not true
"""

_SUMMARY = f"select s.symbol, count(*), min({_KNOWN_AT}) {_NEW} group by s.symbol"

_INSERT = f"""
insert into raw.trades (
    source, symbol, trade_id, timestamp, price, size, side, nominal_at, known_at, watermark, batch_id, row_hash
)
select
    %(source)s, s.symbol, s.trade_id, s.timestamp, s.price, s.size, s.side, s.nominal_at, {_KNOWN_AT}, %(watermark)s,
    %(batch_id)s, case when k.number is null then s.row_hash else s.later_hash end
{_NEW}
order by s.symbol, s.timestamp, s.number
"""


def begin_staging(conn: psycopg.Connection) -> None:
    """Make the session's staging tables, or empty them."""
    conn.execute(_TABLES)


def stage(conn: psycopg.Connection, batch: Batch, numbered: Iterable[tuple[int, RawRow]]) -> None:
    """Copy good trades in, each with its number in the payload."""
    with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        for number, row in numbered:
            symbol, trade_id = row.key
            hashes = (
                row.hash_when_known(known_since(row.nominal_at, batch.mode, batch.received_at, is_first=is_first))
                for is_first in (True, False)
            )
            copy.write_row((number, symbol, trade_id, *row.content, row.nominal_at, *hashes))


def compare(conn: psycopg.Connection, batch: Batch, staged: int, watermark: int) -> NewRows:
    """Compare the staged trades with the versions below `watermark`."""
    if staged >= _MANY_ROWS:
        conn.execute("analyze staged_trades")  # a temporary table has no statistics, and the join is planned by them
    about = _about(batch, watermark)
    conn.execute(_KNOWN, about)
    if staged >= _MANY_ROWS:
        conn.execute("analyze known_trades")
    found = conn.execute(_SUMMARY, about).fetchall()
    return NewRows(sum(rows for _, rows, _ in found), {symbol: since for symbol, _, since in found})


def insert_new(conn: psycopg.Connection, batch: Batch, rows: int, watermark: int, batch_id: int) -> None:
    """Write the new versions that `compare` found, `rows` of them."""
    make_partitions_for(conn, "trades", "staged_trades")
    conn.execute(_INSERT, _about(batch, watermark) | {"batch_id": batch_id})
    if rows >= _MANY_ROWS:
        # What derives from the batch plans by statistics, and autovacuum comes too late for a first load.
        analyze_for(conn, "raw.trades", "staged_trades")


def _about(batch: Batch, watermark: int) -> dict[str, Any]:
    return {"source": batch.source, "mode": batch.mode, "received_at": batch.received_at, "watermark": watermark}
