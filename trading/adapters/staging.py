"""Judged rows in a temporary table of the publishing session, and from there, in SQL, what of them is new.

Says for many rows at once what `trading.ingestion.versions` says of each: the first version of a key is known at its
nominal time in a `history` batch, every other one when it was received; one that says what was in force adds nothing.
`row_hash` is the identity of a first version, `later_hash` that of a later one where the two may differ. The statements
of each kind are in bar_staging.py and trade_staging.py.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from trading.adapters.partitions import analyze_for, make_partitions_for
from trading.adapters.warehouse import Batch
from trading.ingestion.reader import Kind
from trading.ingestion.rows import TABLE

if TYPE_CHECKING:
    import polars as pl

MANY_ROWS = 1_000
_COPIED_AT_ONCE = 20_000  # their text is 4 MB
KNOWN_AT = "case when {first} then s.nominal_at else greatest(s.nominal_at, %(received_at)s) end"
"""When a staged row `s` is known; for `Staging` to fill, as `{later}`: whether it is a later version."""


@dataclass(frozen=True)
class New:
    """What of a staged batch is new: rows, since when each symbol of them is known, and of bars their intervals.

    `lacks_hashes`: somebody published rows of these keys after the batch was staged as one of first versions only.
    """

    rows: int
    since: Mapping[str, datetime]
    intervals: frozenset[str]
    lacks_hashes: bool


@dataclass(frozen=True)
class Staging:
    """The staging of one kind of rows.

    Attributes:
        columns: Those that are copied in, of the table `staged`.
        tables: Makes, and empties, `staged` and the table `known` of its rows that have versions.
        compare: Fills `known`.
        summary: By symbol and interval (null where there is none) of what is new: symbol, interval, since when it is
            known, rows, rows whose later hash lacks.
        insert: Writes what is new.
    """

    kind: Kind
    staged: str
    known: str
    columns: tuple[str, ...]
    tables: str
    compare: str
    summary: str
    insert: str

    def begin(self, conn: psycopg.Connection) -> None:
        """Make the session's staging tables, or empty them."""
        conn.execute(self.tables)

    def stage(self, conn: psycopg.Connection, frame: pl.DataFrame) -> None:
        """Copy good rows in; `frame` has the staged columns, times as UTC without a zone, hashes as hex or null."""
        statement = f"copy {self.staged} ({', '.join(self.columns)}) from stdin (format csv)"
        with conn.cursor() as cursor, cursor.copy(statement) as copy:
            for part in frame.select(self.columns).iter_slices(_COPIED_AT_ONCE):
                lines = io.BytesIO()
                part.write_csv(
                    lines, include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00", quote_style="necessary"
                )
                copy.write(lines.getbuffer())

    def find_new(self, conn: psycopg.Connection, batch: Batch, staged: int, watermark: int) -> New:
        """Compare the staged rows, `staged` of them, with the versions below `watermark`."""
        if staged >= MANY_ROWS:
            conn.execute(
                f"analyze {self.staged}"
            )  # a temporary table has no statistics, and the join is planned by them
        about = _about(batch, watermark)
        conn.execute(self.compare, about)
        if staged >= MANY_ROWS:
            conn.execute(f"analyze {self.known}")
        found = conn.execute(_filled(self.summary, batch), about).fetchall()
        since: dict[str, datetime] = {}
        for symbol, _, known_at, _, _ in found:
            since[symbol] = min(since.get(symbol, known_at), known_at)
        rows, lacking = (sum(line[at] for line in found) for at in (3, 4))
        return New(rows, since, frozenset(line[1] for line in found if line[1] is not None), lacking > 0)

    def insert_new(self, conn: psycopg.Connection, batch: Batch, rows: int, watermark: int, batch_id: int) -> None:
        """Write the new versions that `find_new` found, `rows` of them."""
        make_partitions_for(conn, self.kind, self.staged)
        conn.execute(_filled(self.insert, batch), _about(batch, watermark) | {"batch_id": batch_id})
        if rows >= MANY_ROWS:
            # What derives from the batch plans by statistics, and autovacuum comes too late for a first load.
            analyze_for(conn, TABLE[self.kind], self.staged)

    def has_rows(self, conn: psycopg.Connection, source: str) -> bool:
        """Tell whether the source has any row, so that a delivery may bring later versions."""
        table = sql.Identifier(*TABLE[self.kind].split("."))
        asked = sql.SQL("select exists (select from {} where source = %s)").format(table)
        found = conn.execute(asked, (source,)).fetchone()
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
