"""What a report says, read from the warehouse in one transaction.

Rows come as plain dictionaries: their only use is a template and a table on a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from trading.adapters.comparisons import newest_comparison

Row = dict[str, Any]


@dataclass(frozen=True)
class EquityCurve:
    """Equity of one session at each of its marks (USD), oldest first."""

    session_id: str
    label: str
    timestamps: tuple[Any, ...]
    equity_usd: tuple[float, ...]

    @property
    def total_return(self) -> float:
        """The return from the first mark to the last, as a fraction."""
        return self.equity_usd[-1] / self.equity_usd[0] - 1


@dataclass(frozen=True)
class ReportContent:
    """All that a report shows."""

    batches: list[Row]
    quarantine: list[Row]
    table_rows: list[Row]
    promotions: list[Row]
    sessions: list[Row]
    fills: list[Row]
    curves: list[EquityCurve]
    baseline: EquityCurve | None
    comparison: Row | None = None


def read_content(conn: psycopg.Connection, session_ids: Sequence[str], source: str = "") -> ReportContent:
    """Read the report of the given sessions, and what hindsight is worth on the data of `source`."""
    ids = list(session_ids)
    curves = [_curve(conn, session_id) for session_id in ids]
    return ReportContent(
        batches=_rows(conn, _BATCHES),
        quarantine=_rows(conn, _QUARANTINE),
        table_rows=_rows(conn, _TABLE_ROWS),
        promotions=_rows(conn, _PROMOTIONS),
        sessions=_rows(conn, _SESSIONS, ids),
        fills=_rows(conn, _FILLS, ids),
        curves=curves,
        baseline=_buy_and_hold(conn, ids[0]) if ids else None,
        comparison=newest_comparison(conn, source) if source else None,
    )


def _rows(conn: psycopg.Connection, query: str, *parameters: Any) -> list[Row]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def _curve(conn: psycopg.Connection, session_id: str) -> EquityCurve:
    marks = conn.execute(
        "select timestamp, equity_usd::float8 from trading.portfolio_snapshots where session_id = %s order by timestamp",
        [session_id],
    ).fetchall()
    label = conn.execute(
        "select name || ' (' || model_name || ' v' || model_version || ')' from trading.sessions where session_id = %s",
        [session_id],
    ).fetchone()
    return EquityCurve(
        session_id,
        label[0] if label else session_id,
        tuple(mark[0] for mark in marks),
        tuple(mark[1] for mark in marks),
    )


def _buy_and_hold(conn: psycopg.Connection, session_id: str) -> EquityCurve | None:
    """Equal cash in each symbol at its first close of the session, held: before costs, so a bar set high."""
    marks = conn.execute(_BUY_AND_HOLD, [session_id]).fetchall()
    if not marks:
        return None
    return EquityCurve(
        session_id, "buy and hold, before costs", tuple(mark[0] for mark in marks), tuple(mark[1] for mark in marks)
    )


_BATCHES = """
select kind, source, mode, status, count(*) as batches, sum(rows_in) as rows_in, sum(rows_published) as rows_published,
    sum(rows_unchanged) as rows_unchanged, sum(rows_quarantined) as rows_quarantined, max(watermark) as watermark
from raw.ingestion_batches group by kind, source, mode, status order by kind, source, mode, status
"""

_QUARANTINE = """
select b.kind, b.source, q.rule, count(*) as rows, min(q.detail) as example
from raw.quarantined_rows as q join raw.ingestion_batches as b using (batch_id)
group by b.kind, b.source, q.rule order by rows desc, q.rule
"""

_TABLE_ROWS = """
select 'raw.price_bars' as name, count(*) as rows from raw.price_bars
union all select 'raw.news_items', count(*) from raw.news_items
union all select 'marts.market_data', count(*) from marts.market_data
union all select 'marts.indicators', count(*) from marts.indicators
union all select 'marts.indicators_extended', count(*) from marts.indicators_extended
union all select 'features.news_scores', count(*) from features.news_scores
union all select 'features.daily', count(*) from features.daily
union all select 'trading.decisions', count(*) from trading.decisions
union all select 'trading.fills', count(*) from trading.fills
"""

_PROMOTIONS = """
select model_name, alias, from_version, to_version, verdict, reason, report, decided_at
from trading.promotions order by promotion_id desc limit 10
"""

_SESSIONS = """
select s.session_id, s.name, s.model_name, s.model_version, s.alias, s.source, s.first_timestamp, s.last_timestamp,
    s.starting_cash, s.status,
    (select count(*) from trading.decisions as d where d.session_id = s.session_id) as decisions,
    (select count(*) from trading.decisions as d where d.session_id = s.session_id and d.outcome = 'denied') as denied,
    (select count(*) from trading.order_intents as i where i.session_id = s.session_id) as orders,
    (select count(*) from trading.fills as f where f.session_id = s.session_id) as fills,
    (select coalesce(sum(f.commission_usd), 0) from trading.fills as f where f.session_id = s.session_id) as commission_usd,
    (select coalesce(sum(f.slippage_usd), 0) from trading.fills as f where f.session_id = s.session_id) as slippage_usd,
    p.equity_usd, p.equity_usd / s.starting_cash - 1 as total_return
from trading.sessions as s
left join lateral (
    select equity_usd from trading.portfolio_snapshots as p where p.session_id = s.session_id order by timestamp desc limit 1
) as p on true
where s.session_id = any(%s) order by s.name
"""

_FILLS = """
select f.session_id, s.name as session_name, f.fill_id, f.timestamp, f.symbol, f.side, f.quantity, f.price_usd,
    f.commission_usd, f.realized_pnl_usd, d.decision_id, d.confidence, d.sentiment
from trading.fills as f
join trading.sessions as s using (session_id)
join trading.order_intents as i using (client_order_id)
join trading.decisions as d on d.decision_id = i.decision_id
where f.session_id = any(%s) order by f.timestamp, f.symbol, s.name
"""

_BUY_AND_HOLD = """
with asked as (select * from trading.sessions where session_id = %s),
closes as (
    select d.symbol, d.timestamp, d.close, first_value(d.close) over (partition by d.symbol order by d.timestamp) as bought
    from asked as s
    join features.daily_as_of(s.feature_service ->> 'definition', 'infinity'::timestamptz, s.watermark) as d
        on d.source = s.source and d.symbol = any(s.symbols)
        and d.timestamp between s.first_timestamp and s.last_timestamp
)
select c.timestamp, sum(s.starting_cash::float8 / cardinality(s.symbols) * c.close / c.bought)
    + max(s.starting_cash::float8) * (1 - count(*)::float8 / max(cardinality(s.symbols)))
from closes as c cross join asked as s group by c.timestamp order by c.timestamp
"""
