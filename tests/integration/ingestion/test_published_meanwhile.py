"""Somebody publishes bars of the same keys between judging and publishing: versions and hashes are those of one after the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trading.adapters import warehouse
from trading.adapters.bar_batch import BarBatch
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.sources.files import Files

pytestmark = pytest.mark.engines
NOW = datetime(2006, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
DAYS = ("2003-01-02", "2003-01-03", "2003-01-06", "2003-01-07")
OUTER = (10, 11, 10, 11)
Counts = list[int]  # published, unchanged, quarantined

# What others publish meanwhile, one each time the watermark is about to be taken; then what becomes of all, theirs first.
CASES: dict[str, tuple[list[tuple[tuple[int, ...], datetime, str]], list[Counts]]] = {
    "two bars are other ones": ([((10, 10, 10, 10), NOW, "")], [[4, 0, 0], [2, 2, 0]]),
    "the same bars in other bytes": ([(OUTER, NOW, "\n")], [[4, 0, 0], [0, 4, 0]]),
    "and once more while it is judged again": (
        [((10, 10, 10, 10), NOW, ""), ((10, 10, 11, 10), LATER, "")],
        [[4, 0, 0], [1, 3, 0], [2, 2, 0]],
    ),
    "the same delivery": ([(OUTER, NOW, "")], [[4, 0, 0], [4, 0, 0]]),  # the report is that of the first one
}


@pytest.mark.parametrize(("name", "is_seen"), [*((name, True) for name in CASES), ("two bars are other ones", False)])
def test_who_publishes_second_publishes_later_versions_whatever_was_there_when_it_was_judged(
    name: str,
    is_seen: bool,
    conn: psycopg.Connection,
    store: ObjectStore,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two nets: the rules rest on other facts now (`is_seen`), and a hash of a later version is asked for that is not there."""
    meanwhile, expected = CASES[name]
    if not is_seen:
        monkeypatch.setattr(BarBatch, "still_holds", lambda *_: True)
    take, waiting, told = warehouse.take_watermark, list(meanwhile), []

    def publish(closes: tuple[int, ...], now: datetime, more: str) -> None:
        file = tmp_path / f"{len(waiting)}-{len(told)}.csv"
        lines = [f"AAA,{day},10,12,9,{close},5" for day, close in zip(DAYS, closes, strict=True)]
        file.write_text("\n".join(["symbol,timestamp,open,high,low,close,volume", *lines, more]))
        report = ingest(Files(file), "prices", now=now, database_url=database_url, object_store=store)
        told.append([report.rows_published, report.rows_unchanged, report.rows_quarantined])

    def others_first(session: Any, purpose: str) -> int:
        if waiting and "ingest" in purpose:
            with monkeypatch.context() as alone:
                alone.setattr(warehouse, "take_watermark", take)
                publish(*waiting.pop(0))
        return take(session, purpose)

    monkeypatch.setattr(warehouse, "take_watermark", others_first)
    publish(OUTER, NOW, "")
    assert told == expected
    in_force = (
        "select close::int from raw.bars_as_of(%s, raw.newest_watermark()) where source = 'files' order by timestamp"
    )
    assert tuple(close for (close,) in conn.execute(in_force, (NOW,))) == OUTER
    refuse_hashes_that_single_rows_do_not_give(conn, store)


def refuse_hashes_that_single_rows_do_not_give(conn: psycopg.Connection, store: ObjectStore) -> None:
    """The way of single rows, by which a payload is read again, says of each batch what is new and its hashes."""
    for (batch,) in conn.execute("select batch_id from raw.ingestion_batches where rows_published > 0").fetchall():
        stored = conn.execute("select timestamp, known_at, row_hash from raw.price_bars where batch_id = %s", (batch,))
        again = [(row.row.key[2], row.known_at, row.row_hash) for row in rows_of_payload(conn, store, batch)]
        assert sorted(again) == sorted(stored.fetchall())
