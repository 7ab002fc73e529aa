"""A warehouse of synthetic daily bars with the project's definitions, and the rounds that build and continue it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg

from feature_store.build import dbt_build

SYMBOLS = 200
FIRST = datetime(2000, 1, 3, tzinfo=UTC)
_NEW_BATCH = """
insert into raw.ingestion_batches (
    kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in, rows_published, rows_unchanged,
    rows_merged, rows_quarantined, status, watermark, trace_id
) values ('prices', 'files', 'live', now(), 'k', %s, 'n', %s, %s, 0, 0, 0, 'published', %s, 'bench') returning batch_id
"""
# A random walk for each symbol, to the cent.
_HISTORY = """
insert into raw.price_bars (
    source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark,
    batch_id, row_hash
)
select
    'files', 'S' || lpad(s.number::text, 4, '0'), '1d', p.at, round((p.price * (1 + 0.01 * random() - 0.005))::numeric, 2),
    round((p.price * 1.01)::numeric, 2), round((p.price * 0.99)::numeric, 2), round(p.price::numeric, 2),
    (1000 + random() * 1e6)::integer, 'raw', p.at + interval '21 hours 15 minutes', p.at + interval '21 hours 15 minutes',
    %(watermark)s, %(batch)s, sha256(int8send(s.number * 1000000 + p.place))
from generate_series(1, %(symbols)s) as s (number)
cross join lateral (
    select
        place, %(first)s + place * interval '1 day' as at,
        20 + 100 * exp(sum((random() - 0.5) * 0.04 + 0 * s.number) over (order by place)) as price
    from generate_series(0, %(bars)s - 1) as place
) as p
"""
_INSTRUMENTS = """
insert into trading.instruments (
    symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft, known_at, watermark, row_hash
)
select distinct
    symbol, 'equity', 'bench', 'USD', 0.01, 1, 1, true, '-infinity'::timestamptz, watermark, sha256(symbol::bytea)
from raw.price_bars
"""
_SESSIONS = """
insert into trading.calendar_sessions (calendar, session_date, opens_at, closes_at)
select 'bench', day::date, day + interval '14 hours', day + interval '21 hours'
from generate_series(%(first)s, %(first)s + %(days)s * interval '1 day', interval '1 day') as day
"""
_PARTITIONS = """
select raw.make_partitions('prices', array(
    select day from generate_series(%(first)s, %(first)s + %(days)s * interval '1 day', interval '1 day') as day))
"""
_COPY = (
    "copy raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,"
    " known_at, row_hash, watermark, batch_id) from stdin"
)


class BarTable:
    """Bars of 200 symbols in one source, indicators built on them when asked; one open connection."""

    def __init__(self, url: str, bars: int, daily: bool = False, views: Sequence[str] = ("indicators",)) -> None:
        """Register the definitions (without the daily one unless asked) and publish `bars` bars of each symbol."""
        dbt_build(url, arguments=("run", "--select", *views, *(["daily"] if daily else [])))
        self.url = url
        self.conn = psycopg.connect(url, autocommit=True, options="-c timezone=UTC")
        self.newest = FIRST + timedelta(days=bars - 1)
        self.conn.execute(_PARTITIONS, {"first": FIRST, "days": bars + 100})
        with self.conn.transaction():
            self.conn.execute("select setseed(0.25)")
            watermark, batch = self._publication(SYMBOLS * bars)
            where = {"watermark": watermark, "batch": batch, "symbols": SYMBOLS, "first": FIRST, "bars": bars}
            self.conn.execute(_HISTORY, where)
        if daily:
            self.conn.execute(_INSTRUMENTS)
            self.conn.execute(_SESSIONS, {"first": FIRST, "days": bars + 100})
        self.conn.execute("vacuum analyze raw.price_bars")

    def advance(self) -> None:
        """Take what was published into the derived rows."""
        self.conn.execute("call features.advance()")

    def forget_rows(self) -> None:
        """Take all derived rows away, which no user can: the next build begins from nothing."""
        with self.conn.transaction():
            self.conn.execute("set local session_replication_role = replica")
            self.conn.execute(
                "truncate marts.indicators, marts.indicators_extended, features.daily, features.heads, features.advances"
            )
        self.conn.execute("checkpoint")

    def next_day(self) -> Callable[[], None]:
        """Return what publishes one bar more of each symbol in an open transaction; the rows are made ready before."""
        self.newest += timedelta(days=1)
        known = self.newest + timedelta(hours=21, minutes=15)
        rows = [
            f"files\tS{number:04}\t1d\t{self.newest}\t101.00\t102.25\t100.50\t101.{number % 90 + 10}\t{1000 + number}"
            f"\traw\t{known}\t{known}\t\\\\x{secrets.token_hex(32)}"
            for number in range(1, SYMBOLS + 1)
        ]

        def publish() -> None:
            watermark, batch = self._publication(SYMBOLS)
            with self.conn.cursor().copy(_COPY) as copy:
                copy.write("".join(f"{row}\t{watermark}\t{batch}\n" for row in rows))

        return publish

    def close(self) -> None:
        self.conn.close()

    def _publication(self, rows: int) -> tuple[int, int]:
        watermark = self.conn.execute("select raw.take_watermark('bench')").fetchone()[0]
        return watermark, self.conn.execute(_NEW_BATCH, (secrets.token_hex(32), rows, rows, watermark)).fetchone()[0]
