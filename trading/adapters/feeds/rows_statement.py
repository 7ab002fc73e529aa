"""The rows of a small batch as one statement, which needs no answer of the one before it: the batch is the newest made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from psycopg import sql

from trading.ingestion.reader import Kind
from trading.ingestion.rows import CONTENT_COLUMNS, KEY_COLUMNS, TABLE, VersionedRow

_TYPES: dict[Kind, tuple[str, ...]] = {
    "prices": ("numeric", "numeric", "numeric", "numeric", "numeric", "text"),
    "trades": ("timestamptz", "numeric", "numeric", "text"),
}


def rows_statement(
    kind: Kind, source: str, versions: Sequence[VersionedRow], watermark: int
) -> tuple[sql.Composed, tuple[Any, ...]]:
    """Return the statement that writes versions under the batch that this session wrote last, with its values."""
    lines = [(*one.row.key, *one.row.content, one.row.nominal_at, one.known_at, one.row_hash) for one in versions]
    columns = [list(column) for column in zip(*lines, strict=True)] if lines else [[] for _ in _columns(kind)]
    return _statement(kind), (source, watermark, *columns)


def _columns(kind: Kind) -> dict[str, str]:
    typed = dict(zip(CONTENT_COLUMNS[kind], _TYPES[kind], strict=True))
    ends = {"nominal_at": "timestamptz", "known_at": "timestamptz", "row_hash": "bytea"}
    return {**KEY_COLUMNS[kind], **typed, **ends}


@cache
def _statement(kind: Kind) -> sql.Composed:
    columns = _columns(kind)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL(
        "insert into {table} (source, watermark, batch_id, {names}) "
        "select %s, %s, currval(pg_get_serial_sequence('raw.ingestion_batches', 'batch_id')), {names} "
        "from unnest({arrays}) as a ({names})"
    ).format(
        table=sql.Identifier(*TABLE[kind].split(".")),
        names=names,
        arrays=sql.SQL(", ").join(sql.SQL(f"%s::{type_}[]") for type_ in columns.values()),
    )
