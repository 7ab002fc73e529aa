"""Whom a corrected membership reaches: what was made under its universe, as far as its answer was the one before."""

from __future__ import annotations

import random
import secrets
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.scope import MarketScope
from assets.series import members_rows, series_of
from assets.training import Prepared, prepare
from feature_store.blast_report import BlastRadius, blast_radius
from orchestration.rebuild import rebuild
from trading.adapters.backtests import BacktestTerms, record_backtest
from trading.adapters.memberships import Publications
from trading.adapters.postgres import Warehouse
from trading.adapters.recalls import NEWEST, Asked
from trading.adapters.registry import VersionInfo
from trading.adapters.session_universes import record_session_universe
from trading.backtest import BacktestSettings, run_backtest
from trading.calendar import exchange_sessions
from trading.strategy import BuyAndHold

pytestmark = pytest.mark.engines
DAYS = [one.session_date for one in exchange_sessions("XNYS", date(2012, 1, 3), date(2012, 12, 31))][:130]
TRAINED, JUDGED, REPLAYED = DAYS[50:85], DAYS[90:110], DAYS[110:]
LATER = datetime(2013, 2, 1, tzinfo=UTC)
BIG = MarketScope(source="files", universe="big", adjustment="split")


@pytest.fixture
def settled(market: Any) -> Any:
    """AAA and DEAD belong to `big` and to `other`; DEAD left `big` in the judging window, NEW never belonged."""
    lines = [f"{universe},{symbol},{DAYS[0]},true" for universe in ("big", "other") for symbol in ("AAA", "DEAD")]
    market("universe", *lines, f"big,DEAD,{JUDGED[12]},false")
    return market


def prepared(market: Any, scope: MarketScope = BIG) -> Prepared:
    return prepare(scope, Warehouse(market.url), market.store)


def walked(market: Any, made: Prepared, version: str = "1", scope: MarketScope = BIG, **terms: Any) -> str:
    """Walk the judging window and keep it, as assets/evaluation.py does."""
    warehouse, window = Warehouse(market.url), made.windows.judging
    rows = members_rows(warehouse, made.service, scope, made.symbols, window, made.watermark)
    result = run_backtest(BuyAndHold(), series_of(warehouse, rows, scope, window), BacktestSettings())
    named = {"model_name": "trader-daily", "model_version": version, "weights_sha256": "w", "snapshot_id": None}
    read = {"definition": made.service.definition, "symbols": made.symbols, "watermark": made.watermark}
    kept = BacktestTerms(**{**named, **read, **terms}, scope=scope.terms(), settings=BacktestSettings())
    with warehouse.connection() as conn:
        return record_backtest(conn, kept, result, {})


def corrected(market: Any, *lines: str, **when: Any) -> int:
    """Deliver memberships and return the batch."""
    return int(market("universe", *lines, now=LATER, **when).batch_ids[0])


def told_live(market: Any, *lines: str) -> int:
    return corrected(market, *lines, mode="live", delivered_at=LATER - timedelta(days=1))


def reached(market: Any, registry: Any = None, **asked: Any) -> BlastRadius:
    with psycopg.connect(market.url) as conn:
        return blast_radius(conn, Asked(**asked), registry)


def days(found: BlastRadius) -> dict[str, tuple[int, int]]:
    return {one.snapshot_id: (one.days, one.days_differ) for one in found.reach.snapshots}


def test_a_back_dated_removal_reaches_what_was_made_under_its_universe_and_no_other(settled: Any) -> None:
    made, other = prepared(settled), prepared(settled, MarketScope(source="files", universe="other"))
    built_in = prepared(settled, MarketScope(source="files"))
    assert made.snapshot.snapshot_id == other.snapshot.snapshot_id == built_in.snapshot.snapshot_id
    mine = walked(settled, made)
    walked(settled, other, scope=MarketScope(source="files", universe="other"))
    batch = corrected(settled, f"big,DEAD,{TRAINED[0]},false")
    found = reached(settled, batch=batch)
    assert [(one.what, one.why, one.symbol, one.key, one.detail) for one in found.reach.changes] == [
        ("universe", "late", "DEAD", str(TRAINED[0]), "no member of big came late")
    ]
    (snapshot,) = found.reach.snapshots  # the same rows, but frozen under another universe, are not reached
    assert (snapshot.universe, snapshot.days, snapshot.days_differ) == ("big", len(TRAINED), len(TRAINED))
    assert (snapshot.interval, snapshot.adjustment, snapshot.asked_symbols) == ("1d", "split", [])
    assert [(one.backtest_id, one.by, one.days, one.days_differ) for one in found.backtests] == [
        (mine, "universe", 12, 12)
    ]
    assert (found.reach.rows, found.reach.memberships.not_tried.training_sets) == ([], 0)
    told = found.lines()
    assert "training sets  1: " + snapshot.snapshot_id[:12] + "; 1 of them would be frozen otherwise today" in told
    assert found.counts()["training_snapshots_that_differ"] == 1
    again = prepared(settled)  # frozen after it, nothing rests on the answer before
    assert again.snapshot.rows == len(TRAINED)
    assert days(reached(settled, batch=batch)) == {made.snapshot.snapshot_id: (35, 35)}


def test_a_removal_from_the_middle_of_training_reaches_the_days_from_then_on(settled: Any) -> None:
    made = prepared(settled)
    batch = corrected(settled, f"big,DEAD,{TRAINED[20]},false", f"big,DEAD,{TRAINED[30]},true")
    found = reached(settled, batch=batch)
    assert [one.why for one in found.reach.changes] == ["late", "late"]
    assert days(found) == {made.snapshot.snapshot_id: (10, 10)}
    assert days(reached(settled, symbol="DEAD")) == {made.snapshot.snapshot_id: (10, 10)}
    assert reached(settled, symbol="DEAD", last=datetime(2012, 1, 2, tzinfo=UTC)).reach.changes == []


def test_a_member_that_was_left_out_is_missing_from_what_was_frozen(settled: Any) -> None:
    settled("prices", *settled.bars("LOST", DAYS))
    made, narrow = prepared(settled), prepared(settled, MarketScope(source="files", universe="big", symbols=["AAA"]))
    batch = corrected(settled, f"big,LOST,{DAYS[0]},true")
    assert days(reached(settled, batch=batch)) == {made.snapshot.snapshot_id: (35, 35)}
    assert narrow.snapshot.snapshot_id != made.snapshot.snapshot_id


@pytest.mark.parametrize("deliver", [corrected, told_live])
def test_what_was_not_known_to_the_decisions_is_frozen_the_same_again(settled: Any, deliver: Any) -> None:
    made = prepared(settled)
    batch = deliver(settled, f"big,DEAD,{DAYS[0]},false")
    found = reached(settled, batch=batch)
    assert [(one.why, one.detail) for one in found.reach.changes] == [
        ("corrected", "no member of big, before it was one")
    ]
    assert days(found) == {made.snapshot.snapshot_id: (35, 0)}
    assert prepared(settled).snapshot == made.snapshot
    assert found.counts()["training_snapshots_that_differ"] == 0


def test_a_membership_that_was_put_right_and_back_reaches_what_was_frozen_in_between(settled: Any) -> None:
    before = prepared(settled)
    first = corrected(settled, f"big,DEAD,{TRAINED[0]},false")
    between = prepared(settled)
    second = corrected(settled, f"big,DEAD,{TRAINED[0]},true")
    # The second is known from when it came on, so no decision of then would have heard of it.
    assert days(reached(settled, batch=second)) == {between.snapshot.snapshot_id: (35, 0)}
    assert days(reached(settled, batch=first)) == {
        before.snapshot.snapshot_id: (35, 35),
        between.snapshot.snapshot_id: (35, 0),
    }


def test_a_corrected_bar_reaches_a_set_by_the_days_of_members_only(settled: Any) -> None:
    """DEAD leaves after ten days: its rows of later days are in no set under `big`, though `other` holds them."""
    settled("universe", f"big,DEAD,{TRAINED[10]},false")
    prepared(settled), prepared(settled, MarketScope(source="files", universe="other"))
    volume = settled("prices", f"DEAD,{TRAINED[8]},100,100,100,100,2000", now=LATER).batch_ids[0]
    high = settled("prices", f"DEAD,{TRAINED[20]},100,101,100,100,1000", now=LATER).batch_ids[0]
    held = [{one.universe: one.rows for one in reached(settled, batch=one).reach.snapshots} for one in (volume, high)]
    assert held == [{"big": 2, "other": len(TRAINED) - 8}, {"other": len(TRAINED) - 20}]


def test_members_from_today_on_reach_nothing(settled: Any) -> None:
    made = prepared(settled)
    walked(settled, made)
    batch = corrected(settled, f"big,AAA,{DAYS[-1] + timedelta(days=30)},false")
    assert reached(settled, batch=batch).lines() == [
        "nothing was corrected, late or recalled there: nothing consumed it"
    ]


def test_models_verdicts_decisions_fills_and_positions_follow_from_the_training_set(settled: Any) -> None:
    made = prepared(settled)
    judged = walked(settled, made, "3", snapshot_id="a rule of another set")
    taught = walked(settled, made, "2", snapshot_id=made.snapshot.snapshot_id)
    session(settled, "s1", ["AAA"], snapshot_id=made.snapshot.snapshot_id)
    session(settled, "s2", ["AAA"])
    verdicts(settled, "2", "3", "4")
    batch = corrected(settled, f"big,DEAD,{TRAINED[0]},false")
    found = reached(settled, Registered(made.snapshot.snapshot_id), batch=batch)
    assert [(one.name, one.version) for one in found.models or []] == [("trader-daily", "2")]
    assert [one.to_version for one in found.promotions or []] == ["2", "3"]
    assert {one.backtest_id for one in found.backtests} == {judged, taught}
    assert [(one.session_id, one.by, one.is_changed) for one in found.decisions] == [("s1", "model", True)]
    assert [one.session_id for one in found.fills] == ["s1"]
    assert [(one.session_id, one.symbol) for one in found.positions] == [("s1", "AAA")]


def test_a_session_that_traded_who_was_no_member_is_reached_with_its_decisions(settled: Any) -> None:
    with Warehouse(settled.url).connection() as conn:
        asked = BIG.members_asked(conn, REPLAYED[0])
        assert asked is not None
        assert BIG.members_at(conn, BIG.cut(conn), REPLAYED[0], asked) == ["AAA"]
    session(settled, "under big", ["AAA"])
    session(settled, "by name", ["AAA"])
    with Warehouse(settled.url).connection() as conn:
        record_session_universe(conn, "under big", asked)
    batch = corrected(settled, f"big,AAA,{REPLAYED[0]},false", f"big,NEW,{REPLAYED[0]},true")
    found = reached(settled, batch=batch)
    assert [(one.session_id, one.dropped, one.missed, one.differing) for one in found.reach.memberships.sessions] == [
        ("under big", ["AAA"], ["NEW"], ["AAA", "NEW"])
    ]
    assert [(one.session_id, one.by, one.is_changed) for one in found.decisions] == [("under big", "session", True)]
    assert [one.session_id for one in found.positions] == ["under big"]
    assert any(
        line.startswith("sessions       1: 'under big' under big traded AAA: no members") for line in found.lines()
    )


def test_what_was_made_before_universes_were_recorded_is_told_as_not_tried(settled: Any) -> None:
    with psycopg.connect(settled.url) as conn:
        conn.execute(
            "insert into features.snapshots (snapshot_id, object_key, sha256, view, definition, source, symbols,"
            " first_timestamp, last_timestamp, row_count, watermark) select %s, 'k', %s, view, definition, 'files',"
            " '{AAA}', %s, %s, 1, raw.newest_watermark() from features.definitions where view = 'features.daily'",
            ("a" * 64, "b" * 64, TRAINED[0], TRAINED[-1]),
        )
    found = reached(settled, batch=corrected(settled, f"big,DEAD,{DAYS[0]},false"))
    assert found.to_dict()["not_tried"] == {"training_sets": 1, "backtests": 0}
    assert found.lines()[1] == (
        "not tried      1 training sets and 0 backtests were made before their universe was recorded"
    )


def test_a_rebuild_asks_for_the_same_universe_again(
    settled: Any, object_store_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told later is frozen the same again: only under `big` of split-adjusted prices is that this set."""
    settings = object_store_settings
    for name, value in (
        ("POSTGRES_URL", settled.url),
        ("S3_ENDPOINT", settings.endpoint),
        ("S3_ACCESS_KEY", settings.access_key),
        ("S3_SECRET_KEY", settings.secret_key),
        ("S3_BUCKET", settings.bucket),
        ("MLFLOW_URL", "http://127.0.0.1:1"),  # nothing is trained, so nobody asks it
        ("HOME", str(tmp_path)),
    ):
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    settled("prices", *settled.bars("NEVER", DAYS))
    made = prepared(settled)
    found = reached(settled, batch=told_live(settled, f"big,DEAD,{DAYS[0]},false"))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        done = rebuild(found, instance, lambda line: None, tmp_path / "rebuild.log")
    assert done.assets == {"features/training_set": f"the same: snapshot {made.snapshot.snapshot_id[:12]}"}
    assert (len(done.run_ids), done.months) == (1, {})
    with psycopg.connect(settled.url) as conn:
        kept = conn.execute("select universe, adjustment from features.snapshots").fetchall()
    assert kept == [("big", "split")]


def test_random_corrections_are_traced_as_a_reading_by_hand_does(market: Any) -> None:
    """The oracle asks `trading.universe_as_of` of every day; readers are any (day, moment, publication)."""
    pick, first = random.Random(11), date(2020, 1, 1)
    moments = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(8)]
    with psycopg.connect(market.url) as conn:
        published = [random_publication(conn, pick, first) for _ in range(14)]
        known = Publications(conn, "u")

        def says(symbol: str, day: date, as_of: Any, watermark: int) -> bool:
            asked = ("u", day, as_of, watermark)
            return symbol in {
                one for (one,) in conn.execute("select * from trading.universe_as_of(%s, %s, %s, %s)", asked)
            }

        for watermark in published:
            spans = known.spans(watermark, dict.fromkeys("abc", date.min))
            for _ in range(40):
                symbol, day = pick.choice("abc"), first + timedelta(days=pick.randrange(6))
                as_of, read = pick.choice(moments), pick.choice(published)
                was, now = (says(symbol, day, "infinity", one) for one in (watermark - 1, watermark))
                heard = read >= watermark and says(symbol, day, as_of, watermark) == now
                expected = was != now and not heard and says(symbol, day, as_of, read) == was
                assert known.rested(symbol, day, as_of, read, spans) == expected
        assert known.up_to(NEWEST).known_since


def random_publication(conn: psycopg.Connection, pick: random.Random, first: date) -> int:
    """Publish up to three memberships by one of two sources; a test's transaction holds many, so each takes a number."""
    row = conn.execute(
        "insert into raw.watermarks (purpose, transaction_id) select 'test', (max(watermark) + 1000000)::text::xid8 from"
        " raw.watermarks returning watermark"
    ).fetchone()
    assert row is not None
    source = pick.choice(("files", "files", "files", "sample"))
    batch = conn.execute(
        "insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name,"
        " rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id) values"
        " ('universe', %s, 'history', now(), 'k', %s, 'n', 0, 0, 0, 0, 0, 'published', %s, 't') returning batch_id",
        (source, secrets.token_hex(32), row[0]),
    ).fetchone()
    assert batch is not None
    stated = {(pick.choice("abc"), pick.randrange(5)) for _ in range(3)}
    for symbol, place in stated:
        day = first + timedelta(days=place)
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        conn.execute(
            "insert into trading.universe_members (source, universe, symbol, effective_date, is_member, nominal_at,"
            " known_at, watermark, batch_id, row_hash) values (%s, 'u', %s, %s, %s, %s, %s, %s, %s, sha256(''))",
            (
                source,
                symbol,
                day,
                pick.random() < 0.5,
                at,
                at + timedelta(days=pick.choice((0, 0, 2))),
                row[0],
                batch[0],
            ),
        )
    return int(row[0])


class Registered:
    """A registry with version 2 trained on one set and version 9 on another."""

    def __init__(self, snapshot_id: str) -> None:
        self._tags = {"2": snapshot_id, "9": "another"}

    def names(self) -> list[str]:
        return ["trader-daily"]

    def versions(self, name: str) -> list[Any]:
        return [VersionInfo(name, one, (), "r", 0, {"snapshot_id": taught}) for one, taught in self._tags.items()]


def verdicts(market: Any, *versions: str) -> None:
    """Version 1 starts the slot, the others were judged against it."""
    with psycopg.connect(market.url) as conn:
        for version in ("1", *versions):
            conn.execute(
                "insert into trading.promotions (model_name, alias, from_version, to_version, verdict, reason, decided_at,"
                " trace_id) values ('trader-daily', 'champion', %s, %s, %s, 'r', now(), 't')",
                (None if version == "1" else "1", version, "baseline" if version == "1" else "refused"),
            )


def session(market: Any, name: str, symbols: list[str], snapshot_id: str | None = None) -> None:
    """Write a session that bought one share of each symbol on its first day and holds it."""
    at, filled = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in REPLAYED[:2])
    price, token = Decimal(100), secrets.token_bytes(32)
    with psycopg.connect(market.url) as conn:
        conn.execute(
            "insert into trading.sessions (session_id, name, mode, source, interval, symbols, model_name, model_version,"
            " weights_sha256, feature_service, currency, starting_cash, costs, risk, latency, first_timestamp,"
            " last_timestamp, watermark, status, created_at, trace_id) values (%s, %s, 'replay', 'files', '1d', %s, 'm',"
            " '1', 'w', '{}', 'USD', 1, '{}', '{}', '0', %s, %s, 1, 'running', now(), 't')",
            (name, name, symbols, at, filled),
        )
        for symbol in symbols:
            bar = conn.execute("select bar_id from raw.price_bars where symbol = %s limit 1", [symbol]).fetchone()
            assert bar is not None
            key = f"{name} {symbol}"
            conn.execute(
                "insert into trading.decisions (decision_id, session_id, symbol, timestamp, as_of, watermark, decided_at,"
                " source, bar_id, bar_row_hash, feature_row_id, feature_row_hash, model_name, model_version,"
                " weights_sha256, snapshot_id, action, price_usd, position_quantity, cash_usd, equity_usd, outcome,"
                " trace_id, row_hash) values (%s, %s, %s, %s, %s, 1, now(), 'files', %s, %s, 0, %s, 'm', '1', 'w', %s, 1,"
                " %s, 0, 1, 1, 'ordered', 't', %s)",
                (key, name, symbol, at, at, bar[0], token, token, snapshot_id, price, token),
            )
            conn.execute(
                "insert into trading.order_intents values (%s, %s, %s, %s, 'buy', 1, %s, %s, %s)",
                (key, key, name, symbol, price, filled, token),
            )
            conn.execute("insert into trading.orders values (%s, %s, 'paper', %s)", (key, name, key))
            conn.execute(
                "insert into trading.fills (fill_id, client_order_id, session_id, symbol, side, quantity, price_usd,"
                " open_usd, notional_usd, slippage_usd, commission_usd, realized_pnl_usd, sequence, timestamp, filled_at,"
                " bar_id, bar_row_hash, row_hash) values (%s, %s, %s, %s, 'buy', 1, %s, %s, %s, 0, 0, 0, 1, %s, %s, %s,"
                " %s, %s)",
                (key, key, name, symbol, price, price, price, filled, filled, bar[0], token, token),
            )
            conn.execute("insert into trading.positions values (%s, %s, 1, %s, 0, %s)", (name, symbol, price, filled))
