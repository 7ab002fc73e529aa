"""Ingestion: one delivery of one source becomes one batch in the warehouse, or one clear refusal.

The order matters. The payload is stored first, under its content; then rows are judged in a staging frame; then one
transaction publishes. Whatever stops in between leaves nothing half done, and the same call again completes the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from trading.adapters import warehouse
from trading.adapters.bar_batch import BarBatch
from trading.adapters.batch_report import (
    Judged,
    NewRows,
    calendars_kept,
    recorded_values,
    report_of_judged,
    report_of_recorded,
)
from trading.adapters.chart_bars import advance_charts
from trading.adapters.completeness import publish_session_quality
from trading.adapters.instruments import publish_drafts
from trading.adapters.later_drops import confirm_later_drops
from trading.adapters.listings import publish_listings
from trading.adapters.payloads import Payload, payload_of
from trading.adapters.row_batch import RowBatch
from trading.adapters.trade_batch import TradeBatch
from trading.adapters.warehouse import Batch
from trading.errors import InputError, NaiveTimeError, QualityError
from trading.ingestion.gaps import RULE as GAP_RULE
from trading.ingestion.ports import PayloadStore, Source
from trading.ingestion.reader import Kind, Mode
from trading.ingestion.report import BatchReport, shown_calendars
from trading.telemetry import current_trace_id

Beside = Callable[[psycopg.Connection, int], None]
"""(the publishing transaction, the batch's id) -> None: what is written with a batch, or not at all."""

MAX_BAD_SHARE = 0.2
# A live drop is small and comes once: one bad row of four must not keep three good ones out (docs/decisions/0073).
FEW_BAD_ROWS = 10
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def ingest(
    source: Source,
    kind: Kind,
    *,
    now: datetime,
    database_url: str,
    object_store: PayloadStore,
    mode: Mode | None = None,
    delivered_at: datetime | None = None,
    partition: str | None = None,
    run_id: str | None = None,
    max_bad_share: float | None = None,
    beside: Beside | None = None,
) -> BatchReport:
    """Ingest what `source` delivers of `kind` and derive what follows from it; return the batch's report.

    Args:
        source: The vendor, such as `source_named("sample")`.
        kind: `prices`, `actions` or `news`.
        now: The clock; the batch counts as received then, or at `delivered_at` where the drop carries its own time.
        database_url: The warehouse (libpq form).
        object_store: Where the payload stays.
        mode: `history` or `live`; the source's default where None.
        delivered_at: See `now`; part of the batch's identity.
        partition: A month `2004-05`, months `2004-05..2004-08`, or None for everything.
        run_id: The Dagster run, for the record.
        max_bad_share: Above this share of quarantined rows (0..1) nothing of the batch is published. Where None: a
            fifth, and of a live batch only from the tenth bad row on; there, rows that are only unfinished do not count.
        beside: What else the publishing transaction writes, such as how far a fetch has come.

    Raises:
        InputError: the file or an argument is wrong as a whole; nothing was written.
        QualityError: too many bad rows; the batch is recorded as refused, with its quarantine.
        EngineUnavailableError, DiskFullError: an engine failed; nothing is half published, run it again.
    """
    delivery = source.deliver(kind, partition)
    with payload_of(delivery) as payload:
        batch = Batch(
            source=source.name,
            kind=kind,
            mode=mode or source.default_mode,
            received_at=_received_at(now, delivered_at),
            delivered_at=delivered_at,
            payload_key=payload.key,
            payload_sha256=payload.sha256,
            payload_name=delivery.name,
            reader=delivery.reader,
            dagster_run_id=run_id,
            trace_id=current_trace_id(),
        )
        report = _already_ingested(database_url, batch, beside)
        if report is None:
            report = _publish(database_url, object_store, batch, payload, max_bad_share, beside)
    if kind in ("prices", "actions"):
        listed = publish_listings(database_url, batch.source)
        report = replace(report, drafts={**report.drafts, **listed})
    if batch.mode == "live":
        confirm_later_drops(database_url, object_store, batch)
    # Also after "already ingested": a run that died between publishing and deriving is completed by the next one.
    warehouse.advance_features(database_url)
    if kind in ("prices", "trades"):
        advance_charts(database_url)
    return report


def _received_at(now: datetime, delivered_at: datetime | None) -> datetime:
    if delivered_at is None:
        return now
    if delivered_at.tzinfo is None:
        raise NaiveTimeError(f"expected a delivery time with a zone, found {delivered_at.isoformat()}; add its offset")
    if delivered_at < _EARLIEST:  # also what the database or its driver could not hold
        raise InputError(f"expected a delivery time from 1970 on, found {delivered_at.isoformat()}")
    if delivered_at > now:
        raise InputError(f"expected a delivery time that has passed, found {delivered_at.isoformat()}")
    return delivered_at


def _already_ingested(url: str, batch: Batch, beside: Beside | None) -> BatchReport | None:
    with warehouse.publishing(url) as conn:
        found = warehouse.earlier_batch(conn, batch, "published")
        return _recorded(conn, batch, found, beside) if found else None


def _recorded(conn: psycopg.Connection, batch: Batch, found: dict[str, Any], beside: Beside | None) -> BatchReport:
    if beside:
        beside(conn, found["batch_id"])
    return report_of_recorded(batch, found)


def _publish(
    url: str, store: PayloadStore, batch: Batch, payload: Payload, max_bad_share: float | None, beside: Beside | None
) -> BatchReport:
    if batch.kind not in ("prices", "trades"):
        return _publish_rows(url, store, batch, payload, RowBatch(url, batch, payload), max_bad_share, beside)
    many: type[BarBatch] | type[TradeBatch] = BarBatch if batch.kind == "prices" else TradeBatch
    with many(url, batch, payload) as rows:
        return _publish_rows(url, store, batch, payload, rows, max_bad_share, beside)


def _publish_rows(
    url: str,
    store: PayloadStore,
    batch: Batch,
    payload: Payload,
    rows: RowBatch | BarBatch | TradeBatch,
    max_bad_share: float | None,
    beside: Beside | None,
) -> BatchReport:
    rows.read()
    payload.keep(store)
    while True:
        judged = rows.judge()
        if (refused := _too_bad(batch, judged, max_bad_share)) is not None:
            raise _refuse(url, batch, judged, refused)
        with rows.publishing() as conn:
            watermark = warehouse.take_watermark(conn, f"ingest {batch.kind} of {batch.source}")
            if (found := warehouse.earlier_batch(conn, batch, "published")) is not None:
                conn.rollback()
                return _recorded(conn, batch, found, beside)
            if rows.still_holds(conn, judged.facts) and (new := rows.compare(conn, watermark)) is not None:
                return _write(conn, batch, rows, judged, new, watermark, beside)
            conn.rollback()
        # Another publisher changed what the rules rest on while we judged: judge again.


@dataclass(frozen=True)
class _TooBad:
    """Why a batch is refused: so many of so many rows are bad, and this share of them was allowed."""

    bad: int
    of: int
    allowed: float


def _too_bad(batch: Batch, judged: Judged, asked: float | None) -> _TooBad | None:
    """Return why the batch is refused, or None; unless a share was asked for, a live drop's unfinished rows are left out."""
    bad, of = judged.rows_quarantined, judged.rows_in
    if asked is None and batch.mode == "live":
        unfinished = judged.rows_unfinished
        bad, of = bad - unfinished, of - unfinished
        if bad < FEW_BAD_ROWS:
            return None
    allowed = MAX_BAD_SHARE if asked is None else asked
    return _TooBad(bad, of, allowed) if of and bad / of > allowed else None


def _write(
    conn: psycopg.Connection,
    batch: Batch,
    rows: RowBatch | BarBatch | TradeBatch,
    judged: Judged,
    new: NewRows,
    watermark: int,
    beside: Beside | None,
) -> BatchReport:
    """Write the whole batch under `watermark`; the caller's transaction makes it visible at once."""
    drafts: dict[str, str] = {}
    if batch.kind in ("prices", "trades"):
        drafts = publish_drafts(conn, new.since, judged.calendars, watermark)
    report = report_of_judged(batch, judged, watermark, rows_published=new.rows, drafts=drafts)
    batch_id = _write_batch(conn, batch, judged, report)
    rows.insert(conn, watermark, batch_id)
    if batch.kind == "prices":
        publish_session_quality(conn, batch.source, set(new.intervals), watermark)
    if beside:
        beside(conn, batch_id)
    return replace(report, batch_ids=(batch_id,))


def _write_batch(conn: psycopg.Connection, batch: Batch, judged: Judged, report: BatchReport) -> int:
    batch_id = warehouse.insert_batch(conn, batch, report.watermark, recorded_values(batch, judged, report))
    warehouse.insert_quarantine(conn, judged.defects, batch_id)
    return batch_id


def _refuse(url: str, batch: Batch, judged: Judged, why: _TooBad) -> QualityError:
    """Record the refused batch, once, and return the error that says why."""
    with warehouse.publishing(url) as conn:
        found = warehouse.earlier_batch(conn, batch, "refused")
        batch_id = found["batch_id"] if found else _write_refused(conn, batch, judged)
    broken = ", ".join(f"{rule} {count}" for rule, count in sorted(judged.broken.items()))
    return QualityError(
        f"expected at most {why.allowed:.0%} bad rows in {batch.payload_name}, found {why.bad / why.of:.0%} "
        f"({why.bad} of {why.of}: {broken}); nothing was published, "
        f"see raw.quarantined_rows of batch {batch_id}" + _first_bad(judged) + _calendars_kept(batch, judged)
    )


def _calendars_kept(batch: Batch, judged: Judged) -> str:
    """Say by whose calendar bars have no session, where it is another one than the delivery states."""
    kept = calendars_kept(batch, judged)
    if not kept or "unknown_session" not in judged.broken:
        return ""
    return f"; {shown_calendars(kept)} keep the calendar of their instrument, found {batch.reader.calendar} stated"


def _first_bad(judged: Judged) -> str:
    """Say what is wrong with a gap, which is the most telling, or with the first bad row."""
    gap = next((f": {defect.detail}" for defect in judged.defects if defect.rule == GAP_RULE), "")
    first = min(judged.defects, key=lambda defect: defect.number, default=None)
    if gap or first is None:
        return gap
    about = " ".join(first.content[name] for name in ("symbol", "timestamp") if name in first.content)
    return f"; row {first.number}, {about[:60] or 'the first of them'}: {first.detail}"


def _write_refused(conn: psycopg.Connection, batch: Batch, judged: Judged) -> int:
    watermark = warehouse.take_watermark(conn, f"refuse {batch.kind} of {batch.source}")
    report = report_of_judged(batch, judged, watermark, rows_published=0, drafts={})
    return _write_batch(conn, batch, judged, replace(report, status="refused", rows_unchanged=0))
