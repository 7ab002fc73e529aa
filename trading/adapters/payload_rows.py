"""From the stored payload to a batch's rows once more, for replay: is what the tables say what the vendor delivered?

Everything that decided the batch's rows is in the payload, in the batch (mode, times, reader, calendars), in its
quarantine and in the versions that were there before it; nothing of today is asked, and no quality gate is run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from trading.adapters import gaps, warehouse
from trading.adapters.feeds.payload_mover import held_payload
from trading.adapters.placing import place_bars, place_trades, to_rows
from trading.errors import InputError, NaiveTimeError, NoRowsError
from trading.ingestion.candidates import Candidate, parse
from trading.ingestion.folding import folded
from trading.ingestion.gaps import rename
from trading.ingestion.ports import PayloadStore
from trading.ingestion.reader import Kind, Mode, Reader
from trading.ingestion.rows import RawRow, VersionedRow
from trading.ingestion.versions import new_versions

_QUARANTINED = """
select row_number from raw.quarantined_rows
where batch_id = %(batch_id)s and (%(rule)s::text is null or rule = %(rule)s)
"""


@dataclass(frozen=True)
class RecordedBatch:
    """A batch as the warehouse recorded it."""

    source: str
    kind: Kind
    mode: Mode
    received_at: datetime
    payload_key: str
    payload_sha256: str
    status: str
    watermark: int
    reader: dict[str, Any]


def rows_of_payload(conn: psycopg.Connection, store: PayloadStore, batch_id: int) -> list[VersionedRow]:
    """Return the rows that a batch published, made again from its payload; each has its `row_hash`.

    Raises:
        PayloadHashError: the object store has not the payload that the batch recorded.
        InputError: no batch has this id.
    """
    batch = recorded_batch(conn, batch_id)
    payload = held_payload(conn, batch.payload_sha256) or store.get(batch.payload_key, batch.payload_sha256)
    if batch.status != "published":
        return []
    rows = good_rows(conn, batch_id, batch, payload)
    known = warehouse.known_versions(conn, batch.kind, batch.source, [row.key for row in rows], batch.watermark)
    return new_versions(rows, known, batch.mode, batch.received_at)


def good_rows(conn: psycopg.Connection, batch_id: int, batch: RecordedBatch, payload: bytes) -> list[RawRow]:
    """Return the rows of a recorded batch that passed its gate, new to the warehouse then or not."""
    reader = Reader.from_dict(batch.reader["request"])
    try:
        candidates = parse(payload, reader).candidates
    except (NoRowsError, NaiveTimeError):  # a live drop of nothing, or of nothing that could be read
        return []
    # What could not be read then had no part in the batch, even where it can be read by now.
    candidates = _without_quarantined(conn, batch_id, candidates, "unreadable_timestamp")
    rename(candidates, gaps.from_json(batch.reader.get("context", {}).get("parts", ())))
    if batch.kind == "prices":
        place_bars(conn, batch.source, candidates, batch.reader["context"]["calendars"], reader.parser)
    if batch.kind == "trades":
        place_trades(conn, batch.source, candidates)
    good = _without_quarantined(conn, batch_id, folded(batch.kind, candidates)[0])
    return to_rows(batch.kind, batch.source, good)


def recorded_batch(conn: psycopg.Connection, batch_id: int) -> RecordedBatch:
    """Return what the warehouse recorded of a batch.

    Raises:
        InputError: no batch has this id.
    """
    found = conn.execute(
        "select source, kind, mode, received_at, payload_key, payload_sha256, status, watermark, reader "
        "from raw.ingestion_batches where batch_id = %s",
        (batch_id,),
    ).fetchone()
    if found is None:
        raise InputError(f"expected the id of a batch of raw.ingestion_batches, found {batch_id}")
    return RecordedBatch(*found)


def _without_quarantined(
    conn: psycopg.Connection, batch_id: int, candidates: list[Candidate], rule: str | None = None
) -> list[Candidate]:
    asked = {"batch_id": batch_id, "rule": rule}
    refused = {number for (number,) in conn.execute(_QUARANTINED, asked)}
    return [candidate for candidate in candidates if candidate.number not in refused]
