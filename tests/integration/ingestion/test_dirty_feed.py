"""A daily feed as vendors send it, drop by drop: nothing doubled, nothing lost, and each question answered as known then.

The oracle knows no versions: it replays by brute force what had been delivered by the moment asked about, the newest
word on each bar, and steps through the closes in Python.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from feature_store.build import ensure_definitions
from feature_store.definitions import register
from feature_store.services import newest_service
from feature_store.store import FeatureStore
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.sources.files import Files
from trading.errors import InputError
from trading.ingestion.report import BatchReport

pytestmark = pytest.mark.engines
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "bars_daily_raw_1998_2021.parquet"
NOW = datetime(2022, 1, 1, tzinfo=UTC)
COLUMNS = ["symbol", "date", "open", "high", "low", "close", "volume"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Drop:
    """One delivery: its own time, and its rows as (symbol, session, open, high, low, close, volume)."""

    at: datetime
    rows: list[Row]
    style: int = 0

    def parquet(self) -> bytes:
        """Write the rows the way one of several vendors would."""
        frame = pd.DataFrame(self.rows, columns=COLUMNS)
        days = pd.to_datetime(frame["date"])
        frame["date"] = [
            days,
            days.dt.date,
            days.dt.strftime("%Y-%m-%d"),
            days.dt.tz_localize("America/New_York"),
            days.dt.strftime("%Y-%m-%d %H:%M:%S"),
        ][self.style % 5]
        whole = not frame["volume"].isna().any()
        frame["volume"] = frame["volume"].astype("int64" if whole and self.style % 2 else "float64")
        frame = frame.rename(columns={"symbol": "ticker"} if self.style % 3 else {})
        if self.style % 4 == 1:
            frame = frame.set_index("date")
        written = io.BytesIO()
        (frame if self.rows else pd.DataFrame()).to_parquet(written)
        return written.getvalue()


@dataclass
class Feed:
    """What was delivered so far, to a warehouse and to the oracle."""

    url: str
    objects: ObjectStore
    folder: Path
    delivered: list[Drop] = field(default_factory=list)

    def take(self, drop: Drop) -> BatchReport:
        file = self.folder / f"drop{len(self.delivered):03}.parquet"
        file.write_bytes(drop.parquet())
        report = ingest(
            Files(file),
            "prices",
            now=NOW,
            database_url=self.url,
            object_store=self.objects,
            mode="live",
            delivered_at=drop.at,
        )
        self.delivered.append(drop)
        return report

    def known(self, as_of: datetime, nominal: dict[date, datetime]) -> dict[tuple[str, date], Row]:
        """Return the newest word on each bar that had been delivered, and could be known, by then."""
        told: dict[tuple[str, date], Row] = {}
        for drop in sorted(self.delivered, key=lambda drop: drop.at):
            for row in drop.rows:
                if drop.at <= as_of and nominal[row["date"]] <= as_of and pd.Series(row).notna().all():
                    told[row["symbol"], row["date"]] = row
        return told

    def nominal_times(self) -> dict[date, datetime]:
        """Return when the bar of each session could first be known."""
        with psycopg.connect(self.url) as conn:
            return dict(
                conn.execute("select session_date, closes_at + interval '15 minutes' from trading.calendar_sessions")
            )

    def assert_answers(self, moments: Sequence[datetime]) -> None:
        """Compare every bar, and the indicators of each newest one, with the oracle at each moment."""
        store = FeatureStore(self.url)
        symbols = sorted({row["symbol"] for drop in self.delivered for row in drop.rows})
        service = newest_service(self.url, "test", columns=("close", "volume", "rsi_14", "macd", "sma_20"))
        sessions = self.nominal_times()
        for moment in moments:
            told = self.known(moment, sessions)
            frame = store.features(service, symbols, moment)
            found = {(row.symbol, row.timestamp.date()): (row.close, row.volume) for row in frame.itertuples()}
            assert len(frame) == len(found), "a bar is doubled"
            assert found == {key: (row["close"], row["volume"]) for key, row in told.items()}, moment
            for row in store.latest(service, symbols, moment):
                closes = [told[key]["close"] for key in sorted(told) if key[0] == row.symbol]
                expected = {"rsi_14": rsi(closes), "macd": macd(closes), "sma_20": mean(closes, 20)}
                for name, value in expected.items():
                    wanted = None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)
                    assert row.values[name] == wanted, (row.symbol, moment, name)
        store.close()

    def between(self) -> list[datetime]:
        """Return a moment before, at and after each delivery."""
        return sorted({drop.at + timedelta(hours=shift) for drop in self.delivered for shift in (-1, 0, 1)})


def mean(values: Sequence[float], count: int) -> float | None:
    return sum(values[-count:]) / count if len(values) >= count else None


def ema(values: Sequence[float], period: int) -> list[float]:
    """Seeded with the mean of its first `period` values."""
    averages = [sum(values[:period]) / period]
    for value in values[period:]:
        averages.append(averages[-1] + (value - averages[-1]) * 2 / (period + 1))
    return averages


def macd(closes: Sequence[float]) -> float | None:
    if len(closes) < 34:
        return None
    return ema(closes[14:], 12)[-1] - ema(closes, 26)[-1]  # both begin with the 26th bar


def rsi(closes: Sequence[float]) -> float | None:
    if len(closes) < 15:
        return None
    moves = [after - before for before, after in pairwise(closes)]
    gain, loss = (sum(max(sign * move, 0.0) for move in moves[:14]) / 14 for sign in (1, -1))
    for move in moves[14:]:
        gain, loss = (gain * 13 + max(move, 0.0)) / 14, (loss * 13 + max(-move, 0.0)) / 14
    return 100 * gain / (gain + loss)


def evening(day: date) -> datetime:
    """When a feed's drop of a session comes: 22:00 UTC."""
    return datetime(day.year, day.month, day.day, 22, tzinfo=UTC)


@pytest.fixture
def feed(
    database_url: str, object_store_settings: Any, tmp_path: Path, default_definitions: list[tuple[str, str, str]]
) -> Feed:
    settings = object_store_settings
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)
    for view, text, parameters in default_definitions:
        register(database_url, view, text, json.loads(parameters))
    return Feed(database_url, store, tmp_path)


DAYS = [date(2021, 3, day) for day in (1, 2, 3, 4, 5, 8, 9, 10)]


def bar(symbol: str, place: int, close: float, volume: float = 1000.0) -> Row:
    low, high = close * 0.75, close * 1.25
    return dict(zip(COLUMNS, (symbol, DAYS[place], close, high, low, close, volume), strict=True))


def literal_drops() -> list[Drop]:
    """Eight evenings of three symbols, with all that a feed does."""
    nan = float("nan")
    return [
        Drop(evening(DAYS[0]), [bar("AAA", 0, 100.5), bar("OLD", 0, 10.0)], 0),
        Drop(evening(DAYS[1]), [bar("AAA", 0, 100.5), bar("OLD", 0, 10.0), bar("AAA", 1, 101.25), bar("OLD", 1, 10.5)], 1),
        Drop(evening(DAYS[2]), []),
        # The empty drop's session comes with the next; a volume and a close are revised; one row of NaN in four.
        Drop(
            evening(DAYS[3]),
            [bar("AAA", 1, 101.5), bar("AAA", 2, 102.0, 5000.0), bar("OLD", 2, 11.0), {**bar("OLD", 3, 11.5), "close": nan}],
            2,
        ),
        # A 4:1 split that no action tells of; its child; OLD is not traded any more.
        Drop(evening(DAYS[4]), [bar("AAA", 2, 102.0, 5001.0), bar("AAA", 3, 103.0), bar("AAA", 4, 25.75), bar("KID", 4, 7.0)], 3),
        Drop(evening(DAYS[5]), [bar("AAA", 4, 26.0), bar("KID", 4, 7.0), bar("AAA", 5, 26.5), bar("KID", 5, 7.25)], 4),
        # Taken back, and taken back again: three versions.
        Drop(evening(DAYS[6]), [bar("AAA", 4, 25.75), bar("AAA", 5, 26.5), bar("AAA", 6, 27.0), bar("KID", 6, 7.5)], 5),
        Drop(evening(DAYS[7]), [bar("AAA", 6, 27.25), bar("KID", 6, 7.5), bar("AAA", 7, 28.0), bar("KID", 7, 8.0)], 6),
    ]  # fmt: skip


def test_a_dirty_feed_is_answered_as_known_between_any_two_drops(feed: Feed) -> None:
    drops = literal_drops()
    reports = [feed.take(drop) for drop in drops]
    assert [report.status for report in reports] == ["published"] * 8
    assert (reports[2].rows_in, reports[2].rows_published) == (0, 0)
    assert reports[3].quarantine == {"missing_value": 1}
    again = feed.take(drops[5])
    assert (again.status, again.rows_in) == ("already ingested", 4)
    feed.assert_answers(feed.between())
    with psycopg.connect(feed.url) as conn:
        versions = conn.execute(
            "select symbol, count(*) from raw.price_bars group by symbol order by symbol"
        ).fetchall()
        batches = conn.execute("select count(*) from raw.ingestion_batches").fetchone()
    # 8 bars of AAA, of which sessions 2 (close), 3 (volume), 7 were said anew once and session 5 twice.
    assert versions == [("AAA", 8 + 1 + 1 + 2 + 1), ("KID", 4), ("OLD", 3)]
    assert batches == (8,)


def test_drops_that_arrive_out_of_order_answer_by_their_own_delivery_times(feed: Feed) -> None:
    drops = literal_drops()
    for place in (0, 2, 1, 6, 4, 5, 3, 7):
        feed.take(drops[place])
    feed.assert_answers(feed.between())


def test_a_drop_that_repeats_what_held_still_says_so_when_an_older_one_arrives_after_it(feed: Feed) -> None:
    said = [Drop(evening(DAYS[place]), [bar("AAA", 0, close)]) for place, close in ((0, 10.0), (1, 11.0), (2, 10.0))]
    assert [feed.take(said[place]).rows_published for place in (0, 2, 1)] == [1, 0, 1]
    feed.assert_answers(feed.between())
    assert feed.take(said[1]).status == "already ingested"
    with psycopg.connect(feed.url) as conn:
        held = conn.execute("select close::int, known_at from raw.price_bars order by known_at").fetchall()
        counted = conn.execute(
            "select count(*) from raw.ingestion_batches where rows_in = rows_published + rows_unchanged"
        ).fetchone()
    assert held == [(10, evening(DAYS[0])), (11, evening(DAYS[1])), (10, evening(DAYS[2]))]
    assert counted == (4,)


def test_the_same_payload_after_another_is_a_new_word_only_where_it_names_no_time(
    deliver: Callable[..., Any], conn: psycopg.Connection
) -> None:
    lines = {close: f"IBM,2024-05-30,165,170,160,{close},100" for close in ("166", "167")}
    moments = [datetime(2024, 6, 1, hour, tzinfo=UTC) for hour in range(5)]
    closes = ("166", "167", "166", "166", "167")
    reports = [deliver(lines[c], mode="live", now=at) for c, at in zip(closes, moments, strict=True)]
    assert [report.status for report in reports] == [*["published"] * 3, "already ingested", "published"]
    assert [row[0] for row in conn.execute("select close::int from raw.price_bars order by known_at")] == [
        166, 167, 166, 167,
    ]  # fmt: skip


def test_few_bad_rows_never_keep_the_good_ones_of_a_live_drop_out(deliver: Callable[..., Any]) -> None:
    def lines(bad: int, good: int) -> list[str]:
        return [f"S{n},2024-05-30,165,170,160,{'-1' if n < bad else '166'},100" for n in range(bad + good)]

    assert deliver(*lines(9, 1), mode="live", max_bad_share=None).rows_published == 1
    with pytest.raises(Exception, match=r"expected at most 20% bad rows .* found 91%"):
        deliver(*lines(10, 1), mode="live", max_bad_share=None)
    with pytest.raises(Exception, match="found 25%"):
        deliver(*lines(1, 3), max_bad_share=None)


def test_placeholders_and_unfinished_bars_never_keep_revisions_of_a_live_drop_out(deliver: Callable[..., Any]) -> None:
    def session(day: str, close: str) -> list[str]:
        return [f"S{n},{day},165,170,160,{close},100" for n in range(12)]

    today = deliver(*session("2024-05-31", "166"), *session("2024-06-03", "167"), mode="live", max_bad_share=None)
    assert (today.rows_published, today.quarantine) == (12, {"from_the_future": 12})
    revised = deliver(*session("2024-05-31", "168"), *session("2024-05-30", "NaN"), mode="live", max_bad_share=None)
    assert (revised.rows_published, revised.quarantine) == (12, {"missing_value": 12})
    with pytest.raises(Exception, match=r"expected at most 20% bad rows .* found 100% \(12 of 12: .*missing_value 12"):
        deliver(*session("2024-05-29", "-1"), *session("2024-05-30", "NaN"), mode="live", max_bad_share=None)
    with pytest.raises(Exception, match="found 50%"):
        deliver(*session("2024-05-31", "169"), *session("2024-05-30", "NaN"), mode="live", max_bad_share=0.2)
    with pytest.raises(Exception, match="found 50%"):
        deliver(*session("2024-05-28", "169"), *session("2024-05-29", "NaN"), max_bad_share=None)


@pytest.mark.parametrize(
    "when", ["0001-01-01T00:00:00+10:00", "0024-03-28T20:00:00+00:00", "1969-12-31T23:59:59+00:00"]
)
def test_a_delivery_before_1970_is_refused(deliver: Callable[..., Any], when: str) -> None:
    with pytest.raises(InputError, match="expected a delivery time from 1970 on, found"):
        deliver("A,2024-05-30,1,1,1,1,1", mode="live", delivered_at=datetime.fromisoformat(when))


def test_whole_numbers_of_eight_digits_in_a_parquet_file_are_dates(
    database_url: str, object_store_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "drop.parquet"
    row = {"symbol": "A", "date": 20240603, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 5}
    pd.DataFrame([row, {**row, "date": 20240604}]).to_parquet(file)
    settings = object_store_settings
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)
    now = datetime(2024, 7, 1, tzinfo=UTC)
    with monkeypatch.context() as earlier:  # a release that could not read them: its batch stays what it was
        earlier.setattr("trading.ingestion.cells._is_digits", lambda cell: False)
        old = ingest(Files(file), "prices", mode="live", now=now, database_url=database_url, object_store=store)
    with psycopg.connect(database_url) as conn:
        assert (old.rows_published, rows_of_payload(conn, store, old.batch_ids[0])) == (0, [])
    report = ingest(Files(file), "prices", now=now, database_url=database_url, object_store=store)
    assert (report.rows_published, report.first_date, report.last_date) == (2, "2024-06-03", "2024-06-04")


def test_nothing_in_a_csv_file_is_a_live_drop_and_no_history(deliver: Callable[..., Any]) -> None:
    assert deliver(mode="live").rows_in == 0
    with pytest.raises(Exception, match="a header and nothing below it"):
        deliver(mode="history")


def test_features_exist_right_after_the_first_drop_on_a_fresh_warehouse(
    database_url: str, object_store_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from orchestration import cli

    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    for name in ("endpoint", "access_key", "secret_key", "bucket"):
        monkeypatch.setenv(f"TRADELOOM_S3_{name.upper()}", getattr(object_store_settings, name))
    file = tmp_path / "drop.parquet"
    file.write_bytes(literal_drops()[0].parquet())
    drop = [
        "ingest",
        "prices",
        "--source",
        "files",
        "--file",
        str(file),
        "--live",
        "--delivered-at",
        "2021-03-01T22:00Z",
    ]
    for arguments in (drop, ["features", "--symbols", "AAA", "--as-of", "2021-03-01T22:00:00Z", "--json"]):
        monkeypatch.setattr("sys.argv", ["tradeloom", *arguments])
        cli.main()  # a failure raises SystemExit
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert (row["symbol"], row["close"], row["known_at"]) == ("AAA", 100.5, "2021-03-01T22:00:00+00:00")
    assert ensure_definitions(database_url) is False

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["tradeloom", "features", "--symbols", *arguments])
        cli.main()
        return str(capsys.readouterr().out)

    asked = ["AAA,ZZZ", "--as-of", "2021-03-01T22:00:00Z"]
    told = json.loads(run(*asked, "--json"))
    assert ([row["symbol"] for row in told["rows"]], told["without_rows"]) == (["AAA"], ["ZZZ"])
    assert json.loads(run(*asked, "--history", "--json"))["without_rows"] == ["ZZZ"]
    assert run(*asked).endswith("\nno features of ZZZ were known at 2021-03-01T22:00:00+00:00\n")
    assert "without_rows" not in run("AAA", *asked[1:])


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared daily bars")
def test_a_real_feed_over_a_raw_split_is_answered_as_known_between_any_two_drops(feed: Feed) -> None:
    frame = pd.read_parquet(SHARED).rename(columns={"ticker": "symbol", "ts": "date"})
    frame = frame[(frame["date"] >= "2020-06-01") & (frame["date"] <= "2020-09-08")]
    frame["date"] = frame["date"].dt.date
    days = sorted(frame["date"].unique())
    first = [row for row in frame.to_dict("records") if row["date"] <= days[-10]]
    feed.take(Drop(evening(days[-10]), first, 1))
    for place in range(len(days) - 9, len(days)):
        rows = frame[frame["date"].isin(days[place - 1 : place + 1])].to_dict("records")
        for number, row in enumerate(rows):
            if row["date"] == days[place] and (place + number) % 4 == 0:
                row["volume"] -= 100  # what comes first is revised by the drop that repeats it
        feed.take(Drop(evening(days[place]), [] if place % 5 == 0 else rows, place))
    feed.assert_answers([drop.at + timedelta(minutes=1) for drop in feed.delivered])
    with psycopg.connect(feed.url) as conn:
        counted = conn.execute("select count(distinct (symbol, timestamp)) from raw.price_bars").fetchone()
    assert counted == (len({key for drop in feed.delivered for key in [(r["symbol"], r["date"]) for r in drop.rows]}),)
