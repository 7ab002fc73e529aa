"""Charts of trades and of finer bars on exchanges with breaks, half days and changed clocks, against plain loops.

The opening hours are literal, in local time, as the exchanges published them: no calendar library is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise, product
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.types.json import Jsonb

from trading.adapters.chart_bars import advance_charts
from trading.adapters.chart_rows import ChartSeries, set_active
from trading.adapters.sessions import ensure_sessions
from trading.chart_bars.chart import Chart

pytestmark = pytest.mark.engines

ZONES = {"XNYS": "America/New_York", "XLON": "Europe/London", "XTKS": "Asia/Tokyo", "24/7": "UTC"}
# Summer time ends on 2024-11-03 in New York and on 2024-10-27 in London; half days are the day after Thanksgiving and
# Christmas Eve; Tokyo has lunch from 11:30 to 12:30, and closes half an hour later since 2024-11-05.
HOURS: dict[str, dict[str, list[str]]] = {
    "XNYS": {
        "2024-11-01": ["09:30-16:00"],
        "2024-11-04": ["09:30-16:00"],
        "2024-11-27": ["09:30-16:00"],
        "2024-11-29": ["09:30-13:00"],
        "2024-12-02": ["09:30-16:00"],
    },
    "XLON": {
        "2024-10-25": ["08:00-16:30"],
        "2024-10-28": ["08:00-16:30"],
        "2024-12-24": ["08:00-12:30"],
        "2024-12-27": ["08:00-16:30"],
        "2025-01-02": ["08:00-16:30"],
    },
    "XTKS": {
        "2024-11-01": ["09:00-11:30", "12:30-15:00"],
        "2024-11-05": ["09:00-11:30", "12:30-15:30"],
        "2024-11-06": ["09:00-11:30", "12:30-15:30"],
    },
    "24/7": {day: ["00:00-24:00"] for day in ("2024-11-02", "2024-11-03", "2024-11-04", "2024-11-05")},
}
# The last close of each week and month that is over, UTC.
ENDS = {
    ("XNYS", "1w", "2024-10-28"): "2024-11-01T20:00",
    ("XNYS", "1w", "2024-11-04"): "2024-11-08T21:00",
    ("XNYS", "1w", "2024-11-25"): "2024-11-29T18:00",
    ("XNYS", "1mo", "2024-11-01"): "2024-11-29T18:00",
    ("XLON", "1w", "2024-10-21"): "2024-10-25T15:30",
    ("XLON", "1w", "2024-10-28"): "2024-11-01T16:30",
    ("XLON", "1w", "2024-12-23"): "2024-12-27T16:30",
    ("XLON", "1mo", "2024-10-01"): "2024-10-31T16:30",
    ("XLON", "1mo", "2024-12-01"): "2024-12-31T12:30",
    ("XTKS", "1w", "2024-10-28"): "2024-11-01T06:00",
    ("24/7", "1w", "2024-10-28"): "2024-11-04T00:00",
}
LENGTHS = {"15m": 15, "30m": 30, "1h": 60, "4h": 240}
CHARTS = {
    "trades": [("time", "30m"), ("time", "1d"), ("heikin_ashi", "1h")],
    "15m": [("time", "1h"), ("heikin_ashi", "4h"), ("time", "1w")],
    "1d": [("time", "1mo")],
}
BY_PRINTS = [("tick", "7"), ("volume", "60"), ("dollar", "9000"), ("range", "3"), ("renko", "2")]


@dataclass(frozen=True)
class Version:
    """One version of a print: a trade by its name, or a finer bar by its start; size 0 of a trade takes it away."""

    name: str
    at: datetime
    known_at: datetime
    prices: tuple[Decimal, Decimal, Decimal, Decimal]
    size: Decimal
    watermark: int = 0


@dataclass
class Listing:
    """A symbol on an exchange, and everything published of it by what it is fed."""

    symbol: str
    calendar: str
    published: dict[str, list[Version]] = field(default_factory=dict)


def utc(day: str, clock: str, calendar: str) -> datetime:
    hour, minute = (int(part) for part in clock.split(":"))
    local = datetime.fromisoformat(day).replace(hour=hour % 24, minute=minute, tzinfo=ZoneInfo(ZONES[calendar]))
    return (local + timedelta(days=hour // 24)).astimezone(UTC)


def stretches(calendar: str, day: str) -> list[tuple[datetime, datetime]]:
    parts = (hours.split("-") for hours in HOURS[calendar][day])
    return [(utc(day, opens, calendar), utc(day, closes, calendar)) for opens, closes in parts]


# The oracle: what a bar is, as docs/chart-bars.md says it, in loops over everything known.


def period(calendar: str, interval: str, at: datetime, fed: str) -> tuple[datetime, datetime] | None:
    """Return the label and the end of the period that a print lies in."""
    for day in HOURS[calendar]:
        inside = stretches(calendar, day)
        label = datetime.fromisoformat(day).replace(tzinfo=UTC)
        if interval in LENGTHS:
            for opens, closes in inside:
                if opens <= at < closes:
                    length = timedelta(minutes=LENGTHS[interval])
                    start = opens + (at - opens) // length * length
                    return start, min(start + length, closes)
        elif (at == label) if fed == "1d" else (inside[0][0] <= at < inside[-1][1]):
            if interval == "1d":
                return label, inside[-1][1]
            first = label - timedelta(days=label.weekday()) if interval == "1w" else label.replace(day=1)
            end = ENDS.get((calendar, interval, f"{first:%Y-%m-%d}"), "2030-01-01T00:00")
            return first, datetime.fromisoformat(end).replace(tzinfo=UTC)
    return None


def known(listing: Listing, fed: str, as_of: datetime, up_to: int) -> list[Version]:
    newest: dict[str, Version] = {}
    for one in sorted(listing.published[fed], key=lambda one: (one.known_at, one.watermark)):
        if one.known_at <= as_of and one.watermark <= up_to:
            newest[one.name] = one
    there = [one for one in newest.values() if one.size or fed != "trades"]
    return sorted(there, key=lambda one: (one.at, len(one.name), one.name))


def bars_of(chart: Chart, calendar: str, prints: list[Version]) -> list[tuple[Any, ...]]:
    if chart.style in ("time", "heikin_ashi"):
        made = over_time(chart, calendar, prints)
    elif chart.style == "renko":
        made = renko(chart, prints)
    else:
        made = by_prints(chart, prints)
    starts = [bar[0] for bar in made]
    return [(bar[0], starts[:place].count(bar[0]), *bar[1:]) for place, bar in enumerate(made)]


def merged(prints: list[Version], chart: Chart) -> tuple[Any, ...]:
    opens, highs, lows, closes = zip(*(_prices(one, chart) for one in prints), strict=True)
    return opens[0], max(highs), min(lows), closes[-1], sum(one.size for one in prints), len(prints)


def _prices(one: Version, chart: Chart) -> tuple[Decimal, ...]:
    closes_only = chart.style in ("range", "renko") and chart.fed != "trades"
    return (one.prices[3],) * 4 if closes_only else one.prices


def over_time(chart: Chart, calendar: str, prints: list[Version]) -> list[tuple[Any, ...]]:
    groups: list[tuple[tuple[datetime, datetime], list[Version]]] = []
    for one in prints:
        where = period(calendar, chart.parameter, one.at, chart.fed)
        if where and groups and groups[-1][0] == where:
            groups[-1][1].append(one)
        elif where:
            groups.append((where, [one]))
    made, before = [], None
    for ((label, end), inside), (_, behind) in pairwise(groups):
        bar = merged(inside, chart)
        if chart.style == "heikin_ashi":
            opened = (before[0] + before[3]) / 2 if before else (bar[0] + bar[3]) / 2
            prices = [
                opened,
                max(bar[1], opened, sum(bar[:4]) / 4),
                min(bar[2], opened, sum(bar[:4]) / 4),
                sum(bar[:4]) / 4,
            ]
            rounded = [price.quantize(Decimal("0.000001"), ROUND_HALF_EVEN) for price in prices]
            bar, before = (*rounded, *bar[4:]), rounded
        made.append((label, end, behind[0].at, *bar))
    return made


def by_prints(chart: Chart, prints: list[Version]) -> list[tuple[Any, ...]]:
    made, open_ = [], []
    for one in prints:
        open_.append(one)
        highs, lows = ([_prices(each, chart)[place] for each in open_] for place in (1, 2))
        reached = {
            "tick": Decimal(len(open_)),
            "volume": sum((each.size for each in open_), Decimal(0)),
            "dollar": sum((each.prices[3] * each.size for each in open_), Decimal(0)),
            "range": max(highs) - min(lows),
        }[chart.style]
        if reached >= Decimal(chart.parameter):
            made.append((open_[0].at, one.at, one.at, *merged(open_, chart)))
            open_ = []
    return made


def renko(chart: Chart, prints: list[Version]) -> list[tuple[Any, ...]]:
    size, made, since = Decimal(chart.parameter), [], list[Version]()
    level = prints[0].prices[3] // size * size if prints else Decimal(0)
    way = 0
    for one in prints:
        since.append(one)
        price = one.prices[3]
        while price >= level + size * (2 if way < 0 else 1) or price <= level - size * (2 if way > 0 else 1):
            up = price >= level + size * (2 if way < 0 else 1)
            opened = level + (size if way < 0 else 0) if up else level - (size if way > 0 else 0)
            level, way = (opened + size, 1) if up else (opened - size, -1)
            start, volume, count = (
                (since[0].at, sum(each.size for each in since), len(since)) if since else (one.at, Decimal(0), 0)
            )
            prices = (opened, max(opened, level), min(opened, level), level)
            made.append((start, one.at, one.at, *prices, volume, count))
            since = []
    return made


# The market: prints at all hours, then corrections of them.


@dataclass
class Exchanges:
    """A warehouse, and symbols on exchanges."""

    url: str
    conn: psycopg.Connection

    def listed(self, symbol: str, calendar: str) -> Listing:
        self.conn.execute(_INSTRUMENT, (symbol, calendar))
        return Listing(symbol, calendar)

    def publish(self, listing: Listing, fed: str, versions: list[Version]) -> None:
        with self.conn.transaction():
            watermark = self.one("select raw.take_watermark('test')")
            kind = "trades" if fed == "trades" else "prices"
            batch = self.one(_BATCH, (kind, "0" * 64, Jsonb({}), watermark))
            self.conn.execute("select raw.make_partitions(%s, %s)", (kind, [one.at for one in versions]))
            with self.conn.cursor().copy(_TRADES if fed == "trades" else _BARS) as copy:
                for one in versions:
                    what = (one.name, one.at, one.prices[3]) if fed == "trades" else (fed, one.at, *one.prices, "raw")
                    copy.write_row(
                        ("files", listing.symbol, *what, one.size, one.at, one.known_at, watermark, batch, b"x" * 32)
                    )
        listing.published.setdefault(fed, []).extend(
            Version(**{**vars(one), "watermark": watermark}) for one in versions
        )

    def declare(self, listing: Listing, chart: Chart) -> ChartSeries:
        series = ChartSeries(chart, "files", listing.symbol)
        with self.conn.transaction():
            set_active(self.conn, series, self.one("select raw.take_watermark('test')"), is_active=True)
        return series

    def advance(self) -> int:
        advance_charts(self.url)
        return int(self.one("select raw.newest_watermark()"))

    def bars(self, series: ChartSeries, as_of: datetime, up_to: int) -> list[tuple[Any, ...]]:
        return self.conn.execute(_AS_OF, (*series.key.values(), as_of, up_to)).fetchall()

    def one(self, statement: Any, values: tuple[Any, ...] = ()) -> Any:
        found = self.conn.execute(statement, values).fetchone()
        assert found is not None
        return found[0]


@pytest.fixture
def exchanges(database_url: str) -> Iterator[Exchanges]:
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as conn:
        yield Exchanges(database_url, conn)


def prints_of(chance: Random, calendar: str, fed: str) -> list[Version]:
    """Return prints of every session: at its first and last moment, in between, at lunch and after the close."""
    made: list[Version] = []
    for day in list(HOURS[calendar])[: -1 if calendar == "24/7" else None]:  # its last print is in one more day
        inside = stretches(calendar, day)
        if fed == "trades":
            around = (inside[0][0] - timedelta(minutes=5), inside[-1][1] + timedelta(minutes=20))
            span = int((around[1] - around[0]).total_seconds())
            edges = [moment for opens, closes in inside for moment in (opens, closes - timedelta(seconds=1), closes)]
            moments = sorted({*edges, *(around[0] + timedelta(seconds=chance.randrange(span)) for _ in range(24))})
        elif fed == "1d":
            moments = [datetime.fromisoformat(day).replace(tzinfo=UTC)]
        else:
            length = timedelta(minutes=LENGTHS[fed])
            moments = [opens + n * length for opens, closes in inside for n in range((closes - opens) // length)]
            moments = [moment for moment in moments if chance.random() < 0.9]
        made += [version(chance, f"{calendar}{number}", at, fed) for number, at in enumerate(moments, len(made) + 1)]
    return made


def version(chance: Random, name: str, at: datetime, fed: str, known_at: datetime | None = None) -> Version:
    prices = sorted(Decimal(chance.randrange(9_700, 10_400)) / 100 for _ in range(4))
    opened, closed = (prices[2], prices[1]) if chance.random() < 0.5 else (prices[1], prices[2])
    said = (closed,) * 4 if fed == "trades" else (opened, prices[3], prices[0], closed)
    known_at = known_at or at + timedelta(minutes=1 if fed == "trades" else LENGTHS.get(fed, 24 * 60))
    return Version(name, at, known_at, said, Decimal(chance.randrange(1, 30)))


def corrected(chance: Random, listing: Listing, fed: str, days: int) -> list[Version]:
    """Return other versions of some prints, all known at one moment, days after the last of them; some taken away."""
    there = [one for one in listing.published[fed] if one.name]
    known_at = max(one.at for one in there) + timedelta(days=days)
    several = [
        version(chance, one.name, one.at, fed, known_at) for one in chance.sample(there, max(1, len(there) // 12))
    ]
    if fed == "trades":
        several[0] = Version(**{**vars(several[0]), "size": Decimal(0)})
    return list({one.name: one for one in several}.values())


def check(
    exchanges: Exchanges, chance: Random, several: list[tuple[Listing, ChartSeries]], marks: list[int], most: int
) -> int:
    """Compare the stored bars with the oracle's at questions before, between and after corrections."""
    seen = 0
    for listing, series in several:
        versions = listing.published[series.chart.fed]
        moments = sorted({one.known_at for one in versions})
        edges = {moments[0], moments[-1], moments[-1] - timedelta(microseconds=1), *moments[-3:]}
        questions = list(product(sorted(edges | set(chance.sample(moments, min(6, len(moments))))), marks))
        for as_of, up_to in [(moments[-1], marks[-1]), *chance.sample(questions, min(most, len(questions)))]:
            expected = bars_of(series.chart, listing.calendar, known(listing, series.chart.fed, as_of, up_to))
            found = exchanges.bars(series, as_of, up_to)
            asked = (listing.calendar, series.chart, as_of, up_to)
            assert (asked, found) == (asked, expected)
            seen += len(expected)
    return seen


def play(exchanges: Exchanges, chance: Random, *, is_whole: bool) -> None:
    """Stream prints into charts of several exchanges at once, correct them twice; then make the same of all at once.

    Not whole: of each exchange and input one of the charts over time, another one each, and few questions; the sessions
    are recorded before, which takes longest.
    """
    if not is_whole:
        ensure_sessions(exchanges.conn, HOURS, date(2024, 9, 1), date(2025, 1, 31), datetime(2025, 2, 1, tzinfo=UTC))
    listings = [exchanges.listed(f"S{number}", calendar) for number, calendar in enumerate(HOURS)]
    several, waiting, marks = [], {}, []
    for (number, listing), (fed, over_time) in product(enumerate(listings), CHARTS.items()):
        waiting[listing.symbol, fed] = prints_of(chance, listing.calendar, fed)
        one = [over_time[number % len(over_time)], *(BY_PRINTS[:4][number::4] if fed == "15m" else [])]
        words = [*over_time, *(BY_PRINTS if fed != "1d" else [])] if is_whole else one
        several += [(listing, exchanges.declare(listing, Chart.of(*said, fed))) for said in words]
    for place in range(2):
        for listing, fed in product(listings, CHARTS):
            there = waiting[listing.symbol, fed]
            half = len(there) // 2
            exchanges.publish(listing, fed, there[half:] if place else there[:half])
        marks.append(exchanges.advance())
    for days in (3, 9):
        for listing, fed in product(listings, CHARTS):
            exchanges.publish(listing, fed, corrected(chance, listing, fed, days))
        marks.append(exchanges.advance())
    assert check(exchanges, chance, several, marks, 40 if is_whole else 4) > 500
    whole_at_once(exchanges, chance, several)


def whole_at_once(exchanges: Exchanges, chance: Random, several: list[tuple[Listing, ChartSeries]]) -> None:
    """The same publications of other symbols, whose charts are declared when all is there."""
    twins = {}
    for listing in {listing.symbol: listing for listing, _ in several}.values():
        twins[listing.symbol] = exchanges.listed(f"T{listing.symbol}", listing.calendar)
        for fed, versions in listing.published.items():
            for watermark in sorted({one.watermark for one in versions}):
                together = [one for one in versions if one.watermark == watermark]
                exchanges.publish(twins[listing.symbol], fed, together)
    charts = [(twins[listing.symbol], series.chart) for listing, series in several]
    batch = [(twin, exchanges.declare(twin, chart)) for twin, chart in charts]
    check(exchanges, chance, batch, [exchanges.advance()], 4)


def test_charts_of_several_exchanges_are_those_of_their_own_hours_however_they_came(exchanges: Exchanges) -> None:
    play(exchanges, Random("exchanges"), is_whole=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_charts_of_several_exchanges_are_those_of_their_own_hours_whatever_is_corrected(
    exchanges: Exchanges, seed: int
) -> None:
    play(exchanges, Random(seed), is_whole=True)


_INSTRUMENT = """
insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft,
    known_at, watermark, row_hash)
values (%s, 'equity', %s, 'USD', 0.01, 1, 1, true, '2020-01-01Z', raw.take_watermark('test'), sha256('test'))
"""
_BATCH = """
insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, reader,
    rows_in, rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)
values (%s, 'files', 'live', now(), 'none', %s, 'test', %s, 0, 0, 0, 0, 0, 'published', %s, 'none')
returning batch_id
"""
_TRADES = """copy raw.trades (source, symbol, trade_id, timestamp, price, size, nominal_at, known_at, watermark, batch_id,
    row_hash) from stdin"""
_BARS = """copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, adjustment, volume,
    nominal_at, known_at, watermark, batch_id, row_hash) from stdin"""
_AS_OF = """
select timestamp, sequence, ended_at, closed_at, open, high, low, close, volume, trade_count
from marts.chart_bars_as_of(%s, %s, %s, %s, %s)
order by timestamp, sequence
"""
