"""A delivery of prices taken in block by block is what its single rows, all in memory, make of it.

The oracle is the way of single rows, which replay goes too: parse, place, fold, judge, compare, all rows at once.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from trading.adapters import spooled_batch, spooled_rows, warehouse
from trading.adapters.batch_facts import calendars_of_batch, facts_of
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.placing import fill_sessions, place_bars, to_rows
from trading.adapters.sources.files import Files
from trading.adapters.warehouse import Batch
from trading.calendar import exchange_sessions
from trading.ingestion import blocks
from trading.ingestion.candidates import parse
from trading.ingestion.folding import folded
from trading.ingestion.gaps import name_of, rename
from trading.ingestion.reader import Mode
from trading.ingestion.versions import new_versions
from trading.quality.gate import judge

pytestmark = pytest.mark.engines

DAYS = [session.session_date for session in exchange_sessions("XNYS", date(2021, 3, 1), date(2024, 5, 31))]
BAD = ["", "x", "-1", "1.23456789", "1e3", " 7 ", "-0", "NaN"]
WRITTEN = (
    "select symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, row_hash"
)
KEPT_BACK = "select row_number, rule, detail, content from raw.quarantined_rows where batch_id = %s"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 60)
    monkeypatch.setattr(spooled_batch, "_REPEATED_AT_ONCE", 25)
    monkeypatch.setattr(spooled_rows, "_HASHES_AT_ONCE", 30)


def _lines(seed: int, changed: bool = False) -> list[str]:
    """Bars of three symbols, BBB with a gap of two years; some rows bad, some twice, equal or not, in no order."""
    chance = random.Random(seed)
    found = []
    for symbol in ("AAA", "BBB", "CCC"):
        for day in [*DAYS[:15], *DAYS[-15:]] if symbol == "BBB" else DAYS[::30]:
            price = chance.randint(1000, 99999)
            if changed and chance.random() < 0.5:
                price += 1
            cells = [f"{price / 100}", f"{price / 100 + 1}", f"{price / 100 - 1:.4f}", f"{price / 100}", "1000"]
            if chance.random() < 0.15:
                cells[chance.randrange(5)] = chance.choice(BAD)
            when = day + timedelta(days=3) if chance.random() < 0.05 else day
            found += [",".join([symbol, f"{when}", *cells])] * (1 + (chance.random() < 0.1))
            if chance.random() < 0.1:
                found.append(",".join([symbol, f"{when}", "5", "6", "4", "5", "-0.0"]))
    chance.shuffle(found)
    return [*found, "AAA,2024-05-31T10:00:00,1,1,1,1,1", "AAA,2024-05-30,1,1", ",,,,,,", ",,,,,,"]


def _expected(conn: psycopg.Connection, batch: Batch, payload: bytes) -> dict[str, Any]:
    parsed = parse(payload, batch.reader)

    def days_of(parts: Any) -> dict[str, set[date]]:
        days: dict[str, set[date]] = {}
        for symbol, of_symbol in parsed.days.items():
            for day in of_symbol:
                days.setdefault(name_of(parts)(symbol, day), set()).add(day)
        return days

    facts = facts_of(conn, batch, days_of)
    rename(parsed.candidates, facts.parts)
    symbols = {one.values["symbol"] for one in parsed.candidates} - {None}
    calendars = calendars_of_batch(conn, batch, symbols, facts.parts)
    fill_sessions(conn, set(calendars.values()), parsed.candidates, batch.received_at)
    place_bars(conn, batch.source, parsed.candidates, calendars, batch.reader.parser)
    left, merged = folded("prices", parsed.candidates)
    verdict = judge("prices", left, facts)
    rows = to_rows("prices", batch.source, verdict.good)
    known = warehouse.known_versions(conn, "prices", batch.source, [row.key for row in rows], 10**9)
    versions = new_versions(rows, known, batch.mode, batch.received_at)
    defects = [*parsed.defects, *verdict.defects]
    counts = (parsed.rows_in, len(versions), len(rows) - len(versions), merged, parsed.rows_in - merged - len(rows))
    return {
        "rows": {(*one.row.key, *one.row.content, one.row.nominal_at, one.known_at, one.row_hash) for one in versions},
        "quarantine": sorted((one.number, one.rule, one.detail, one.content) for one in defects),
        "counts": counts,
        "checks": [(check.rule, check.columns, check.rows, check.broken) for check in verdict.checks],
    }


@pytest.mark.parametrize("gap", ["refuse", "split"])
def test_block_by_block_gives_what_single_rows_give(
    gap: Any, database_url: str, conn: psycopg.Connection, store: ObjectStore, tmp_path: Path
) -> None:
    drops: list[tuple[int, bool, Mode]] = [(7, False, "history"), (7, True, "history"), (8, True, "live")]
    for number, (seed, changed, mode) in enumerate(drops[:2] if gap == "refuse" else drops[::2]):
        file = tmp_path / f"{number}.csv"
        file.write_text("\n".join(["symbol,timestamp,open,high,low,close,volume", *_lines(seed, changed), ""]))
        source, now = Files(file, gap=gap), datetime(2024, 6, 3 + number, 12, tzinfo=UTC)
        sha256, reader = hashlib.sha256(file.read_bytes()).hexdigest(), source.deliver("prices", None).reader
        batch = Batch("files", "prices", mode, now, None, "", sha256, "", reader, None, "")
        expected = _expected(conn, batch, file.read_bytes())
        report = ingest(
            source,
            "prices",
            now=now,
            database_url=database_url,
            object_store=store,
            mode=mode,
            max_bad_share=1.0,
        )
        (batch_id,) = report.batch_ids
        assert set(conn.execute(f"{WRITTEN} from raw.price_bars where batch_id = %s", (batch_id,))) == expected["rows"]
        assert sorted(conn.execute(KEPT_BACK, (batch_id,))) == expected["quarantine"]
        counts = (report.rows_in, report.rows_published, report.rows_unchanged, report.rows_merged)
        assert (*counts, report.rows_quarantined) == expected["counts"]
        checks = [tuple(check[name] for name in ("rule", "columns", "rows", "broken")) for check in report.checks]
        assert checks == expected["checks"]
        again = {version.row_hash for version in rows_of_payload(conn, store, batch_id)}
        assert again == {row[-1] for row in expected["rows"]}
