"""The publishing transaction of ingestion: all of a batch becomes visible at once, under one watermark, or none of it.

Inside it: the watermark is taken (which waits for every other publisher), the rows are compared with the versions in
the warehouse, what is new is copied in, with its batch, its quarantine, its instruments and its sessions' completeness.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from trading.adapters.partitions import analyze, make_partitions
from trading.adapters.postgres import connection, engine_errors
from trading.errors import InputError
from trading.ingestion.candidates import Defect
from trading.ingestion.reader import FILE_FORMATS, Kind, Mode, Reader
from trading.ingestion.rows import CONTENT_COLUMNS, KEY_COLUMNS, TABLE, RawRow, VersionedRow
from trading.ingestion.versions import KnownVersion

_MANY_ROWS = 1_000


@dataclass(frozen=True)
class Batch:
    """What identifies a batch, and what is written of it beside its counts.

    Two deliveries are one batch if source, kind, mode, payload, delivery time and reader are the same.
    """

    source: str
    kind: Kind
    mode: Mode
    received_at: datetime
    delivered_at: datetime | None
    payload_key: str
    payload_sha256: str
    payload_name: str
    reader: Reader
    dagster_run_id: str | None
    trace_id: str


def take_watermark(conn: psycopg.Connection, purpose: str) -> int:
    """Return this transaction's watermark; waits until every earlier publisher has committed."""
    return int(_one(conn, "select raw.take_watermark(%s)", (purpose,))[0])


def newest_watermark(conn: psycopg.Connection) -> int:
    """Return the newest committed watermark."""
    return int(_one(conn, "select raw.newest_watermark()", ())[0])


def source_lag(conn: psycopg.Connection, source: str) -> timedelta:
    """Return how long after a session's close the source could first give it.

    Raises:
        InputError: the source is not declared in `raw.sources`.
    """
    found = conn.execute("select lag from raw.sources where source = %s", (source,)).fetchone()
    if found is None:
        raise InputError(f"expected a source of raw.sources, found {source!r}; a migration declares it")
    return timedelta(seconds=found[0].total_seconds())


def earlier_batch(conn: psycopg.Connection, batch: Batch, status: str) -> dict[str, Any] | None:
    """Return the recorded batch of the same identity and this status, or None.

    A live delivery that names no time says what holds now, and so does a vendor's page: once a later one has changed its
    sessions, it is a new one (a correction that was taken back); and so it is where a bar of it was not over then. A file
    of history is the same one for ever.
    """
    says_what_holds = batch.mode == "live" or batch.reader.format not in FILE_FORMATS
    cursor = conn.execute(
        "select batch_id, watermark, received_at, report, "
        "rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined from raw.ingestion_batches as b "
        "where source = %s and kind = %s and mode = %s and payload_sha256 = %s "
        "and delivered_at is not distinct from %s and reader->'request' = any(%s) and status = %s "
        "and (not %s or delivered_at is not null or not exists ("
        "select from raw.ingestion_batches as later where later.source = b.source and later.kind = b.kind "
        "and later.mode in ('live', b.mode) and later.status = 'published' and later.rows_published > 0 "
        "and later.batch_id > b.batch_id and later.range_from <= b.range_to and later.range_to >= b.range_from) "
        "and not exists (select from raw.quarantined_rows as q where q.batch_id = b.batch_id "
        "and q.rule = 'from_the_future')) "
        "order by batch_id limit 1",
        (
            *(batch.source, batch.kind, batch.mode, batch.payload_sha256, batch.delivered_at),
            *([Jsonb(read_as) for read_as in _readings(batch.reader)], status, says_what_holds),
        ),
    )
    found = cursor.fetchone()
    return dict(zip((column.name for column in cursor.description or ()), found, strict=True)) if found else None


def _readings(reader: Reader) -> list[dict[str, Any]]:
    """Return the requests that are the same batch: prices that parser 1 read are not ingested again by parser 2."""
    asked = reader.as_dict()
    return (
        [{**asked, "parser": parser} for parser in range(1, reader.parser + 1)] if reader.kind == "prices" else [asked]
    )


def series_adjustments(conn: psycopg.Connection, source: str, symbols: Iterable[str]) -> dict[str, str]:
    """Return the adjustment of each symbol that the source already has bars of."""
    found = conn.execute(
        "select asked.symbol, kept.adjustment from unnest(%s::text[]) as asked (symbol) cross join lateral ("
        "select b.adjustment from raw.price_bars as b where b.source = %s and b.symbol = asked.symbol limit 1) as kept",
        (sorted(set(symbols)), source),
    )
    return {str(symbol): str(adjustment) for symbol, adjustment in found}


def first_live_at(conn: psycopg.Connection, source: str, kind: Kind) -> datetime | None:
    """Return when the source's first live batch of this kind was received."""
    found: datetime | None = _one(
        conn,
        "select min(received_at) from raw.ingestion_batches "
        "where source = %s and kind = %s and mode = 'live' and status = 'published'",
        (source, kind),
    )[0]
    return found


def known_versions(
    conn: psycopg.Connection, kind: Kind, source: str, keys: Sequence[tuple[Any, ...]], before: int
) -> dict[tuple[Any, ...], list[KnownVersion]]:
    """Return the versions with a watermark below `before`, by key, of the keys asked for that have any."""
    columns, content = KEY_COLUMNS[kind], CONTENT_COLUMNS[kind]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL(
        "select {names}, v.known_at, v.watermark, {content} "
        "from unnest({arrays}) as asked ({names}) join {table} as v using ({names}) "
        "where v.source = %s and v.watermark < %s"
    ).format(
        names=names,
        content=sql.SQL(", ").join(sql.Identifier("v", name) for name in content),
        arrays=sql.SQL(", ").join(sql.SQL(f"%s::{type_}[]") for type_ in columns.values()),
        table=sql.Identifier(*TABLE[kind].split(".")),
    )
    asked = [list(column) for column in zip(*keys, strict=True)] or [[] for _ in columns]
    found: dict[tuple[Any, ...], list[KnownVersion]] = defaultdict(list)
    width = len(columns)
    for line in conn.execute(query, (*asked, source, before)):
        values = tuple(tuple(value) if isinstance(value, list) else value for value in line[width + 2 :])
        found[line[:width]].append(KnownVersion(line[width], line[width + 1], values))
    return found


def insert_batch(conn: psycopg.Connection, batch: Batch, watermark: int, values: dict[str, Any]) -> int:
    """Write the batch and return its id; `values` are the columns that its outcome decides."""
    return int(_one(conn, *batch_statement(batch, watermark, values))[0])


def batch_statement(batch: Batch, watermark: int, values: dict[str, Any]) -> tuple[sql.Composed, tuple[Any, ...]]:
    """Return the statement that writes a batch and gives its id, with its values."""
    written = {
        **{name: getattr(batch, name) for name in ("source", "kind", "mode", "received_at", "delivered_at")},
        **{name: getattr(batch, name) for name in ("payload_key", "payload_sha256", "payload_name")},
        **{name: getattr(batch, name) for name in ("dagster_run_id", "trace_id")},
        "partition_key": batch.reader.partition,
        "watermark": watermark,
        **{name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()},
    }
    statement = sql.SQL("insert into raw.ingestion_batches ({}) values ({}) returning batch_id").format(
        sql.SQL(", ").join(map(sql.Identifier, written)), sql.SQL(", ").join([sql.Placeholder()] * len(written))
    )
    return statement, tuple(written.values())


def insert_rows(
    conn: psycopg.Connection, kind: Kind, versions: Sequence[VersionedRow], watermark: int, batch_id: int
) -> None:
    """Copy new versions into their raw table."""
    columns = ("source", *KEY_COLUMNS[kind], *CONTENT_COLUMNS[kind], "nominal_at", "known_at")
    times = _times(kind, versions)
    make_partitions(conn, kind, times)
    _copy(
        conn,
        TABLE[kind],
        (*columns, "watermark", "batch_id", "row_hash"),
        ((*_values(version.row), version.known_at, watermark, batch_id, version.row_hash) for version in versions),
    )
    if len(versions) >= _MANY_ROWS:
        # What derives from the batch plans by statistics, and autovacuum comes too late for a first load.
        analyze(conn, TABLE[kind], times)


def insert_quarantine(conn: psycopg.Connection, defects: Iterable[Defect], batch_id: int) -> None:
    """Copy the refused rows into quarantine, each with the rule that it broke."""
    lines = (
        (batch_id, defect.number, defect.rule, _storable(defect.detail), Jsonb(_storable_content(defect.content)))
        for defect in defects
    )
    _copy(conn, "raw.quarantined_rows", ("batch_id", "row_number", "rule", "detail", "content"), lines)


def advance_features(url: str) -> bool:
    """Derive what follows from every batch published so far; False where no features are installed yet.

    The procedure commits batch by batch, so it runs outside any transaction of ours, after the publishing one.
    """
    with engine_errors(), psycopg.connect(url, autocommit=True, application_name="tradeloom-advance") as conn:
        conn.execute("set time zone 'UTC'")
        if _one(conn, "select to_regprocedure('features.advance(bigint)')", ())[0] is None:
            return False
        conn.execute("call features.advance(%s)", (newest_watermark(conn),))
        return True


def publishing(url: str) -> Any:
    """Open the connection of a publishing transaction: READ COMMITTED, so it sees all that its watermark follows."""
    return connection(url, application="tradeloom-ingest")


def _times(kind: Kind, versions: Sequence[VersionedRow]) -> list[Any]:
    """Return the times by which rows lie in partitions; none of a kind that has no partitions."""
    names = (*KEY_COLUMNS[kind], *CONTENT_COLUMNS[kind])
    if "timestamp" not in names:
        return []
    place = names.index("timestamp")
    return [(*version.row.key, *version.row.content)[place] for version in versions]


def _values(row: RawRow) -> tuple[Any, ...]:
    plain = (list(value) if isinstance(value, tuple) else value for value in (*row.key, *row.content))
    return (row.source, *plain, row.nominal_at)


def _copy(conn: psycopg.Connection, table: str, columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(*table.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for line in lines:
            copy.write_row(line)


def _storable(text: str) -> str:
    """PostgreSQL's text and jsonb refuse the NUL byte; quarantine shows it as the symbol for it."""
    return text.replace("\x00", "\u2400")


def _storable_content(content: dict[str, str]) -> dict[str, str]:
    return {name: _storable(text) for name, text in content.items()}


def _one(conn: psycopg.Connection, statement: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = conn.execute(statement, values).fetchone()
    if found is None:
        raise LookupError("expected one row from the warehouse, found none")
    return found
