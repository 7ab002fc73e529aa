"""The as-of join on a warehouse: both plans against a search through every row, and what a local copy may be."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from feature_store import FeatureStore, asof, copies
from feature_store.services import FeatureService
from trading.errors import InputError, NaiveTimeError

pytestmark = pytest.mark.engines

SERVICE = FeatureService("t", "features.daily", "c" * 64, ("close", "rsi_14"), "none", "0")
FIRST = datetime(2020, 1, 6, tzinfo=UTC)
SERIES = [("files", "X"), ("sample", "X"), ("sample", "Y")]

Row = dict[str, object]


def open_table(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("select raw.take_watermark('test')")
        conn.execute(
            "insert into features.definitions (definition, view, sql, functions, columns, parameters, watermark) values"
            " (%s, %s, 'invented', '{}', %s, '{}', raw.newest_watermark())",
            (SERVICE.definition, SERVICE.view, list(SERVICE.columns)),
        )
        conn.execute(
            "insert into features.definition_events (definition, status, watermark)"
            " values (%s, 'active', raw.newest_watermark())",
            (SERVICE.definition,),
        )


def publish(url: str, dice: random.Random, count: int) -> list[Row]:
    """Publish rows of few days and few moments: late bars, revisions and equal known_at come by themselves."""
    rows = []
    with psycopg.connect(url, options="-c timezone=UTC") as conn:
        watermark = conn.execute("select raw.take_watermark('test')").fetchone()[0]
        conn.execute("select raw.make_partitions('prices', array[%s::timestamptz])", (FIRST,))
        for _ in range(count):
            source, symbol = dice.choice(SERIES)
            day = dice.randrange(5)
            row = {
                "source": source,
                "symbol": symbol,
                "timestamp": FIRST + timedelta(days=day),
                "known_at": FIRST + timedelta(days=day + dice.choice((0, 0, 1, 3)), hours=21),
                "watermark": watermark,
                "close": dice.choice((dice.random(), None)),
            }
            row["row_id"] = conn.execute(
                "insert into features.daily (source, symbol, interval, timestamp, known_at, watermark, source_watermark,"
                " definition, row_hash, decision_at, indicator_row_id, indicator_row_hash, sentiment_items, close, rsi_14)"
                " values (%s, %s, '1d', %s, %s, %s, %s, %s, %s, %s, 1, %s, 0, %s, 50) returning row_id",
                (
                    source, symbol, row["timestamp"], row["known_at"], watermark, watermark, SERVICE.definition,
                    dice.randbytes(32), row["timestamp"] + timedelta(hours=21), b"i" * 32, row["close"],
                ),
            ).fetchone()[0]  # fmt: skip
            rows.append(row)
        conn.execute(
            "insert into features.advances (definition, source_watermark, watermark, row_count) values (%s, %s, %s, %s)",
            (SERVICE.definition, watermark, watermark, count),
        )
    return rows


def brute_force(rows: list[Row], symbol: str, as_of: datetime, watermark: int, source: str | None) -> Row | None:
    for name in ("files", "sample") if source is None else (source,):
        known = [
            row for row in rows
            if (row["source"], row["symbol"]) == (name, symbol)
            and row["known_at"] <= as_of and row["watermark"] <= watermark
        ]  # fmt: skip
        if known:
            return max(known, key=lambda row: (row["timestamp"], row["known_at"], row["watermark"], row["row_id"]))
    return None


def entities(with_source: bool = False) -> pd.DataFrame:
    moments = [FIRST + timedelta(hours=9 * step) for step in range(-2, 30)]
    asked = [(symbol, moment, "sample") for moment in moments for symbol in ("Y", "X", "unknown")]
    frame = pd.DataFrame(asked, columns=["symbol", "as_of", "source"], index=range(7, 7 + len(asked)))
    return frame if with_source else frame.drop(columns="source")


def row_ids(frame: pd.DataFrame) -> list[int | None]:
    return [None if number is pd.NA else int(number) for number in frame["row_id"]]


@pytest.fixture
def table(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path, list[Row]]:
    open_table(database_url)
    dice = random.Random(3)
    rows = [row for _ in range(4) for row in publish(database_url, dice, 20)]
    return database_url, tmp_path, rows


@pytest.mark.parametrize("with_source", [False, True], ids=["by precedence", "named source"])
def test_both_plans_answer_what_a_search_through_all_rows_finds(table, monkeypatch, with_source):
    url, folder, rows = table
    store, asked = FeatureStore(url, folder), entities(with_source)
    watermarks = sorted({row["watermark"] for row in rows})
    for watermark in (None, watermarks[1], 0):
        upto = 2**62 if watermark is None else watermark
        source = "sample" if with_source else None
        expected = [
            brute_force(rows, symbol, as_of, upto, source)
            for symbol, as_of in zip(asked["symbol"], asked["as_of"], strict=True)
        ]
        looked_up = store.as_of_join(SERVICE, asked, watermark)
        monkeypatch.setattr(asof, "FEW", 0)
        joined = store.as_of_join(SERVICE, asked, watermark)
        monkeypatch.setattr(asof, "FEW", 5_000)
        assert row_ids(looked_up) == [row and row["row_id"] for row in expected]
        closes = [float("nan") if row is None or row["close"] is None else row["close"] for row in expected]
        pd.testing.assert_series_equal(looked_up["close"], pd.Series(closes, name="close", index=asked.index))
        pd.testing.assert_frame_equal(joined, looked_up)
    store.close()


def test_what_is_published_after_the_copy_is_in_the_next_answer(table, monkeypatch):
    url, folder, rows = table
    store, asked = FeatureStore(url, folder), entities()
    monkeypatch.setattr(asof, "FEW", 0)
    monkeypatch.setattr(copies, "MOST_CHUNKS", 2)
    dice = random.Random(9)
    for _ in range(4):  # the copy grows by chunks, and then becomes one
        before = store.as_of_join(SERVICE, asked)
        newest = max(row["watermark"] for row in rows)
        rows += publish(url, dice, 10)
        after = store.as_of_join(SERVICE, asked)
        expected = [brute_force(rows, s, t, 2**62, None) for s, t in zip(asked["symbol"], asked["as_of"], strict=True)]
        assert row_ids(after) == [row and row["row_id"] for row in expected]
        pd.testing.assert_frame_equal(store.as_of_join(SERVICE, asked, newest), before)
    assert len(list(folder.rglob("*.parquet"))) <= 2
    store.close()


def test_a_damaged_copy_and_one_of_another_database_are_made_again(table, monkeypatch):
    url, folder, _ = table
    store, asked = FeatureStore(url, folder), entities()
    monkeypatch.setattr(asof, "FEW", 0)
    right = store.as_of_join(SERVICE, asked)
    (chunk,) = folder.rglob("*.parquet")
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-9] + b"x" + content[-8:])
    pd.testing.assert_frame_equal(store.as_of_join(SERVICE, asked), right)
    chunk.write_bytes(b"")
    after, upto, published_at, digest = chunk.stem.split("-")
    other = chunk.with_name(f"{after}-{upto}-{int(published_at) - 1}-{digest}.parquet")
    other.write_bytes(content)
    pd.testing.assert_frame_equal(store.as_of_join(SERVICE, asked), right)
    store.close()


def test_joins_at_once_share_a_folder(table, monkeypatch):
    url, folder, _ = table
    asked = entities()
    monkeypatch.setattr(asof, "FEW", 0)

    def join(_: int) -> pd.DataFrame:
        store = FeatureStore(url, folder)
        try:
            return store.as_of_join(SERVICE, asked)
        finally:
            store.close()

    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(join, range(8)))
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])
    assert not list(folder.rglob("*.part"))


def test_a_frame_keeps_its_other_columns_and_its_index(table):
    url, folder, _ = table
    store = FeatureStore(url, folder)
    asked = entities().iloc[30:34].assign(label=[1, 2, 3, 4])
    joined = store.as_of_join(SERVICE, asked)
    pd.testing.assert_frame_equal(joined[["symbol", "as_of", "label"]], asked)
    assert store.as_of_join(SERVICE, asked.iloc[:0]).empty
    store.close()


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"as_of": pd.to_datetime(["2020-01-06"])}, NaiveTimeError, "expected times with a zone in as_of"),
        ({"as_of": ["2020-01-06"]}, InputError, "expected times in as_of, found"),
        ({"symbol": [None]}, InputError, "expected symbol in every row"),
        ({"close": [1.0]}, InputError, "expected no column of an answer's name, found close"),
    ],
    ids=["naive", "text", "empty", "taken"],
)
def test_a_frame_that_asks_for_nothing_is_refused(table, changed, error, words):
    url, folder, _ = table
    asked = pd.DataFrame({"symbol": ["X"], "as_of": pd.to_datetime(["2020-01-06"], utc=True)}).assign(**changed)
    with pytest.raises(error, match=words):
        FeatureStore(url, folder).as_of_join(SERVICE, asked)
