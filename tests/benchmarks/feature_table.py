"""A warehouse with many feature rows: real sessions, invented numbers, revisions, publications in their order.

Rows go straight into features.daily: how they are computed is another case's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import psycopg
from harness import Bench

from feature_store.services import FeatureService
from trading.adapters.sessions import ensure_sessions

COLUMNS = (
    "close", "rsi_14", "macd", "volume", "open", "high", "low", "sma_20", "sma_50", "ema_12", "ema_26",
    "macd_signal", "macd_histogram", "atr_14", "obv", "return_1d", "return_5d", "return_20d", "volatility_20d",
    "sentiment",
)  # fmt: skip
FIRST, LAST = date(2004, 1, 1), date(2023, 12, 31)
LAG = "15 minutes"

_BARS = """
insert into features.daily (
    source, symbol, interval, timestamp, known_at, watermark, source_watermark, definition, row_hash, decision_at,
    indicator_row_id, indicator_row_hash, sentiment_items, {columns}
)
select
    'files', s.symbol, '1d', c.session_date::timestamp at time zone 'UTC', c.closes_at + interval '{lag}', %(watermark)s,
    %(watermark)s, %(definition)s, sha256(int8send(s.number * 100000 + c.number)), c.closes_at + interval '{lag}',
    s.number, sha256(int8send(s.number)), 0, {numbers}
from (select number, 'S' || lpad(number::text, 4, '0') as symbol from generate_series(1, %(symbols)s) as number) as s
cross join (
    select session_date, closes_at, row_number() over (order by session_date) as number
    from trading.calendar_sessions where calendar = 'XNYS' and session_date between %(first)s and %(last)s
) as c
where c.number > %(after)s and c.number <= %(up_to)s
order by s.number, c.number
"""

# One bar in fifty is revised, one to thirty days after it was first known, all in later publications.
_REVISIONS = """
insert into features.daily (
    source, symbol, interval, timestamp, known_at, watermark, source_watermark, definition, row_hash, decision_at,
    indicator_row_id, indicator_row_hash, sentiment_items, {columns}
)
select
    r.source, r.symbol, r.interval, r.timestamp, r.known_at + interval '1 day' * (1 + r.row_id %% 30), %(watermark)s,
    %(watermark)s, r.definition, sha256(r.row_hash), r.decision_at, r.indicator_row_id, r.indicator_row_hash, 0, {changed}
from features.daily as r
where r.definition = %(definition)s and r.row_id %% 50 = 7
order by r.row_id
"""


@dataclass(frozen=True)
class FeatureTable:
    """What was filled in: the service that reads it, and the first and last moment worth asking about."""

    service: FeatureService
    symbols: list[str]
    first_at: datetime
    last_at: datetime
    rows: int
    watermark: int


def fill(url: str, *, symbols: int = 200, sessions: int = 5000, publications: int = 10) -> FeatureTable:
    """Fill features.daily with `symbols` x `sessions` bars and a fiftieth of them revised; return how to ask."""
    service = FeatureService("bench", "features.daily", "b" * 64, COLUMNS, "none", "0")
    names = [f"S{number:04}" for number in range(1, symbols + 1)]
    with psycopg.connect(url, options="-c timezone=UTC -c synchronous_commit=off") as conn:
        ensure_sessions(conn, ["XNYS"], FIRST, LAST, datetime.combine(LAST, datetime.min.time(), UTC))
        conn.execute("select setseed(0.5)")
        years = [date(year, 1, 1) for year in range(FIRST.year, LAST.year + 1)]
        conn.execute("select raw.make_partitions('prices', %s::timestamptz[])", (years,))
        _describe(conn, service, names)
        step = -(-sessions // publications)
        for after in range(0, sessions, step):
            _publish(conn, service, _BARS, symbols=symbols, after=after, up_to=min(after + step, sessions))
        _publish(conn, service, _REVISIONS)
        conn.commit()
        conn.autocommit = True
        conn.execute("vacuum analyze features.daily")
        rows, first_at, last_at, watermark = conn.execute(
            "select count(*), min(known_at), max(known_at), max(watermark) from features.daily"
        ).fetchone()
    return FeatureTable(service, names, first_at.astimezone(UTC), last_at.astimezone(UTC), rows, watermark)


@contextmanager
def filled(bench: Bench, sessions: int) -> Iterator[tuple[str, FeatureTable]]:
    """Yield a database with `fill` in it and what was filled in; the cases of one run share it."""

    @contextmanager
    def made() -> Iterator[tuple[str, FeatureTable]]:
        with bench.database() as url:
            yield url, fill(url, sessions=sessions)

    yield bench.shared(f"feature table of {sessions} sessions", made)


def _describe(conn: psycopg.Connection, service: FeatureService, names: list[str]) -> None:
    conn.execute("select raw.take_watermark('bench')")
    conn.execute(
        "insert into features.definitions (definition, view, sql, functions, columns, parameters, watermark)"
        " values (%s, %s, 'invented', '{}', %s, '{\"max_age_sessions\": 3}', raw.newest_watermark())",
        (service.definition, service.view, list(service.columns)),
    )
    conn.execute(
        "insert into features.definition_events (definition, status, watermark)"
        " values (%s, 'active', raw.newest_watermark())",
        (service.definition,),
    )
    conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier,"
        " is_draft, known_at, watermark, row_hash) select s, 'equity', 'XNYS', 'USD', 0.01, 1, 1, false, %s,"
        " raw.newest_watermark(), sha256(s::bytea) from unnest(%s::text[]) as s",
        (datetime(1970, 1, 1, tzinfo=UTC), names),
    )
    conn.commit()


def _publish(conn: psycopg.Connection, service: FeatureService, query: str, **parameters: int) -> None:
    watermark = conn.execute("select raw.take_watermark('bench')").fetchone()[0]
    columns = ", ".join(service.columns)
    numbers = ", ".join("random()" for _ in service.columns)
    changed = ", ".join(f"r.{name} + 1" for name in service.columns)
    text = query.format(columns=columns, numbers=numbers, changed=changed, lag=LAG)
    made = conn.execute(
        text, {"watermark": watermark, "definition": service.definition, "first": FIRST, "last": LAST, **parameters}
    ).rowcount
    conn.execute(
        "insert into features.advances (definition, source_watermark, watermark, row_count) values (%s, %s, %s, %s)",
        (service.definition, watermark, watermark, made),
    )
    conn.commit()
