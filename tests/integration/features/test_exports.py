"""Exports: Parquet in S3 that any engine reads, equal to what PostgreSQL answers as of the same (t, w)."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from feature_store import export_rows, exports, retention
from feature_store.exports import dataset_of, question_of, read_export, write_export
from orchestration.cli import tradeloom
from trading.adapters.object_store import ObjectStore
from trading.errors import CompactedError, InputError, NaiveTimeError

pytestmark = pytest.mark.engines

FIRST = date(2023, 11, 20)
AS_OF = datetime(2024, 1, 20, tzinfo=UTC)  # of the 80 days of bars, 61 are over
_DAILY = """
select source, symbol, interval, timestamp, decision_at, known_at, watermark, row_id, encode(row_hash, 'hex'), {columns}
from features.daily_as_of(%s, %s, %s) order by extract(year from timestamp), source, symbol, timestamp
"""
_BARS = """
select source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark,
    bar_id, encode(row_hash, 'hex')
from raw.bars_as_of(%s, %s) order by extract(year from timestamp), source, symbol, timestamp
"""


@pytest.fixture
def store(object_store_settings: Any) -> ObjectStore:
    found = object_store_settings
    return ObjectStore(found.endpoint, found.access_key, found.secret_key, found.bucket)


@pytest.fixture
def filled(warehouse: Any) -> Any:
    """80 days of two symbols in two sources over a year's end, one bar corrected while they came, one afterwards."""
    warehouse.fill_calendar(FIRST, FIRST + timedelta(days=120))
    for source in ("files", "sample"):
        warehouse.publish(source, [bar(warehouse, name, place) for name in ("AAA", "BBB") for place in range(80)])
    warehouse.publish("files", [bar(warehouse, "AAA", 30, "101.5", known_at=AS_OF - timedelta(days=9))])
    warehouse.advance()
    return warehouse


def bar(warehouse: Any, symbol: str, place: int, more: str = "0", known_at: datetime | None = None) -> Any:
    low = Decimal("100.000001") + place % 7
    return warehouse.Bar(
        symbol, FIRST + timedelta(days=place), low, low + 200, low, low + Decimal(more), 1_000 + place, known_at
    )


def newest(warehouse: Any) -> int:
    return int(warehouse.one("select raw.newest_watermark()"))


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """Floats by `repr`, which tells every bit apart; times in UTC."""
    return [tuple(str(v.astimezone(UTC)) if isinstance(v, datetime) else repr(v) for v in row) for row in rows]


def read(store: ObjectStore, made: exports.Export) -> list[tuple[str, ...]]:
    rows = dataset_of(store, made).to_table().drop_columns(["year"]).to_pylist()
    return plain([tuple(row.values()) for row in rows])


def test_an_export_is_what_postgresql_answers_as_of_the_same_moment_and_stays_so(
    filled: Any, store: ObjectStore
) -> None:
    w = newest(filled)
    asked = {view: question_of(filled.url, view, AS_OF, w) for view in ("features.daily", export_rows.BARS)}
    made = {view: write_export(filled.url, store, question) for view, question in asked.items()}
    columns = ", ".join(asked["features.daily"].columns)
    of_daily = filled.all(_DAILY.format(columns=columns), asked["features.daily"].definition, AS_OF, w)
    assert read(store, made["features.daily"]) == plain(of_daily)
    assert read(store, made[export_rows.BARS]) == plain(filled.all(_BARS, AS_OF, w))
    assert made[export_rows.BARS].rows == 2 * 2 * 61
    assert [(file.year, file.rows) for file in made["features.daily"].files] == [(2023, 4 * 42), (2024, 4 * 19)]

    filled.publish("files", [bar(filled, "AAA", 31, "90", known_at=AS_OF - timedelta(days=1))])
    filled.advance()
    for view, question in asked.items():
        assert write_export(filled.url, store, question) == made[view], "what came later is in no earlier answer"
        assert read_export(store, made[view].key) == made[view]
    later = write_export(filled.url, store, question_of(filled.url, "features.daily", AS_OF, newest(filled)))
    assert read(store, later) != read(store, made["features.daily"])


def test_duckdb_asks_an_export_in_s3_and_answers_as_postgresql(filled: Any, store: ObjectStore) -> None:
    duckdb = importlib.import_module("duckdb")
    w = newest(filled)
    question = question_of(filled.url, "features.daily", AS_OF, w, source="files")
    rows = dataset_of(store, write_export(filled.url, store, question))
    select = """
        select symbol, count(*)::bigint, max(close), count(rsi_14)::bigint
        from {} where source = 'files' {} group by symbol order by symbol
    """
    with duckdb.connect() as duck:
        duck.register("rows", rows)
        found = duck.execute(select.format("rows", "and year = 2024")).fetchall()
    newest_close = (
        polars.scan_pyarrow_dataset(rows).filter(polars.col("symbol") == "AAA").select(polars.col("close").max())
    )
    assert newest_close.collect().item() == filled.one("select max(close) from features.daily where symbol = 'AAA'")
    theirs = select.format("features.daily_as_of(%s, %s, %s)", "and timestamp >= '2024-01-01'")
    assert found == filled.all(theirs, question.definition, AS_OF, w)
    assert [row[:2] for row in found] == [("AAA", 19), ("BBB", 19)]


def test_a_file_says_which_question_it_answers_and_where_it_was_cut_is_no_part_of_it(
    filled: Any, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = question_of(filled.url, "features.daily", AS_OF, newest(filled))
    made = write_export(filled.url, store, question)
    [first, _] = made.files
    content = store.get(first.key, first.sha256)
    noted = json.loads(pyarrow.parquet.read_metadata(io.BytesIO(content)).metadata[b"tradeloom"])
    assert noted == {**question.as_dict(), "year": 2023, "rows": 168, "rows_sha256": first.rows_sha256}
    assert (noted["watermark"], noted["as_of"], noted["definition"]) == (
        newest(filled),
        AS_OF.isoformat(),
        question.definition,
    )
    hashes = """
        select string_agg(encode(row_hash, 'hex'), '' order by source, symbol, timestamp)
        from features.daily_as_of(%s, %s, %s) where timestamp < '2024-01-01'
    """
    whole = filled.one(hashes, question.definition, AS_OF, question.watermark)
    assert first.rows_sha256 == hashlib.sha256(whole.encode()).hexdigest()
    monkeypatch.setattr(export_rows, "_BLOCK", 5_000)
    assert write_export(filled.url, store, question) == made


def test_what_has_no_answer_is_refused(filled: Any, store: ObjectStore) -> None:
    w = newest(filled)
    with pytest.raises(InputError, match=f"expected a watermark up to {w}, the newest, found {w + 1}"):
        write_export(filled.url, store, question_of(filled.url, "features.daily", AS_OF, w + 1))
    with pytest.raises(InputError, match=r"expected rows of raw.price_bars to export, found none as of 1999"):
        write_export(filled.url, store, question_of(filled.url, export_rows.BARS, datetime(1999, 1, 1, tzinfo=UTC), w))
    with pytest.raises(InputError, match=r"expected one of marts.indicators, .*, found 'features.hourly'"):
        question_of(filled.url, "features.hourly", AS_OF, w)
    with pytest.raises(NaiveTimeError):
        question_of(filled.url, export_rows.BARS, AS_OF.replace(tzinfo=None), w)


def test_an_answer_of_which_a_version_was_compacted_is_refused(filled: Any, store: ObjectStore) -> None:
    for later in (1, 2, 3):
        filled.publish("files", [bar(filled, "AAA", 40, str(later), known_at=AS_OF + timedelta(days=later))])
        filled.advance()
    first, between, after = (AS_OF + timedelta(days=days) for days in (-20, 2.5, 4))
    w = newest(filled)
    before = [
        write_export(filled.url, store, question_of(filled.url, "features.daily", at, w)) for at in (first, after)
    ]
    retention.compact(filled.url, datetime(2100, 1, 1, tzinfo=UTC))
    with pytest.raises(CompactedError, match="was compacted; ask for a later time or watermark"):
        write_export(filled.url, store, question_of(filled.url, "features.daily", between, w))
    for at, made in zip((first, after), before, strict=True):
        assert write_export(filled.url, store, question_of(filled.url, "features.daily", at, w)) == made


def test_the_command_says_what_it_wrote(
    filled: Any, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    values = {
        "HOME": str(tmp_path), "POSTGRES_URL": filled.url, "S3_ENDPOINT": store.endpoint, "S3_BUCKET": store.bucket,
        "S3_ACCESS_KEY": store.access_key, "S3_SECRET_KEY": store.secret_key,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    words = ["features", "export", "--view", "raw.price_bars", "--as-of", AS_OF.isoformat(), "--source", "files"]
    told = json.loads(CliRunner().invoke(tradeloom, [*words, "--json"], catch_exceptions=False).stdout)
    assert (told["rows"], told["watermark"], told["source"]) == (122, newest(filled), "files")
    assert read_export(store, told["key"]).as_dict() == told
    lines = CliRunner().invoke(tradeloom, words, catch_exceptions=False).stdout.splitlines()
    assert lines[-1] == f"122 rows of raw.price_bars as of watermark {told['watermark']}; their list: {told['key']}"
