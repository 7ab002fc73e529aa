"""Bars of 5 minutes to a month of several exchanges, from a file to placed rows, complete sessions and no findings."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from feature_store.ages import Calendars
from orchestration.commands.bars import bars
from trading.adapters.adjusted_bars import adjusted_bars
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.reconcile import Question, reconcile
from trading.adapters.sources import source_named
from trading.calendar import exchange_sessions
from trading.errors import InputError
from trading.intervals import Interval, periods_of_session

pytestmark = pytest.mark.engines
NOW = datetime(2024, 7, 9, 12, tzinfo=UTC)  # a Tuesday
HEADER = "symbol,timestamp,open,high,low,close,volume,interval"
# The fourth is a holiday in New York and the third a half day; Tokyo has a break, and crypto never closes.
FIRST, LAST = date(2024, 7, 1), date(2024, 7, 5)
LISTED = {"NYC": "XNYS", "LDN": "XLON", "TKY": "XTKS", "BTC": "24/7"}


def line(symbol: str, timestamp: datetime | date, interval: str, n: int = 0) -> str:
    price = 100 + n % 3
    return f"{symbol},{timestamp.isoformat()},{price},{price + 1},{price - 1},{price},{1000 + n},{interval}"


def intraday(symbol: str, name: str, leave_out: tuple[str, ...] = ()) -> list[str]:
    sessions = exchange_sessions(LISTED[symbol], FIRST, LAST)
    starts = [period.starts_at for one in sessions for period in periods_of_session(Interval.parse(name), one)]
    kept = [start for start in starts if start.isoformat() not in {f"{moment}:00+00:00" for moment in leave_out}]
    return [line(symbol, start, name, n) for n, start in enumerate(kept)]


class Tables:
    """A warehouse with one delivery per exchange."""

    def __init__(self, url: str, store: ObjectStore, folder: Path) -> None:
        self.url, self.store, self.folder = url, store, folder
        self.conn = psycopg.connect(url, autocommit=True, options="-c timezone=UTC")

    def list_symbols(self) -> None:
        """Make the instruments first, so that one delivery has several exchanges."""
        self.conn.execute(
            "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
            " is_draft, known_at, watermark, row_hash) select s, 'equity', c, 'USD', 0.01, 1, 1, true, '1970-01-01',"
            " raw.take_watermark('test'), sha256(s::bytea) from unnest(%s::text[], %s::text[]) as t (s, c)",
            (list(LISTED), list(LISTED.values())),
        )

    def deliver(self, lines: list[str]) -> Any:
        file = self.folder / f"{secrets.token_hex(4)}.csv"
        file.write_text("\n".join([HEADER, *lines, ""]))
        source = source_named("files", file=file)
        return ingest(
            source, "prices", now=NOW, database_url=self.url, object_store=self.store, mode="history", max_bad_share=1.0
        )

    def nominal(self, symbol: str, interval: str) -> dict[str, str]:
        rows = self.conn.execute(
            "select to_char(timestamp, 'MM-DD HH24:MI'), to_char(nominal_at, 'MM-DD HH24:MI') from raw.price_bars"
            " where symbol = %s and interval = %s order by timestamp",
            (symbol, interval),
        )
        return dict(rows.fetchall())

    def missing(self, interval: str) -> dict[str, list[str]]:
        rows = self.conn.execute(
            "select distinct on (session_date) session_date::text, missing_symbols from raw.session_quality"
            " where interval = %s order by session_date, watermark desc",
            (interval,),
        )
        return {day: symbols for day, symbols in rows.fetchall() if symbols}


@pytest.fixture(scope="module")
def tables(postgres_url: str, object_store_settings: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    name = f"tables_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template tradeloom_template strategy file_copy").format(sql.Identifier(name))
        )
    settings = object_store_settings
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)
    made = Tables(psycopg.conninfo.make_conninfo(postgres_url, dbname=name), store, tmp_path_factory.mktemp("drops"))
    made.list_symbols()
    weeks = [line("NYC", date(2024, 6, day), "1w", day) for day in (3, 10, 17, 28)]  # a Friday names its week too
    months = [line("NYC", date(2024, month, 1), "1mo", month) for month in (3, 4, 5, 6)]
    running = [line("NYC", date(2024, 7, 8), "1w"), line("NYC", date(2024, 7, 1), "1mo")]
    nobodys = [line("NYC", date(2024, 6, 30), "1w"), line("NYC", NOW, "2w"), line("NYC", NOW, "60m")]
    hours = [line("NYC", datetime(2024, 7, 3, hour, tzinfo=UTC), "1h", hour) for hour in (13, 14, 15, 16)]
    hours += [line("NYC", datetime(2024, 7, 5, hour, tzinfo=UTC), "1h", hour) for hour in range(13, 20)]
    new_york = [
        *intraday("NYC", "5m"),
        *weeks,
        line("NYC", date(2024, 7, 1), "1w"),
        *months,
        *running,
        *nobodys,
        *hours,
    ]
    tokyo = [*intraday("TKY", "5m"), *intraday("TKY", "1h")]
    crypto = [*intraday("BTC", "4h"), line("BTC", date(2024, 7, 1), "1w"), line("BTC", date(2024, 6, 1), "1mo")]
    london = intraday("LDN", "5m", leave_out=("2024-07-02T09:00",))
    made.report = made.deliver([*new_york, *london, *tokyo, *crypto])
    yield made
    made.conn.close()


def test_no_bar_is_known_before_its_end_and_none_ends_after_its_session(tables: Tables) -> None:
    five = tables.nominal("NYC", "5m")
    assert (five["07-02 13:30"], five["07-02 19:55"]) == ("07-02 13:50", "07-02 20:15")
    assert max(when for when in five if when.startswith("07-03")) == "07-03 16:55"  # the half day
    hours = tables.nominal("NYC", "1h")
    assert {when: hours[when] for when in hours if when < "07-04"} == {
        "07-03 13:00": "07-03 14:15", "07-03 14:00": "07-03 15:15", "07-03 15:00": "07-03 16:15", "07-03 16:00": "07-03 17:15",
    }  # fmt: skip
    tokyo = tables.nominal("TKY", "1h")
    assert [when[6:] for when in tokyo if when.startswith("07-01")] == [
        "00:00",
        "01:00",
        "02:00",
        "03:30",
        "04:30",
        "05:30",
    ]
    assert tokyo["07-01 05:30"] == "07-01 06:15"  # the session closes at 15:00 in Tokyo
    assert tables.nominal("BTC", "4h")["07-05 20:00"] == "07-06 00:15"


def test_weeks_and_months_are_known_with_their_last_close(tables: Tables) -> None:
    assert tables.nominal("NYC", "1w") == {
        "06-03 00:00": "06-07 20:15", "06-10 00:00": "06-14 20:15", "06-17 00:00": "06-21 20:15",
        "06-24 00:00": "06-28 20:15", "07-01 00:00": "07-05 20:15",
    }  # fmt: skip
    assert tables.nominal("NYC", "1mo")["06-01 00:00"] == "06-28 20:15"  # the last Friday
    assert tables.nominal("NYC", "1mo")["03-01 00:00"] == "03-28 20:15"  # the day before Good Friday
    assert tables.nominal("BTC", "1w") == {"07-01 00:00": "07-08 00:15"}


def test_what_still_runs_is_from_the_future_and_other_names_are_refused(tables: Tables) -> None:
    assert tables.report.quarantine["from_the_future"] == 2
    assert tables.report.quarantine["unknown_interval"] == 3


def test_a_session_is_complete_when_it_has_the_bars_that_its_calendar_cuts(tables: Tables) -> None:
    assert tables.missing("5m") == {"2024-07-02": ["LDN"]}
    assert tables.missing("1h") == tables.missing("4h") == tables.missing("1w") == tables.missing("1mo") == {}
    days = tables.conn.execute(
        "select distinct session_date::text from raw.session_quality where interval = '1mo' order by 1"
    )
    assert [day for (day,) in days] == ["2024-03-01", "2024-04-01", "2024-05-01", "2024-06-01"]


def test_reconciling_finds_the_one_bar_that_is_not_there(tables: Tables) -> None:
    found = reconcile(tables.conn, Question(NOW + timedelta(days=1), source="files"))
    assert [(one.kind, one.symbol, f"{one.first:%d %H:%M}", one.count) for one in found.findings] == [
        ("missing", "LDN", "02 09:00", 1)
    ]
    expected = {(one.symbol, one.interval): one.expected for one in found.series}
    assert expected["NYC", "5m"] == 78 * 3 + 42  # the half day has 3.5 hours
    assert expected["LDN", "5m"] == 102 * 5
    assert (expected["TKY", "5m"], expected["TKY", "1h"]) == (60 * 5, 6 * 5)
    assert (expected["BTC", "4h"], expected["NYC", "1w"], expected["NYC", "1mo"]) == (30, 5, 4)


def test_the_payload_gives_the_rows_again(tables: Tables) -> None:
    for batch_id, published in tables.conn.execute(
        "select batch_id, rows_published from raw.ingestion_batches"
    ).fetchall():
        versions = rows_of_payload(tables.conn, tables.store, batch_id)
        hashes = tables.conn.execute(
            "select nominal_at from raw.price_bars where batch_id = %s order by bar_id", (batch_id,)
        )
        assert len(versions) == published
        assert sorted(one.row.nominal_at for one in versions) == sorted(when for (when,) in hashes.fetchall())


@pytest.mark.parametrize(
    ("symbol", "interval", "timestamp", "as_of", "age"),
    [
        ("NYC", "1w", "2024-06-24", "2024-06-28T20:00", 0),
        ("NYC", "1w", "2024-06-24", "2024-07-01T19:59", 0),
        ("NYC", "1w", "2024-06-24", "2024-07-05T20:00", 4),  # a holiday and a half day between
        ("NYC", "1mo", "2024-06-01", "2024-07-02T20:00", 2),
        ("NYC", "1d", "2024-06-28", "2024-07-02T20:00", 2),
        ("NYC", "5m", "2024-07-02T19:55", "2024-07-03T17:00", 1),
        ("BTC", "1w", "2024-06-24", "2024-07-02T00:00", 1),
    ],
)
def test_a_row_of_a_week_is_as_old_as_the_sessions_since_it_ended(
    tables: Tables, symbol: str, interval: str, timestamp: str, as_of: str, age: int
) -> None:
    when, now = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (timestamp, as_of))
    row = tables.conn.execute(
        "select age_sessions from features.age_at(%s, %s, %s, %s, 10000)", (symbol, interval, when, now)
    ).fetchone()
    assert row == (age,)
    assert Calendars().ages(tables.conn, [(symbol, when)], interval, now, 10_000, 10_000) == [age]


def test_a_raw_week_with_a_split_in_its_midst_is_not_adjusted(tables: Tables) -> None:
    known = datetime(2024, 6, 1, tzinfo=UTC)
    with tables.conn.transaction(force_rollback=True):
        for day, ratio in ((date(2024, 6, 3), 4), (date(2024, 6, 26), 2)):
            tables.conn.execute(
                "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, nominal_at, known_at, watermark,"
                " batch_id, row_hash) values ('files', 'NYC', 'split', %s, %s, %s, %s, 1, 1, %s)",
                (day, ratio, known, known, secrets.token_bytes(32)),
            )
        with pytest.raises(InputError, match="that of NYC on 2024-06-26 in the 1w bar of 2024-06-24"):
            adjusted_bars(tables.conn, "NYC", NOW, 10_000, interval="1w")
    with tables.conn.transaction(force_rollback=True):
        tables.conn.execute(
            "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, nominal_at, known_at, watermark,"
            " batch_id, row_hash) values ('files', 'NYC', 'split', '2024-06-03', 4, %s, %s, 1, 1, %s)",
            (known, known, secrets.token_bytes(32)),
        )
        # The first session of June is the third: its month is after the split as a whole.
        found = adjusted_bars(tables.conn, "NYC", NOW, 10_000, interval="1mo").bars
        assert [(bar.timestamp.month, int(bar.factor)) for bar in found] == [(3, 1), (4, 1), (5, 1), (6, 4)]


def test_the_command_shows_weeks_made_of_shorter_bars(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", tables.url)
    asked = ["--symbols", "TKY,BTC", "--interval", "1w", "--as-of", "2024-07-09T00:00Z"]
    with pytest.raises(InputError, match="expected an interval with bars of TKY, BTC, found '1d'; known: "):
        CliRunner().invoke(bars, [*asked, "--of", "1d"], catch_exceptions=False)
    single = CliRunner().invoke(bars, ["--symbols", "TKY", *asked[2:], "--of", "5m", "--json"], catch_exceptions=False)
    (series,) = json.loads(single.output)["series"]
    (week,) = series["bars"]
    assert (series["interval"], series["of"], week["timestamp"]) == ("1w", "5m", "2024-07-01T00:00:00+00:00")
    assert (week["bars"], week["is_over"], week["ends_at"]) == (300, True, "2024-07-05T06:00:00+00:00")
    running = CliRunner().invoke(
        bars,
        ["--symbols", "BTC", "--interval", "1d", "--of", "4h", "--as-of", "2024-07-05T13:00Z"],
        catch_exceptions=False,
    )
    assert running.output.splitlines()[-1].endswith("not over yet")
