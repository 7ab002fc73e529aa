"""A delivery of trades taken in part by part is what its single rows, all in memory, make of it.

The oracle reads all rows at once, as replay does: parse, place, fold, judge, compare.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trading.adapters import spooled_batch, spooled_rows, trade_spool, warehouse
from trading.adapters.batch_facts import facts_of
from trading.adapters.completeness import _array
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.placing import place_trades, to_rows
from trading.adapters.sources.files import Files
from trading.adapters.warehouse import Batch
from trading.ingestion import blocks
from trading.ingestion.candidates import parse
from trading.ingestion.folding import folded
from trading.ingestion.reader import Mode
from trading.ingestion.versions import new_versions
from trading.quality.gate import judge

pytestmark = pytest.mark.engines

HEADER = "symbol,timestamp,price,size,trade_id,side"
BAD = ["", "x", "-1", "1.23456789123", "1e3", " 7 ", "NaN"]
WRITTEN = "select symbol, trade_id, timestamp, price, size, side, nominal_at, known_at, row_hash from raw.trades"
KEPT_BACK = "select row_number, rule, detail, content from raw.quarantined_rows where batch_id = %s"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    monkeypatch.setattr(spooled_batch, "_REPEATED_AT_ONCE", 70)
    monkeypatch.setattr(trade_spool, "_MOMENTS_AT_ONCE", 4)
    monkeypatch.setattr(spooled_rows, "_HASHES_AT_ONCE", 30)


def _lines(seed: int, changed: bool) -> list[str]:
    """Trades with and without ids, several at one moment; some bad, some twice, equal or not, in no order."""
    chance = random.Random(seed)
    found = []
    for number in range(150):
        when = datetime(2024, 5, 31, 14, tzinfo=UTC) + timedelta(seconds=chance.randrange(40))
        name = "" if number % 3 else f"t{number}"
        price = chance.randint(100, 999) + (1 if changed and chance.random() < 0.4 else 0)
        cells = [f"{price / 10}", f"{chance.randint(0, 9)}", name, chance.choice(["", "b", "sell"])]
        if chance.random() < 0.1:
            cells[chance.randrange(4)] = chance.choice(BAD)
        line = ",".join([chance.choice(("AAA", "BBB", "")) if number % 20 == 0 else "CCC", when.isoformat(), *cells])
        found += [line] * (1 + (chance.random() < 0.15))
        if name and chance.random() < 0.15:
            found.append(f"CCC,{when.isoformat()},5,5,{name},")
    chance.shuffle(found)
    return [
        *found,
        "CCC,2024-05-31T10:00:00,1,1,,",
        "CCC,2024-05-31,1,1,,",
        "CCC,2024-05-30T10:00:00Z,1",
        ",,,,,",
        ",,,,,",
    ]


def _expected(conn: psycopg.Connection, batch: Batch, payload: bytes) -> dict[str, Any]:
    parsed = parse(payload, batch.reader)
    facts = facts_of(conn, batch, lambda parts: {})
    place_trades(conn, batch.source, parsed.candidates)
    left, merged = folded("trades", parsed.candidates)
    verdict = judge("trades", left, facts)
    rows = to_rows("trades", batch.source, verdict.good)
    known = warehouse.known_versions(conn, "trades", batch.source, [row.key for row in rows], 10**9)
    versions = new_versions(rows, known, batch.mode, batch.received_at)
    defects = [*parsed.defects, *verdict.defects]
    counts = (parsed.rows_in, len(versions), len(rows) - len(versions), merged, parsed.rows_in - merged - len(rows))
    moments = [one.values["timestamp"] for one in verdict.good]
    return {
        "rows": {(*one.row.key, *one.row.content, one.row.nominal_at, one.known_at, one.row_hash) for one in versions},
        "quarantine": sorted((one.number, one.rule, one.detail, one.content) for one in defects),
        "counts": counts,
        "checks": [(check.rule, check.columns, check.rows, check.broken) for check in verdict.checks],
        "range": (min(moments), max(moments)),
    }


def test_part_by_part_gives_what_all_rows_at_once_give(
    database_url: str, conn: psycopg.Connection, store: ObjectStore, tmp_path: Path
) -> None:
    drops: list[tuple[int, bool, Mode]] = [(7, False, "history"), (7, True, "history"), (8, True, "live")]
    for number, (seed, changed, mode) in enumerate(drops):
        file = tmp_path / f"{number}.csv"
        file.write_text("\n".join([HEADER, *_lines(seed, changed), ""]))
        source, now = Files(file), datetime(2024, 6, 3 + number, 12, tzinfo=UTC)
        sha256, reader = hashlib.sha256(file.read_bytes()).hexdigest(), source.deliver("trades", None).reader
        batch = Batch("files", "trades", mode, now, None, "", sha256, "", reader, None, "")
        expected = _expected(conn, batch, file.read_bytes())
        report = ingest(
            source, "trades", now=now, database_url=database_url, object_store=store, mode=mode, max_bad_share=1.0
        )
        (batch_id,) = report.batch_ids
        assert set(conn.execute(f"{WRITTEN} where batch_id = %s", (batch_id,))) == expected["rows"]
        assert sorted(conn.execute(KEPT_BACK, (batch_id,))) == expected["quarantine"]
        counts = (report.rows_in, report.rows_published, report.rows_unchanged, report.rows_merged)
        assert (*counts, report.rows_quarantined) == expected["counts"]
        assert number != 1 or min(counts) > 0  # all of it happens
        checks = [tuple(check[name] for name in ("rule", "columns", "rows", "broken")) for check in report.checks]
        assert checks == expected["checks"]
        written = conn.execute(
            "select range_from, range_to from raw.ingestion_batches where batch_id = %s", (batch_id,)
        ).fetchone()
        assert written == expected["range"]
        again = {version.row_hash for version in rows_of_payload(conn, store, batch_id)}
        assert again == {row[-1] for row in expected["rows"]}


def test_who_publishes_second_publishes_later_versions(
    database_url: str, conn: psycopg.Connection, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody publishes the same trades, one of them at another price, between judging and publishing."""
    take, others, now = warehouse.take_watermark, ["8,1,"], datetime(2024, 6, 3, tzinfo=UTC)

    def deliver(second: str) -> Any:
        file = tmp_path / f"{second[0]}.csv"
        lines = [f"CCC,2024-05-31T10:00:0{number}Z,{cells}" for number, cells in enumerate(("7,1,a", "7,1,", second))]
        file.write_text("\n".join([HEADER.removesuffix(",side").replace("size,trade_id", "size,id"), *lines, ""]))
        return ingest(Files(file), "trades", now=now, database_url=database_url, object_store=store)

    def others_first(session: Any, purpose: str) -> int:
        if others and "ingest" in purpose:
            deliver(others.pop())
        return take(session, purpose)

    monkeypatch.setattr(warehouse, "take_watermark", others_first)
    report = deliver("9,1,")
    assert (report.rows_published, report.rows_unchanged) == (1, 2)
    versions = conn.execute(
        "select price::int, known_at, row_hash = raw.trade_hash(t) from raw.trades as t order by 1, 2"
    )
    at = [datetime(2024, 5, 31, 10, 15, second, tzinfo=UTC) for second in range(3)]  # files come with a lag
    assert versions.fetchall() == [(7, at[0], True), (7, at[1], True), (8, at[2], True), (9, now, True)]
    (batch_id,) = report.batch_ids
    stored = conn.execute("select row_hash from raw.trades where batch_id = %s", (batch_id,)).fetchall()
    assert [(one.row_hash,) for one in rows_of_payload(conn, store, batch_id)] == stored


def test_symbols_of_a_session_are_told_to_postgresql_as_they_are(conn: psycopg.Connection) -> None:
    for symbols in ((), ("A,B", 'q"x', "b\\s", "{}", "NULL", " s ", "é", "")):
        assert conn.execute("select %s::text[]", (_array(symbols),)).fetchone() == (list(symbols),)
