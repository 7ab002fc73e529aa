"""Compaction takes away what nobody refers to, remembers it, and is refused for everything else."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas
import psycopg
import pytest

from feature_store import retention
from feature_store.leaks.definitions import judge_definition, rolled_back
from feature_store.leaks.subjects import registered
from infra.postgres.versions import version_shares
from trading.errors import CompactedError, InputError

pytestmark = pytest.mark.engines

DAY = date(2020, 1, 6)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def revised(warehouse: Any) -> Any:
    """One bar that was revised three times, each time advanced: four versions in each view."""
    for n, close in enumerate(("10", "11", "12", "13")):
        known_at = datetime(2020, 1, 6, 21, 15, tzinfo=UTC) + timedelta(days=n)
        low, high = Decimal(5), Decimal(50)
        bar = warehouse.Bar("AAA", DAY, Decimal(10), high, low, Decimal(close), 100, known_at)
        warehouse.publish("files", [bar])
        warehouse.advance()
    return warehouse


def versions(w: Any, view: str) -> list[tuple[int, float]]:
    return w.all(f"select row_id, close from {view} order by known_at, watermark, row_id")


def decide_from(w: Any, row_id: int, status: str = "finished") -> None:
    """Write a session with one decision made from a daily row."""
    finished = datetime(2020, 2, 1, tzinfo=UTC) if status == "finished" else None
    w.conn.execute(
        "insert into trading.sessions (session_id, name, mode, source, interval, symbols, model_name, model_version,"
        " weights_sha256, feature_service, currency, starting_cash, costs, risk, latency, first_timestamp, last_timestamp,"
        " watermark, status, created_at, finished_at, trace_id) values ('s', 'held', 'replay', 'files', '1d', '{AAA}', 'm',"
        " '1', 'w', '{}', 'USD', 1, '{}', '{}', '0', now(), now(), 1, %s, now(), %s, 't')",
        (status, finished),
    )
    bar_id, bar_hash = w.all("select bar_id, row_hash from raw.price_bars limit 1")[0]
    row_hash = w.one("select row_hash from features.daily where row_id = %s", row_id)
    w.conn.execute(
        "insert into trading.decisions (decision_id, session_id, symbol, timestamp, as_of, watermark, decided_at, source,"
        " bar_id, bar_row_hash, feature_row_id, feature_row_hash, model_name, model_version, weights_sha256, action,"
        " price_usd, position_quantity, cash_usd, equity_usd, outcome, trace_id, row_hash) values ('d', 's', 'AAA', now(),"
        " now(), 1, now(), 'files', %s, %s, %s, %s, 'm', '1', 'w', 0, 1, 0, 1, 1, 'held', 't', %s)",
        (bar_id, bar_hash, row_id, row_hash, secrets.token_bytes(32)),
    )


def test_intermediate_versions_go_and_first_print_and_newest_stay(revised: Any) -> None:
    told = retention.compactable(revised.url, LATER)
    done = retention.compact(revised.url, LATER)
    assert [(one.view, one.row_count) for one in done] == [("features.daily", 2), ("marts.indicators", 2)]
    assert told[0] == done[0]
    for view in ("features.daily", "marts.indicators"):
        assert [close for _, close in versions(revised, view)] == [10.0, 13.0]
    remembered = revised.all("select view, count(*) from features.compacted_rows group by view order by view")
    assert remembered == [("features.daily", 2), ("marts.indicators", 2)]


def test_what_went_is_computed_again_from_raw_to_the_last_bit(revised: Any) -> None:
    before = revised.all(
        "select row_hash, known_at, definition from features.daily where close in (11, 12) order by known_at"
    )
    retention.compact(revised.url, LATER)
    newest = revised.one("select raw.newest_watermark()")
    timestamp = datetime(2020, 1, 6, tzinfo=UTC)
    for row_hash, known_at, definition in before:
        again = revised.store.recompute(definition, "files", "AAA", "1d", timestamp, known_at, newest)
        assert again is not None
        assert bytes.fromhex(again.row_hash) == row_hash


def test_a_row_that_a_decision_was_made_from_stays_with_the_indicator_row_below_it(revised: Any) -> None:
    second = versions(revised, "features.daily")[1][0]
    decide_from(revised, second)
    retention.compact(revised.url, LATER)
    assert [close for _, close in versions(revised, "features.daily")] == [10.0, 11.0, 13.0]
    assert [close for _, close in versions(revised, "marts.indicators")] == [10.0, 11.0, 13.0]


def test_what_was_superseded_lately_stays(revised: Any) -> None:
    assert [one.row_count for one in retention.compact(revised.url, datetime(2020, 1, 8, 22, tzinfo=UTC))] == [0, 0]
    assert len(versions(revised, "features.daily")) == 4


def test_while_a_session_runs_nothing_is_compacted(revised: Any) -> None:
    decide_from(revised, versions(revised, "features.daily")[1][0], status="running")
    with pytest.raises(InputError, match="no running session, found held"):
        retention.compact(revised.url, LATER)
    assert len(versions(revised, "features.daily")) == 4


def test_the_database_refuses_a_delete_that_no_compaction_founded(revised: Any) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="was not compacted"):
        revised.conn.execute("delete from features.daily where close = 11")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        revised.conn.execute("update features.daily set close = 1")


def test_the_database_refuses_to_lose_a_referred_or_newest_row_even_if_a_compaction_names_it(revised: Any) -> None:
    second, newest = versions(revised, "features.daily")[1][0], versions(revised, "features.daily")[3][0]
    decide_from(revised, second)
    for row_id in (second, newest):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="is still referred to or is the newest"):
            _delete_as_if_compacted(revised, row_id)
    assert len(versions(revised, "features.daily")) == 4


def _delete_as_if_compacted(w: Any, row_id: int) -> None:
    with w.conn.transaction():
        compaction = w.one(
            "insert into features.compactions (definition, superseded_before, row_count, trace_id)"
            " select definition, now(), 1, 't' from features.daily where row_id = %s returning compaction_id",
            row_id,
        )
        w.conn.execute(
            "insert into features.compacted_rows select 'features.daily', row_id, %s, definition, source, symbol, interval,"
            " timestamp, known_at, watermark, row_hash, known_at, watermark from features.daily where row_id = %s",
            (compaction, row_id),
        )
        w.conn.execute("delete from features.daily where row_id = %s", (row_id,))


def test_the_share_of_superseded_rows_is_told_per_table(revised: Any) -> None:
    told = [(one.view, one.row_count, one.superseded, one.intermediate) for one in version_shares(revised.url)]
    assert told == [("features.daily", 4, 3, 2), ("marts.indicators", 4, 3, 2)]
    retention.compact(revised.url, LATER)
    assert [(one.row_count, one.intermediate) for one in version_shares(revised.url)] == [(2, 0), (2, 0)]


def test_an_unknown_definition_is_refused_in_one_line(revised: Any) -> None:
    with pytest.raises(InputError, match="expected one definition beginning with 'zz', found none"):
        retention.compact(revised.url, LATER, "zz")


def test_what_became_known_before_a_compacted_version_starts_from_its_state_all_the_same(warehouse: Any) -> None:
    """The second bar is revised for a moment at which a compacted version of the first one was in force."""
    w, low, high = warehouse, Decimal(5), Decimal(50)

    def publish(day: date, close: str, known_at: datetime) -> None:
        w.publish("files", [w.Bar("AAA", day, Decimal(10), high, low, Decimal(close), 100, known_at)])
        w.advance()

    second = DAY + timedelta(days=1)
    for n, close in enumerate(("10", "11", "12", "13")):
        publish(DAY, close, datetime(2020, 1, 10, tzinfo=UTC) + timedelta(days=n))
    publish(second, "20", datetime(2020, 1, 20, tzinfo=UTC))
    retention.compact(w.url, LATER)
    publish(second, "21", datetime(2020, 1, 11, 12, tzinfo=UTC))

    definition, newest = w.active("marts.indicators"), w.one("select raw.newest_watermark()")
    for as_of in (datetime(2020, 1, 11, 12, tzinfo=UTC), datetime(2020, 1, 12, tzinfo=UTC), LATER):
        found = w.all(
            "select timestamp, row_hash from features.indicators_as_of(%s, %s, %s) where timestamp::date = %s",
            definition, as_of, newest, second,
        )  # fmt: skip
        ((timestamp, row_hash),) = found
        again = w.all(
            "select row_hash from features.recompute(%s, 'files', 'AAA', '1d', %s, %s, %s)",
            definition, timestamp, as_of, newest,
        )  # fmt: skip
        assert again == [(row_hash,)]


def test_a_question_that_a_compacted_version_answered_is_refused_and_every_other_answered(revised: Any) -> None:
    service, store = revised.store.newest_service("test"), revised.store
    days = [datetime(2020, 1, 6, 22, tzinfo=UTC) + timedelta(days=n) for n in range(4)]
    asked = pandas.DataFrame({"symbol": "AAA", "as_of": pandas.to_datetime(days, utc=True), "source": "files"})
    assert store.as_of_join(service, asked)["close"].tolist() == [10.0, 11.0, 12.0, 13.0]
    by_watermark = revised.one("select watermark from features.daily where close = 12")
    retention.compact(revised.url, LATER)

    for day, close in ((days[0], 10.0), (days[3], 13.0)):
        (row,) = store.latest(service, ["AAA"], day, source="files")
        assert row.values["close"] == close
        assert store.features(service, ["AAA"], as_of=day, source="files")["close"].tolist() == [close]
    assert store.as_of_join(service, asked.iloc[[0, 3]])["close"].tolist() == [10.0, 13.0]
    for question in (
        lambda: store.latest(service, ["AAA"], days[1], source="files"),
        lambda: store.features(service, ["AAA"], as_of=days[2], source="files"),
        lambda: store.features(service, ["AAA"], watermark=by_watermark, source="files"),
        lambda: store.as_of_join(service, asked),
    ):
        with pytest.raises(CompactedError, match=r"AAA 2020-01-06 as known at .* was compacted"):
            question()


@pytest.mark.parametrize("view", ["features.daily", "marts.indicators"])
def test_the_leak_gate_says_nothing_of_rows_whose_version_was_compacted_and_still_judges_all_others(
    revised: Any, view: str
) -> None:
    retention.compact(revised.url, LATER)
    with rolled_back(revised.url) as conn:
        report = judge_definition(conn, registered(conn, revised.active(view)))
    assert report.moments >= 2
    assert report.passed, report.sentences()


def test_a_first_print_of_an_earlier_publication_stays_when_an_older_drop_came_later(warehouse: Any) -> None:
    w, low, high = warehouse, Decimal(5), Decimal(50)

    def publish(close: str, known_at: datetime) -> int:
        watermark = w.publish("files", [w.Bar("AAA", DAY, Decimal(10), high, low, Decimal(close), 100, known_at)])
        w.advance()
        return int(watermark)

    publish("10", datetime(2020, 1, 7, tzinfo=UTC))
    publish("11", datetime(2020, 1, 8, tzinfo=UTC))
    before = w.one("select raw.newest_watermark()")
    publish("9", datetime(2020, 1, 6, 22, tzinfo=UTC))
    service, span = w.store.newest_service("test"), (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 1, tzinfo=UTC))
    asked = {"source": "files", "watermark": before}
    assert w.store.training_set(service, ["AAA"], *span, **asked)["close"].tolist() == [10.0]
    retention.compact(w.url, LATER)
    assert w.store.training_set(service, ["AAA"], *span, **asked)["close"].tolist() == [10.0]
    assert w.store.training_set(service, ["AAA"], *span, source="files")["close"].tolist() == [9.0]
