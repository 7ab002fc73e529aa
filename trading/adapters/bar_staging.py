"""The statements of staged bars (staging.py)."""

from __future__ import annotations

from trading.adapters.staging import KNOWN_AT, Staging
from trading.ingestion.bar_columns import NUMBERS

_COLUMNS = ("number", "symbol", "interval", "timestamp", *NUMBERS, "nominal_at", "row_hash", "later_hash")

_TABLES = """
create temporary table if not exists staged_bars (
    number bigint, symbol text, interval text, timestamp timestamptz, open numeric(15, 6), high numeric(15, 6),
    low numeric(15, 6), close numeric(15, 6), volume numeric(20, 8), nominal_at timestamptz, row_hash bytea,
    later_hash bytea
);
create temporary table if not exists known_bars (number bigint, is_unchanged boolean);
truncate staged_bars, known_bars;
"""

# Of each staged bar that has versions: is the one in force at the time of its delivery the same?
_COMPARE = """
insert into known_bars
select distinct on (s.number)
    s.number,
    v.known_at <= greatest(s.nominal_at, %(received_at)s)
    and (v.open, v.high, v.low, v.close, v.volume, v.adjustment)
    = (s.open, s.high, s.low, s.close, s.volume, %(adjustment)s)
from staged_bars as s
inner join raw.price_bars as v using (symbol, interval, timestamp)
where v.source = %(source)s and v.watermark < %(watermark)s
order by s.number, v.known_at <= greatest(s.nominal_at, %(received_at)s) desc, v.known_at desc, v.watermark desc
"""

_NEW = """
from staged_bars as s left join known_bars as k using (number)
where k.is_unchanged is not true
"""

_SUMMARY = f"""
select s.symbol, s.interval, min({KNOWN_AT}), count(*), count(*) filter (where {{later}} and s.later_hash is null)
{_NEW}
group by s.symbol, s.interval
"""

_INSERT = f"""
insert into raw.price_bars (
    source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at, known_at, watermark,
    batch_id, row_hash
)
select
    %(source)s, s.symbol, s.interval, s.timestamp, s.open, s.high, s.low, s.close, s.volume, %(adjustment)s,
    s.nominal_at, {KNOWN_AT}, %(watermark)s, %(batch_id)s, case when {{later}} then s.later_hash else s.row_hash end
{_NEW}
order by s.symbol, s.interval, s.timestamp
"""

BARS = Staging("prices", "staged_bars", "known_bars", _COLUMNS, _TABLES, _COMPARE, _SUMMARY, _INSERT)
