"""A drop that arrives after drops that were delivered later: what those said holds from their time on.

A row that says what was in force already adds no version. When an older drop arrives after it and says otherwise, that
silence would let the older word stand for ever; so the later drops that speak of the same sessions are taken again, and
what they say different from it becomes a version of theirs (docs/decisions/0074).
"""

from __future__ import annotations

import psycopg
from psycopg.types.json import Jsonb

from trading.adapters import warehouse
from trading.adapters.feeds.payload_mover import held_payload
from trading.adapters.payload_rows import RecordedBatch, good_rows, recorded_batch
from trading.adapters.warehouse import Batch
from trading.ingestion.ports import PayloadStore
from trading.ingestion.rows import VersionedRow
from trading.ingestion.versions import new_versions
from trading.telemetry import current_trace_id

# The drops that were taken in before this one although they were delivered after it, and touch its range.
_LATER = """
with this as (
    select min(b.batch_id) as batch_id, min(b.range_from) as range_from, max(b.range_to) as range_to
    from raw.ingestion_batches as b
    where b.source = %(source)s and b.kind = %(kind)s and b.mode = 'live' and b.status = 'published'
      and b.payload_sha256 = %(sha256)s and b.received_at = %(received_at)s
)

select later.batch_id
from this
join raw.ingestion_batches as later
    on later.batch_id < this.batch_id and later.range_from <= this.range_to and later.range_to >= this.range_from
where later.source = %(source)s and later.kind = %(kind)s and later.mode = 'live' and later.status = 'published'
  and later.received_at > %(received_at)s
order by later.received_at, later.batch_id
"""

_BATCH_AGAIN = """
insert into raw.ingestion_batches (kind, source, mode, partition_key, range_from, range_to, received_at, delivered_at,
    payload_key, payload_sha256, payload_name, reader, rows_in, rows_published, rows_unchanged, rows_merged,
    rows_quarantined, status, watermark, report, trace_id)
select kind, source, mode, partition_key, range_from, range_to, received_at, delivered_at, payload_key, payload_sha256,
    payload_name, reader, rows_in, %(published)s, rows_in - %(published)s - rows_merged - rows_quarantined, rows_merged,
    rows_quarantined, status, %(watermark)s, report || %(again)s, %(trace_id)s
from raw.ingestion_batches where batch_id = %(batch_id)s
returning batch_id
"""

_QUARANTINE_AGAIN = """
insert into raw.quarantined_rows (batch_id, row_number, rule, detail, content)
select %s, row_number, rule, detail, content from raw.quarantined_rows where batch_id = %s
"""


def confirm_later_drops(url: str, store: PayloadStore, batch: Batch) -> list[int]:
    """Take the later drops of `batch`'s sessions again; return the batches that this added.

    In a feed that arrives in order there is none, and nothing is read. Called again it adds nothing.
    """
    about = {
        "source": batch.source,
        "kind": batch.kind,
        "sha256": batch.payload_sha256,
        "received_at": batch.received_at,
    }
    with warehouse.publishing(url) as conn:
        later = [int(row[0]) for row in conn.execute(_LATER, about)]
    added = [_confirm(url, store, batch_id) for batch_id in later]
    return [batch_id for batch_id in added if batch_id is not None]


def _confirm(url: str, store: PayloadStore, batch_id: int) -> int | None:
    with warehouse.publishing(url) as conn:
        batch = recorded_batch(conn, batch_id)
        payload = held_payload(conn, batch.payload_sha256) or store.get(batch.payload_key, batch.payload_sha256)
        rows = good_rows(conn, batch_id, batch, payload)
        watermark = warehouse.take_watermark(conn, f"confirm {batch.kind} of {batch.source}")
        known = warehouse.known_versions(conn, batch.kind, batch.source, [row.key for row in rows], watermark)
        versions = new_versions(rows, known, batch.mode, batch.received_at)
        if not versions:
            conn.rollback()  # no watermark for nothing
            return None
        return _write(conn, batch_id, batch, versions, watermark)


def _write(
    conn: psycopg.Connection, batch_id: int, batch: RecordedBatch, versions: list[VersionedRow], watermark: int
) -> int:
    about = {
        "batch_id": batch_id,
        "watermark": watermark,
        "published": len(versions),
        "again": Jsonb({"confirms_batch": batch_id}),
        "trace_id": current_trace_id(),
    }
    found = conn.execute(_BATCH_AGAIN, about).fetchone()
    assert found is not None, "an insert of one row returns one row"
    conn.execute(_QUARANTINE_AGAIN, (found[0], batch_id))
    warehouse.insert_rows(conn, batch.kind, versions, watermark, found[0])
    return int(found[0])
