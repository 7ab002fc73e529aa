"""The daily feature: news by the decision's time, versions when late news counts, and the questions of the store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from feature_store import definitions
from feature_store.snapshots import Snapshot, read_snapshot, snapshot_id, write_snapshot
from trading.adapters.object_store import ObjectStore
from trading.errors import EngineUnavailableError, InputError, NaiveTimeError

pytestmark = pytest.mark.engines

MONDAY = date(2020, 1, 6)
DAYS = [MONDAY + timedelta(days=n) for n in range(5)]
ENDLESS = 2**62


def at(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def bars(w: Any, days: list[date], symbol: str = "X", close: int = 100) -> list[Any]:
    return [w.Bar(symbol, day, *(Decimal(close + day.day),) * 4, 10) for day in days]


@pytest.fixture
def scored(warehouse: Any) -> Any:
    """Five sessions of X, the calendar around them, and a daily definition that reads the head's first version."""
    w = warehouse
    w.fill_calendar(date(2019, 12, 2), date(2020, 2, 28))
    w.conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
        " is_draft, known_at, watermark, row_hash) values ('X', 'equity', 'XNYS', 'USD', 0.01, 1, 1, false, '1970-01-01Z',"
        " raw.take_watermark('test'), sha256('x'))"
    )
    text = definitions.definition(w.url, w.active("features.daily")).sql
    sql = text.replace("'none'", "'head'").replace("'0'", "'1'")
    definitions.register(w.url, "features.daily", sql, {"scorer": "head", "scorer_version": "1"})
    w.publish("sample", bars(w, DAYS))
    w.advance()
    return w


def sentiments(w: Any, as_of: datetime | None = None, watermark: int | None = None) -> list[float]:
    return list(w.store.features(w.store.newest_service("daily"), ["X"], as_of, watermark)["sentiment"])


def test_news_counts_from_the_session_whose_decision_it_precedes(scored: Any) -> None:
    w = scored
    w.score(w.publish_news("one", "X", at(DAYS[1], 15)), 0.5)
    w.advance()
    assert sentiments(w) == [0.0, 0.5, 0.5, 0.5, 0.5]
    row = w.store.row(w.store.newest_service("daily"), "X", at(DAYS[4], 23))
    assert (row.sentiment, row.sentiment_items) == (0.5, 1)
    assert w.store.verify(row)


def test_a_back_dated_headline_makes_new_versions_and_old_watermarks_keep_their_answer(scored: Any) -> None:
    w = scored
    before = w.one("select raw.newest_watermark()")
    remembered = w.store.row(w.store.newest_service("daily"), "X", at(DAYS[2], 23), before)
    w.score(w.publish_news("back-dated", "X", at(DAYS[1], 15)), -1.0)
    w.advance()
    assert sentiments(w) == [0.0, -1.0, -1.0, -1.0, -1.0]
    assert sentiments(w, watermark=before) == [0.0] * 5
    assert w.store.row(w.store.newest_service("daily"), "X", at(DAYS[2], 23), before) == remembered
    again = w.store.recompute(remembered.definition, "sample", "X", "1d", remembered.timestamp, at(DAYS[2], 23), before)
    assert again.row_hash == remembered.row_hash
    now = w.store.row(w.store.newest_service("daily"), "X", at(DAYS[2], 23))
    assert (now.sentiment, now.known_at) == (-1.0, remembered.known_at)
    assert (
        w.store.recompute(now.definition, "sample", "X", "1d", now.timestamp, now.known_at, ENDLESS).row_hash
        == now.row_hash
    )


def test_a_headline_delivered_late_changes_no_earlier_decision(scored: Any) -> None:
    w = scored
    w.score(w.publish_news("late", "X", at(DAYS[1], 15), known_at=at(DAYS[3], 15)), 1.0)
    w.advance()
    assert sentiments(w) == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_a_correction_that_drops_the_symbol_takes_its_news_away_from_then_on(scored: Any) -> None:
    w = scored
    w.score(w.publish_news("one", "X", at(DAYS[0], 15)), 1.0)
    w.advance()
    w.publish_news("one", "Y", at(DAYS[0], 15), known_at=at(DAYS[2], 15))
    w.advance()
    assert sentiments(w) == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_scores_of_another_scorer_add_no_row(scored: Any) -> None:
    w = scored
    item = w.publish_news("one", "X", at(DAYS[0], 15))
    w.score(item, 1.0)
    w.advance()
    rows = w.one("select count(*) from features.daily")
    w.score(item, -1.0, scorer="llm:other")
    w.advance()
    assert w.one("select count(*) from features.daily") == rows


def test_advance_with_nothing_new_writes_nothing(scored: Any) -> None:
    w = scored
    counts = "select (select count(*) from raw.watermarks), (select count(*) from features.advances)"
    before = w.all(counts)
    w.advance()
    assert w.all(counts) == before


def test_publishing_and_advancing_may_share_one_transaction(scored: Any) -> None:
    w = scored
    with w.conn.transaction():
        for day in (date(2020, 1, 13), date(2020, 1, 14)):
            w.publish("sample", bars(w, [day]))
            w.conn.execute("call features.advance()")
    assert len(sentiments(w)) == 7


def test_training_takes_each_row_as_it_was_when_it_was_decided_on(scored: Any) -> None:
    w = scored
    service = w.store.newest_service("daily")
    revised = w.Bar("X", DAYS[1], *(Decimal(500),) * 4, 10, at(date(2020, 3, 1), 12))
    w.publish("sample", [revised])
    w.advance()
    trained = w.store.training_set(service, ["X"], at(DAYS[0], 0), at(DAYS[3], 0))
    assert list(trained["close"]) == [106.0, 107.0, 108.0, 109.0]
    assert (trained["known_at"] == trained["decision_at"]).all()
    assert list(w.store.features(service, ["X"])["close"]) == [106.0, 500.0, 108.0, 109.0, 110.0]
    assert list(w.store.features(service, ["X"], as_of=at(DAYS[2], 23))["close"]) == [106.0, 107.0, 108.0]


def test_the_source_of_best_precedence_that_has_the_symbol_serves_it(scored: Any) -> None:
    w = scored
    service = w.store.newest_service("daily")
    before = w.one("select raw.newest_watermark()")
    w.publish("files", bars(w, DAYS[:4], close=200))
    w.advance()
    evening = at(DAYS[4], 23)
    assert w.store.row(service, "X", evening).source == "files"
    assert w.store.row(service, "X", evening).values["close"] == 209.0
    assert w.store.row(service, "X", evening, source="sample").values["close"] == 110.0
    assert w.store.row(service, "X", evening, before).source == "sample"
    assert set(w.store.features(service, ["X"])["source"]) == {"files"}
    assert w.store.row(service, "NONE", evening) is None
    assert [row.symbol for row in w.store.latest(service, ["NONE", "X"], evening)] == ["X"]


def test_a_late_revision_of_an_old_bar_is_not_the_latest_row(scored: Any) -> None:
    w = scored
    w.publish("sample", [w.Bar("X", DAYS[0], *(Decimal(7),) * 4, 1, at(date(2020, 3, 1), 12))])
    w.advance()
    row = w.store.row(w.store.newest_service("daily"), "X", at(date(2020, 3, 2), 12))
    assert row.timestamp == at(DAYS[4], 0)


def test_a_naive_time_is_refused(scored: Any) -> None:
    with pytest.raises(NaiveTimeError, match="with a zone"):
        scored.store.row(scored.store.newest_service("daily"), "X", datetime(2020, 1, 1))  # noqa: DTZ001


def test_a_text_is_no_list_of_symbols_and_no_moment(scored: Any) -> None:
    service, evening = scored.store.newest_service("daily"), at(DAYS[4], 23)
    for asked in (scored.store.latest, scored.store.features):
        with pytest.raises(InputError, match=r"expected a list of symbols, found the text 'X'; write \['X'\]"):
            asked(service, "X", as_of=evening)
        with pytest.raises(InputError, match="expected a datetime with a zone, found '2020-01-10'"):
            asked(service, ["X"], as_of="2020-01-10")
    with pytest.raises(InputError, match="expected a list of symbols"):
        scored.store.training_set(service, "X", at(DAYS[0], 0), evening)


def test_a_lost_connection_is_opened_again_and_a_lost_server_is_one_line(scored: Any, database_url: str) -> None:
    w = scored
    service = w.store.newest_service("daily")
    assert w.store.row(service, "X", at(DAYS[4], 23)) is not None
    w.conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tradeloom-features'"
    )
    assert w.store.row(service, "X", at(DAYS[4], 23)) is not None
    from feature_store.store import FeatureStore

    with pytest.raises(EngineUnavailableError, match="tradeloom up"):
        FeatureStore("postgresql://nobody@/nothing?host=/nowhere").newest_service("daily")


def test_a_snapshot_is_read_back_whole(scored: Any, object_store_settings: Any) -> None:
    w = scored
    s3 = object_store_settings
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, s3.bucket)
    frame = w.store.training_set(w.store.newest_service("daily"), ["X"], at(DAYS[0], 0), at(DAYS[4], 0))
    snapshot = write_snapshot(frame, store)
    assert snapshot.rows == 5
    assert write_snapshot(frame, store) == snapshot
    assert snapshot_id(read_snapshot(snapshot, store)) == snapshot.snapshot_id
    assert Snapshot(**snapshot.to_dict()) == snapshot


def test_the_command_shows_the_newest_row_known_then(scored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from click.testing import CliRunner

    from orchestration.commands.features import features

    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", scored.url)
    asked = ["--symbols", "X,NONE", "--as-of", "2020-01-08T22:00:00Z"]
    told = CliRunner().invoke(features, [*asked, "--json"], catch_exceptions=False)
    (row,) = json.loads(told.output)["rows"]
    assert (row["symbol"], row["timestamp"], row["close"]) == ("X", "2020-01-08T00:00:00+00:00", 108.0)
    assert row["known_at"] <= "2020-01-08T22:00:00+00:00"
    history = CliRunner().invoke(features, [*asked, "--history", "--json"], catch_exceptions=False)
    assert [row["close"] for row in json.loads(history.output)["rows"]] == [106.0, 107.0, 108.0]
    assert "2020-01-08" in CliRunner().invoke(features, asked, catch_exceptions=False).output


def test_the_command_says_how_old_a_row_is_and_when_that_is_too_old(
    scored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from click.testing import CliRunner

    from orchestration.commands.features import features

    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", scored.url)

    daily = definitions.definition(scored.url, scored.active("features.daily"))
    definitions.register(scored.url, daily.view, daily.sql, {**daily.parameters, "max_age_sessions": 3})
    scored.advance()

    def told(as_of: str) -> str:
        return CliRunner().invoke(features, ["--symbols", "X", "--as-of", as_of], catch_exceptions=False).output

    assert told("2020-01-11T22:00:00Z").endswith("  0 sessions old\n")
    assert told("2020-01-13T22:00:00Z").endswith("  1 session old\n")
    # The 13th to the 16th, recorded or not, are four: the limit of the definition is three.
    assert told("2020-01-16T22:00:00Z").endswith("  4 sessions old, stale: at most 3\n")
    asked = ["--symbols", "X", "--as-of", "2020-01-16T22:00:00Z", "--json"]
    (row,) = json.loads(CliRunner().invoke(features, asked, catch_exceptions=False).output)["rows"]
    assert (row["age_sessions"], row["max_age_sessions"], row["is_stale"]) == (4, 3, True)
