"""Resampling against a reading by hand: late bars, corrections and splits, on calendars with breaks and without."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql

from trading.adapters.resampled_bars import Method, ResampledBar, Resampling, resampled_bars
from trading.adapters.sessions import ensure_sessions
from trading.calendar import Sessions, exchange_sessions
from trading.errors import InputError
from trading.intervals import Interval, period_at, period_of, periods_of_session

pytestmark = pytest.mark.engines


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


CALENDARS = ("XNYS", "XTKS", "XLON", "24/7")
FIRST, LAST = date(2024, 6, 24), date(2024, 7, 12)
SPAN = (date(2024, 6, 1), date(2024, 8, 31))
LAG = timedelta(minutes=15)  # of the source `files`
PAIRS = [("15m", "1h"), ("30m", "4h"), ("1h", "1d"), ("1h", "1w"), ("1d", "1w"), ("1d", "1mo")]
NEVER = at("2100-01-01")


@dataclass(frozen=True)
class Version:
    """One version of a bar."""

    timestamp: datetime
    known_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    watermark: int = 0


@cache
def sessions_of(calendar: str) -> Sessions:
    """The sessions around the tests' range, straight from the library; those after it tell that its weeks are over."""
    return Sessions.of(exchange_sessions(calendar, *SPAN))


class World:
    """A warehouse to publish into."""

    def __init__(self, url: str) -> None:
        self.conn = psycopg.connect(url, autocommit=True, options="-c timezone=UTC")
        ensure_sessions(self.conn, CALENDARS, FIRST, LAST, datetime(2024, 7, 12, tzinfo=UTC))

    def listed(self, calendar: str) -> str:
        """Make an instrument of this exchange that no other test has; return its symbol."""
        symbol = f"{calendar[0]}{secrets.token_hex(4).upper()}"
        self.conn.execute(
            "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
            " is_draft, known_at, watermark, row_hash) values (%s, 'equity', %s, 'USD', 0.01, 1, 1, true, '1970-01-01',"
            " raw.take_watermark('test'), %s)",
            (symbol, calendar, secrets.token_bytes(32)),
        )
        return symbol

    def publish(self, symbol: str, interval: str, *versions: Version, adjustment: str = "raw") -> int:
        """Publish versions of bars in one transaction; return its watermark."""
        with self.conn.transaction():
            watermark, batch = self._batch()
            self.conn.execute("select raw.make_partitions('prices', %s)", ([one.timestamp for one in versions],))
            with self.conn.cursor().copy(
                "copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment,"
                " nominal_at, known_at, watermark, batch_id, row_hash) from stdin"
            ) as copy:
                for one in versions:
                    prices = (one.open, one.high, one.low, one.close, one.volume, adjustment)
                    when = (one.timestamp, one.known_at, watermark, batch, secrets.token_bytes(32))
                    copy.write_row(("files", symbol, interval, one.timestamp, *prices, *when))
        return watermark

    def split(self, symbol: str, ex_date: date, ratio: str, known_at: datetime) -> int:
        """Publish a split; return its watermark."""
        with self.conn.transaction():
            watermark, batch = self._batch()
            self.conn.execute(
                "insert into raw.corporate_actions (source, symbol, kind, ex_date, ratio, nominal_at, known_at, watermark,"
                " batch_id, row_hash) values ('files', %s, 'split', %s, %s, %s, %s, %s, %s, %s)",
                (symbol, ex_date, ratio, known_at, known_at, watermark, batch, secrets.token_bytes(32)),
            )
        return watermark

    def _batch(self) -> tuple[int, int]:
        row = self.conn.execute(
            "with taken as (select raw.take_watermark('test') as watermark) insert into raw.ingestion_batches (kind, source,"
            " mode, received_at, payload_key, payload_sha256, payload_name, rows_in, rows_published, rows_unchanged,"
            " rows_merged, rows_quarantined, status, watermark, trace_id) select 'prices', 'files', 'live', now(), 'k',"
            " repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published', watermark, 't' from taken returning watermark, batch_id"
        ).fetchone()
        assert row is not None
        return row


@pytest.fixture(scope="module")
def world(postgres_url: str) -> Iterator[World]:
    """One warehouse for all tests of a module; each has symbols of its own."""
    name = f"intervals_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template tradeloom_template strategy file_copy").format(sql.Identifier(name))
        )
    opened = World(psycopg.conninfo.make_conninfo(postgres_url, dbname=name))
    yield opened
    opened.conn.close()


def _starts(calendar: str, interval: Interval) -> list[datetime]:
    days = sessions_of(calendar).between(FIRST, LAST)
    if not interval.is_intraday:
        return [interval.label(session.session_date) for session in days]
    return [period.starts_at for session in days for period in periods_of_session(interval, session)]


def _version(chance: Random, start: datetime, known_at: datetime, watermark: int) -> Version:
    prices = [Decimal(chance.randrange(9_000, 11_000)) / 100 for _ in range(4)]
    return Version(
        start, known_at, prices[0], max(prices), min(prices), prices[1], Decimal(chance.randrange(1, 500)), watermark
    )


def _history(world: World, chance: Random, symbol: str, calendar: str, name: str) -> list[Version]:
    """Publish most of a series in three batches: some bars late, some again and again, in no order of time."""
    interval, published = Interval.parse(name), []
    for _ in range(3):
        versions = []
        for start in _starts(calendar, interval):
            period = period_of(interval, start, sessions_of(calendar))
            assert period is not None
            if chance.random() < 0.45:
                late = timedelta(hours=chance.choice([0, 0, 1, 30, 400]))
                versions.append(_version(chance, start, period.ends_at + LAG + late, 0))
        watermark = world.publish(symbol, name, *versions)
        published += [Version(**{**vars(one), "watermark": watermark}) for one in versions]
    return published


def _by_hand(
    calendar: str, given: str, wanted: str, versions: Sequence[Version], as_of: datetime, up_to: int
) -> list[tuple[Any, ...]]:
    """The answer, by loops: newest version of each bar, the period of its first moment of trade, Decimal arithmetic."""
    sessions, interval = sessions_of(calendar), Interval.parse(wanted)
    newest: dict[datetime, Version] = {}
    for one in versions:
        if one.known_at <= as_of and one.watermark <= up_to:
            best = newest.get(one.timestamp)
            if best is None or (one.known_at, one.watermark) > (best.known_at, best.watermark):
                newest[one.timestamp] = one
    groups = defaultdict(list)
    for start in sorted(newest):
        session = sessions.on(start.date())
        moment = start if Interval.parse(given).is_intraday or session is None else session.opens_at
        period = period_at(interval, moment, sessions)
        assert period is not None
        groups[period].append(newest[start])
    return [
        (
            period.timestamp, period.starts_at, period.ends_at, period.ends_at + LAG <= as_of,
            max(*(one.known_at for one in bars), *([period.ends_at + LAG] * (period.ends_at + LAG <= as_of)), bars[0].known_at),
            len(bars), bars[0].open, max(one.high for one in bars), min(one.low for one in bars), bars[-1].close,
            sum(one.volume for one in bars),
        )
        for period, bars in sorted(groups.items(), key=lambda group: group[0])
    ]  # fmt: skip


def _told(bar: ResampledBar) -> tuple[Any, ...]:
    when = (bar.timestamp, bar.starts_at, bar.ends_at, bar.is_over, bar.known_at)
    return (*when, bar.bars, bar.open, bar.high, bar.low, bar.close, bar.volume)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_longer_bar_is_what_a_reading_by_hand_gives_at_every_state_of_knowledge(world: World, calendar: str) -> None:
    chance, symbol = Random(f"resampling {calendar}"), world.listed(calendar)
    histories = {
        name: _history(world, chance, symbol, calendar, name) for name in sorted({given for given, _ in PAIRS})
    }
    for given, wanted in PAIRS:
        versions = histories[given]
        marks = sorted({one.watermark for one in versions})
        moments = sorted(chance.sample(sorted({one.known_at for one in versions}), 4))
        asked = Resampling(symbol, wanted, given, adjustment="none")
        for as_of in [*moments, NEVER]:
            up_to = chance.choice(marks)
            found = [_told(bar) for bar in resampled_bars(world.conn, asked, as_of, up_to).bars]
            assert found == _by_hand(calendar, given, wanted, versions, as_of, up_to), (given, wanted, as_of, up_to)


@pytest.mark.parametrize("method", ["none", "forward"])
def test_what_changed_put_over_the_earlier_answer_is_the_answer(world: World, method: Method) -> None:
    chance = Random("streaming")
    for calendar, given, wanted in (("XTKS", "15m", "1h"), ("XNYS", "1h", "1d"), ("24/7", "1d", "1w")):
        symbol = world.listed(calendar)
        versions = _history(world, chance, symbol, calendar, given)
        if method == "forward":
            world.split(symbol, FIRST + timedelta(days=9), "2", at("2024-07-04T12:00"))
        last = max(one.watermark for one in versions)
        points = sorted(chance.sample(sorted({one.known_at for one in versions}), 5))
        # Knowledge grows by time, and with the last two questions by later publications too.
        questions = [*((point, last - 1) for point in points), (points[-1], last + 9), (NEVER, last + 9)]
        kept: dict[datetime, ResampledBar] = {}
        before = None
        for question in questions:
            asked = Resampling(symbol, wanted, given, adjustment=method)
            found = resampled_bars(world.conn, asked, *question, since=before)
            kept |= {bar.timestamp: bar for bar in found.bars}
            whole = resampled_bars(world.conn, asked, *question).bars
            assert tuple(kept[when] for when in sorted(kept)) == whole
            before = question
        # A new bar at the end asks for the end only.
        assert len(resampled_bars(world.conn, asked, *questions[-1], since=before).bars) == 1


def test_later_knowledge_changes_no_earlier_answer(world: World) -> None:
    chance, london = Random("append"), world.listed("XLON")
    marks = sorted({one.watermark for one in _history(world, chance, london, "XLON", "1h")})
    as_of, asked = at("2024-07-03T12:00"), Resampling(london, "1w", "1h")
    up_to = 10**9
    before = resampled_bars(world.conn, asked, as_of, up_to)
    old = resampled_bars(world.conn, asked, NEVER, marks[-1])
    late = [
        _version(chance, start, as_of + timedelta(seconds=1), 0)
        for start in _starts("XLON", Interval.parse("1h"))
        if start < as_of - timedelta(hours=2)
    ]
    world.publish(london, "1h", *late)
    assert resampled_bars(world.conn, asked, as_of, up_to) == before
    assert resampled_bars(world.conn, asked, NEVER, marks[-1]) == old


def _flat(day: str, price: str, volume: int = 100) -> Version:
    label = at(day)
    return Version(label, label + timedelta(hours=21), *([Decimal(price)] * 4), Decimal(volume))


def test_a_week_with_a_split_is_made_of_adjusted_days_and_refused_as_delivered(world: World) -> None:
    ny = world.listed("XNYS")
    world.publish(ny, "1d", _flat("2024-06-25", "100"), _flat("2024-06-26", "104"), _flat("2024-06-27", "51"))
    world.split(ny, at("2024-06-27").date(), "2", at("2024-06-27"))
    (bar,) = resampled_bars(world.conn, Resampling(ny, "1w", "1d"), NEVER, 10**9).bars
    assert (bar.open, bar.high, bar.low, bar.close) == (100, 104, 100, 102)
    assert bar.volume == 250
    (back,) = resampled_bars(world.conn, Resampling(ny, "1w", "1d", "back"), NEVER, 10**9).bars
    assert (back.open, back.close, back.volume) == (50, 51, 500)
    with pytest.raises(
        InputError, match=f"expected no split of {ny} inside a period, found one in the 1w of 2024-06-24"
    ):
        resampled_bars(world.conn, Resampling(ny, "1w", "1d", "none"), NEVER, 10**9)


def test_a_split_known_later_refuses_prices_as_delivered_since_then_as_it_refuses_the_whole(world: World) -> None:
    ny = world.listed("XNYS")
    before = world.publish(
        ny, "1d", *(_flat(f"2024-06-{day}", "100") for day in (25, 26, 27)), _flat("2024-07-01", "50")
    )
    asked, earlier = Resampling(ny, "1w", "1d", "none"), (at("2024-07-02"), before)
    assert len(resampled_bars(world.conn, asked, *earlier).bars) == 2
    now = (at("2024-07-03"), world.split(ny, at("2024-06-27").date(), "2", at("2024-07-02T12:00")))
    for since in (None, earlier):
        with pytest.raises(InputError, match=f"expected no split of {ny} inside a period"):
            resampled_bars(world.conn, asked, *now, since=since)


def test_a_split_at_the_border_of_two_periods_is_inside_none(world: World) -> None:
    ny = world.listed("XNYS")
    world.publish(ny, "1d", _flat("2024-06-28", "100"), _flat("2024-07-01", "51"))
    world.split(ny, at("2024-07-01").date(), "2", at("2024-07-01"))
    bars = resampled_bars(world.conn, Resampling(ny, "1mo", "1d", "none"), NEVER, 10**9).bars
    assert [(bar.timestamp.month, bar.close) for bar in bars] == [(6, 100), (7, 51)]


def test_a_week_is_over_with_its_last_session_and_the_sources_lag(world: World) -> None:
    ny = world.listed("XNYS")
    # The Friday of this week is recorded; the month of July has sessions to come, which are planned.
    world.publish(ny, "1d", _flat("2024-07-11", "10"), _flat("2024-07-12", "11"))
    for as_of, is_over in ((at("2024-07-12T20:14:59"), False), (at("2024-07-12T20:15"), True)):
        (bar,) = resampled_bars(world.conn, Resampling(ny, "1w", "1d"), as_of, 10**9).bars
        assert (bar.is_over, bar.nominal_at) == (is_over, at("2024-07-12T20:15"))
    (month,) = resampled_bars(world.conn, Resampling(ny, "1mo", "1d"), at("2024-07-20"), 10**9).bars
    assert (month.is_over, month.ends_at) == (False, at("2024-07-31T20:00"))


def test_without_the_days_to_come_a_week_is_over_with_its_sunday(world: World) -> None:
    ny = world.listed("XNYS")
    world.publish(ny, "1d", _flat("2024-07-12", "11"))
    with world.conn.transaction(force_rollback=True):
        world.conn.execute("delete from trading.planned_sessions")
        (bar,) = resampled_bars(world.conn, Resampling(ny, "1w", "1d"), at("2024-07-13"), 10**9).bars
    assert (bar.is_over, bar.ends_at) == (False, at("2024-07-15"))


def test_bars_of_a_vendors_own_grid_go_into_days_and_not_into_hours_that_they_cross(world: World) -> None:
    ny = world.listed("XNYS")
    hours = [
        Version(at(f"2024-07-02T{hour}:00"), at("2024-07-03"), *([Decimal(hour)] * 4), Decimal(1))
        for hour in (13, 14, 15)
    ]  # 09:00 in New York holds 09:30-10:00
    world.publish(ny, "1h", *hours)
    (day,) = resampled_bars(world.conn, Resampling(ny, "1d", "1h"), NEVER, 10**9).bars
    assert (day.open, day.close, day.bars) == (13, 15, 3)
    with pytest.raises(InputError, match=rf"the bar of {ny} at 2024-07-02 15:00:00 in two"):
        resampled_bars(world.conn, Resampling(ny, "2h", "1h"), NEVER, 10**9)


@pytest.mark.parametrize(
    ("given", "wanted", "words"),
    [
        ("1w", "1mo", "expected bars that lie inside those of 1mo, found bars of 1w"),
        ("1h", "1h", "found bars of 1h"),
        ("1d", "1h", "found bars of 1d"),
        ("1d", "2w", "shorter than a day, 1d, 1w or 1mo, found '2w'"),
    ],
)
def test_what_does_not_lie_inside_is_refused(world: World, given: str, wanted: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        resampled_bars(world.conn, Resampling(world.listed("XNYS"), wanted, given, source="files"), NEVER, 10**9)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_sql_and_python_have_the_same_periods(world: World, calendar: str) -> None:
    sessions = sessions_of(calendar)
    for name in ("7m", "1h", "4h"):
        mine = [
            p for session in sessions.between(FIRST, LAST) for p in periods_of_session(Interval.parse(name), session)
        ]
        theirs = world.conn.execute("select * from features.periods(%s, %s, %s, %s)", (name, calendar, FIRST, LAST))
        assert [(p.timestamp, p.starts_at, p.ends_at) for p in mine] == theirs.fetchall()
    chance = Random(calendar)
    for name in ("90m", "1h", "1d", "1w", "1mo"):
        for _ in range(25):
            moment = at("2024-06-24") + timedelta(seconds=chance.randrange(86_400 * 18))
            mine_at = period_at(Interval.parse(name), moment, sessions)
            (start,) = world.conn.execute(
                "select features.period_start(%s, %s, %s)", (name, calendar, moment)
            ).fetchone() or (None,)
            assert start == (mine_at.timestamp if mine_at else None), (name, moment)


def test_breaks_of_sessions_that_an_earlier_release_recorded_are_added_once(world: World) -> None:
    count = "select count(*) from trading.known_sessions where calendar = 'XTKS' and break_starts_at is not null"
    whole = world.conn.execute(count).fetchone()
    with world.conn.transaction(force_rollback=True):  # as a release left it that knew no breaks
        world.conn.execute("alter table trading.session_breaks disable trigger all")
        world.conn.execute("delete from trading.session_breaks")
        world.conn.execute("delete from trading.calendars_with_breaks")
        assert world.conn.execute(count).fetchone() == (0,)
        ensure_sessions(world.conn, ["XTKS"], FIRST, LAST, datetime(2024, 7, 12, tzinfo=UTC))
        assert world.conn.execute(count).fetchone() == whole
    assert whole is not None
    assert whole[0] > 300
