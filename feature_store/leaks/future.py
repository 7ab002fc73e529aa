"""A future that never happened: versions that became known after a moment, appended to the raw tables and rolled back.

What a definition reads beside its working rows (news, scores, instruments, or raw tables of its own accord) cannot be
cut off, because those tables are append-only; but whatever is appended with a later `known_at` may change no answer of
the past. The rows are copies of true ones that say something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from feature_store.leaks.subjects import Subject

_ITEMS = 400  # news items that get a later version; as many are new
_BARS = 2000  # bars that get a later version

_WATERMARK = "insert into raw.watermarks (purpose) values ('leak gate, rolled back') returning watermark"

# News known only after the moment: back-dated items about each symbol, and later versions of the newest ones.
_NEWS = """
with symbols as (select distinct s.symbol from leak_series as s limit %(items)s),

pattern as (select n.* from raw.news_items as n where n.known_at <= %(at)s order by n.known_at desc limit %(items)s)

insert into raw.news_items (
    source, news_id, headline, symbols, published_at, is_date_only, nominal_at, known_at, watermark, batch_id, row_hash)
select
    b.source, 'leak-gate-' || s.symbol, 'What nobody knew yet', array[s.symbol], b.at, false, b.at, %(at)s + interval '1 hour',
    %(w)s, b.batch_id, sha256(convert_to(s.symbol, 'UTF8'))
from symbols as s
cross join lateral (
    select i.source, i.batch_id, %(at)s - interval '20 hours' as at from raw.price_bars as i where i.symbol = s.symbol limit 1
) as b
union all
select
    p.source, p.news_id, 'Corrected: ' || p.headline, p.symbols, p.published_at, p.is_date_only, p.nominal_at,
    %(at)s + interval '1 hour', %(w)s, p.batch_id, sha256(p.row_hash)
from pattern as p
where p.watermark <> %(w)s
"""

_SCORES = """
insert into features.news_scores (item_id, scorer, scorer_version, score, label, watermark, row_hash)
select n.item_id, %(scorer)s, %(version)s, case when n.item_id %% 2 = 0 then 0.97 else -0.97 end, 'neutral', %(w)s, n.row_hash
from raw.news_items as n where n.watermark = %(w)s
"""

_INSTRUMENTS = """
insert into trading.instruments (
    symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, is_draft, known_at, watermark, row_hash)
select distinct on (i.symbol)
    i.symbol, i.asset_class, '24/7', i.currency, i.tick_size, i.lot_size * 10, i.multiplier, i.is_draft,
    greatest(%(at)s, i.known_at) + interval '1 hour', %(w)s, sha256(i.row_hash)
from trading.instruments as i join leak_series as s on s.symbol = i.symbol
where exists (select from trading.instruments as e where e.symbol = i.symbol and e.known_at <= %(at)s)
order by i.symbol, i.watermark desc
"""

# Later versions of bars that were known, and a split long past that nobody had reported.
_PRICES = """
insert into raw.price_bars (
    source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark, batch_id,
    row_hash)
select
    b.source, b.symbol, b.interval, b.timestamp, b.open * 1.7, b.high * 1.7, b.low * 1.7, b.close * 1.7, b.volume * 2 + 1,
    b.adjustment, b.nominal_at, greatest(b.known_at, %(at)s) + interval '1 hour', %(w)s, b.batch_id, sha256(b.row_hash)
from leak_series as s
cross join lateral (
    select distinct on (b.timestamp) b.* from raw.price_bars as b
    where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval and b.watermark < %(w)s
    order by b.timestamp desc, b.known_at desc, b.watermark desc
    limit greatest(2, %(bars)s / (select count(*) from leak_series))
) as b
"""

_ACTIONS = """
insert into raw.corporate_actions (
    source, symbol, kind, ex_date, ratio, nominal_at, known_at, watermark, batch_id, row_hash)
select
    s.source, s.symbol, 'split', b.timestamp::date, 7, %(at)s, %(at)s + interval '1 hour', %(w)s, b.batch_id,
    sha256(convert_to(s.symbol, 'UTF8'))
from (select distinct l.source, l.symbol from leak_series as l) as s
cross join lateral (
    select p.timestamp, p.batch_id from raw.price_bars as p
    where p.source = s.source and p.symbol = s.symbol and p.known_at <= %(at)s and p.adjustment = 'raw'
    order by p.timestamp desc offset 3 limit 1
) as b
"""


@dataclass(frozen=True)
class Appended:
    """What was appended: its watermark. It is there until the transaction is rolled back."""

    watermark: int


def append_news(conn: psycopg.Connection, subject: Subject, at: datetime) -> Appended:
    """Append news, scores and instruments that became known after `at`."""
    watermark = _watermark(conn)
    asked = {"at": at, "w": watermark, "items": _ITEMS, "scorer": subject.scorer, "version": subject.scorer_version}
    conn.execute(_NEWS, asked)
    if subject.scorer:
        conn.execute(_SCORES, asked)
    conn.execute(_INSTRUMENTS, asked)
    return Appended(watermark)


def append_prices(conn: psycopg.Connection, at: datetime) -> Appended:
    """Append versions of bars and a split per symbol that became known after `at`."""
    watermark = _watermark(conn)
    asked = {"at": at, "w": watermark, "bars": _BARS}
    conn.execute(_PRICES, asked)
    conn.execute(_ACTIONS, asked)
    return Appended(watermark)


def _watermark(conn: psycopg.Connection) -> int:
    """Take a number without the publishers' lock: nobody else will ever see it, and nobody shall wait for us."""
    row = (
        conn.execute("select watermark from raw.watermarks where transaction_id = pg_current_xact_id()").fetchone()
        or conn.execute(_WATERMARK).fetchone()
    )
    assert row is not None, "an insert that returns answers with its row"
    return int(row[0])
