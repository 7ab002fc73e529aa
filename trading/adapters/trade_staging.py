"""The statements of staged trades (staging.py)."""

from __future__ import annotations

from trading.adapters.staging import KNOWN_AT, Staging

_COLUMNS = (
    "number",
    "symbol",
    "trade_id",
    "timestamp",
    "price",
    "size",
    "side",
    "nominal_at",
    "row_hash",
    "later_hash",
)

_TABLES = """
create temporary table if not exists staged_trades (
    number bigint, symbol text, trade_id text, timestamp timestamptz, price numeric(15, 6), size numeric(20, 8),
    side text, nominal_at timestamptz, row_hash bytea, later_hash bytea
);
create temporary table if not exists known_trades (number bigint, is_unchanged boolean);
truncate staged_trades, known_trades;
"""

# Of each staged trade that has versions: is the one in force at the time of its delivery the same?
_COMPARE = """
insert into known_trades
select distinct on (s.number)
    s.number,
    v.known_at <= greatest(s.nominal_at, %(received_at)s)
    and (v.timestamp, v.price, v.size) = (s.timestamp, s.price, s.size) and v.side is not distinct from s.side
from staged_trades as s
inner join raw.trades as v using (symbol, trade_id)
where v.source = %(source)s and v.watermark < %(watermark)s
order by s.number, v.known_at <= greatest(s.nominal_at, %(received_at)s) desc, v.known_at desc, v.watermark desc
"""

_NEW = """
from staged_trades as s left join known_trades as k using (number)
where k.is_unchanged is not true
"""

_SUMMARY = f"""
select s.symbol, null::text, min({KNOWN_AT}), count(*), count(*) filter (where {{later}} and s.later_hash is null)
{_NEW}
group by s.symbol
"""

_INSERT = f"""
insert into raw.trades (
    source, symbol, trade_id, timestamp, price, size, side, nominal_at, known_at, watermark, batch_id, row_hash
)
select
    %(source)s, s.symbol, s.trade_id, s.timestamp, s.price, s.size, s.side, s.nominal_at, {KNOWN_AT}, %(watermark)s,
    %(batch_id)s, case when {{later}} then s.later_hash else s.row_hash end
{_NEW}
order by s.symbol, s.timestamp, s.number
"""

TRADES = Staging("trades", "staged_trades", "known_trades", _COLUMNS, _TABLES, _COMPARE, _SUMMARY, _INSERT)
