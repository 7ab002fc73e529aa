"""The age of a row at read, against the exchange's calendar; the newest rows of many symbols in one statement; and what
of it a training set leaves out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import exchange_calendars
import pandas as pd
import psycopg
import pytest

from feature_store import FeatureStore
from feature_store.services import FeatureService
from trading.adapters.sessions import ensure_sessions

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

LIMITED = FeatureService("t", "features.daily", "d" * 64, ("close",), "none", "0")
UNLIMITED = FeatureService("t", "features.daily", "e" * 64, ("close",), "none", "0")
DAYS = (date(2012, 11, 21), date(2012, 11, 20))  # the day before Thanksgiving; the Friday after it closes at 13:00
RECORDED_TO = datetime(2012, 11, 30, tzinfo=UTC)


@pytest.fixture
def store(database_url: str):
    with psycopg.connect(database_url, options="-c timezone=UTC") as conn:
        ensure_sessions(conn, ["XNYS"], DAYS[0], DAYS[0], RECORDED_TO)
        conn.execute("select raw.take_watermark('test')")
        conn.execute("select raw.make_partitions('prices', %s::timestamptz[])", (list(DAYS),))
        instrument(conn, "X")
        instrument(conn, "Y")
        for service, parameters in ((LIMITED, '{"max_age_sessions": 3}'), (UNLIMITED, "{}")):
            conn.execute(
                "insert into features.definitions (definition, view, sql, functions, columns, parameters, watermark)"
                " values (%s, 'features.daily', %s, '{}', '{close}', %s, raw.newest_watermark())",
                (service.definition, service.definition, parameters),
            )
            conn.execute(
                "insert into features.definition_events (definition, status, watermark)"
                " values (%s, 'active', raw.newest_watermark())",
                (service.definition,),
            )
            for symbol, day in (("X", DAYS[0]), ("Y", DAYS[1]), ("nowhere", DAYS[1])):
                insert(conn, service, symbol, day)
    opened = FeatureStore(database_url)
    yield opened
    opened.close()


def instrument(conn: psycopg.Connection, symbol: str) -> None:
    conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
        " is_draft, known_at, watermark, row_hash)"
        " values (%s, 'equity', 'XNYS', 'USD', 0.01, 1, 1, false, '1970-01-01Z', raw.newest_watermark(), sha256('x'))",
        (symbol,),
    )


def insert(conn: psycopg.Connection, service: FeatureService, symbol: str, day: date) -> None:
    close = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=21, minutes=15)
    conn.execute(
        "insert into features.daily (source, symbol, interval, timestamp, known_at, watermark, source_watermark,"
        " definition, row_hash, decision_at, indicator_row_id, indicator_row_hash, sentiment_items, close)"
        " values ('files', %s, '1d', %s, %s, 1, 1, %s, sha256(%s), %s, 1, sha256('x'), 0, 1)",
        (symbol, day, close, service.definition, symbol.encode() + str(day).encode(), close),
    )


def closed_after(day: date, as_of: datetime) -> int:
    schedule = exchange_calendars.get_calendar("XNYS", start="2012-01-01", end="2013-12-31").schedule
    later = schedule[schedule.index > pd.Timestamp(day)]
    return int((later["close"] <= pd.Timestamp(as_of)).sum())


MOMENTS = [
    datetime(2012, 11, 21, 22, tzinfo=UTC),  # its own session has closed: age 0
    datetime(2012, 11, 22, 23, tzinfo=UTC),  # Thanksgiving: no session
    datetime(2012, 11, 23, 17, 59, tzinfo=UTC),  # a minute before the early close
    datetime(2012, 11, 23, 18, 0, tzinfo=UTC),
    datetime(2012, 11, 26, 20, 59, tzinfo=UTC),
    datetime(2012, 11, 27, 21, 0, tzinfo=UTC),
    datetime(2012, 11, 30, 21, 0, tzinfo=UTC),  # the last recorded session
    datetime(2012, 12, 3, 20, 59, tzinfo=UTC),  # after it: the feed has stopped, the exchange has not
    datetime(2012, 12, 3, 21, 0, tzinfo=UTC),
    datetime(2013, 3, 1, 12, tzinfo=UTC),
]


@pytest.mark.parametrize("as_of", MOMENTS, ids=str)
def test_a_row_is_as_old_as_the_sessions_that_closed_since(store: FeatureStore, as_of: datetime):
    found = {row.symbol: row for row in store.latest(LIMITED, ["X", "Y"], as_of)}
    ages = {symbol: row.age_sessions for symbol, row in found.items()}
    assert ages == {"X": closed_after(DAYS[0], as_of), "Y": closed_after(DAYS[1], as_of)}
    assert {row.is_stale for row in found.values()} == {row.age_sessions > 3 for row in found.values()}


def test_a_definition_without_a_limit_is_never_stale(store: FeatureStore):
    row = store.row(UNLIMITED, "X", datetime(2013, 3, 1, tzinfo=UTC))
    assert (row.max_age_sessions, row.is_stale) == (None, False)
    assert row.age_sessions > 50


def test_a_row_that_nobody_can_date_has_no_age_and_passes_no_limit(store: FeatureStore):
    row = store.row(LIMITED, "nowhere", datetime(2012, 11, 21, 22, tzinfo=UTC))
    assert (row.age_sessions, row.is_stale) == (None, True)


def test_the_age_is_no_part_of_a_row(store: FeatureStore):
    early, late = (store.row(LIMITED, "X", moment) for moment in (MOMENTS[0], MOMENTS[-1]))
    assert early.age_sessions != late.age_sessions
    assert early == late
    assert store.verify(early) == store.verify(late)


def test_the_newest_rows_of_many_symbols_are_one_statement(store: FeatureStore, monkeypatch: pytest.MonkeyPatch):
    asked = ["Y", "unknown", "X"]
    expected = [store.row(LIMITED, symbol, MOMENTS[4]) for symbol in ("Y", "X")]
    statements = []
    execute = psycopg.Cursor.execute
    monkeypatch.setattr(
        psycopg.Cursor, "execute", lambda self, *args, **kwargs: statements.append(1) or execute(self, *args, **kwargs)
    )
    assert store.latest(LIMITED, asked, MOMENTS[4]) == expected
    assert len(statements) == 1


def test_a_training_set_leaves_out_what_was_too_old_when_it_was_first_known(store: FeatureStore, database_url: str):
    """Four sessions close between the 21st and the 28th: over the limit of three; until the 27th it is within it."""
    with psycopg.connect(database_url) as conn:
        for service in (LIMITED, UNLIMITED):
            for symbol, known_at in (("late", "2012-11-28T22:00Z"), ("just", "2012-11-27T22:00Z")):
                conn.execute(
                    "insert into features.daily (source, symbol, interval, timestamp, known_at, watermark,"
                    " source_watermark, definition, row_hash, decision_at, indicator_row_id, indicator_row_hash,"
                    " sentiment_items, close) values ('files', %s, '1d', %s, %s, 1, 1, %s, sha256(%s), %s, 1,"
                    " sha256('x'), 0, 1)",
                    (symbol, DAYS[0], known_at, service.definition, symbol.encode(), known_at),
                )
        for symbol in ("late", "just"):
            instrument(conn, symbol)
    asked = (["X", "late", "just", "nowhere"], MOMENTS[0] - timedelta(days=9), MOMENTS[-1])
    assert list(store.training_set(LIMITED, *asked)["symbol"]) == ["X", "just", "nowhere"]
    assert list(store.training_set(UNLIMITED, *asked)["symbol"]) == ["X", "just", "late", "nowhere"]
    batches = list(store.training_batches(UNLIMITED, *asked, batch_rows=3))
    assert [len(batch) for batch in batches] == [3, 1]
    pd.testing.assert_frame_equal(
        pd.concat(batches, ignore_index=True), store.training_set(UNLIMITED, *asked), check_dtype=True
    )
