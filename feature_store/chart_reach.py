"""Which chart bars a change reaches: those over corrected or late trades, or over corrected, late or recalled finer bars.

Asked of the temporary table `changes` of feature_store/blast_radius.py. A chart remembers: from the bar that holds the
changed print on, every bar of it that was made from what was there before, as with the rows of an indicator.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True)
class ConsumedChart:
    """The versions of a chart's bars that were made from what was corrected, late or recalled.

    Attributes:
        fed: `trades`, or the interval of the finer bars.
        bars, changed: How many there are; how many have a newer version with other values, or that withdraws the bar.
        ids: Their row ids in `marts.chart_bars`, ascending.
    """

    definition: str
    chart_style: str
    parameter: str
    fed: str
    source: str
    symbol: str
    bars: int
    changed: int
    first_timestamp: datetime
    last_timestamp: datetime
    ids: list[int]


def trace_charts(conn: psycopg.Connection) -> list[ConsumedChart]:
    """Return the charts whose bars rest on what `pg_temp.changes` names, by source, symbol and style."""
    return conn.cursor(row_factory=class_row(ConsumedChart)).execute(_CHARTS).fetchall()


# A split changes no print: charts are made of prices as traded. A bar is published after what it was made from.
_CHARTS = """
with reaches as (
    select
        c.source, c.symbol, c.interval as fed, c.rested_known_at, c.rested_watermark, c.hidden_known_at,
        c.hidden_watermark, min(c.timestamp) as first_at
    from pg_temp.changes as c
    where c.what in ('bar', 'trade')
    group by 1, 2, 3, 4, 5, 6, 7
),

charts as (
    select distinct c.definition, c.chart_style, c.parameter, c.fed, c.source, c.symbol from marts.charts as c
),

found as (
    select distinct on (b.row_id) b.*, c.fed
    from reaches as r
    inner join charts as c on c.source = r.source and c.symbol = r.symbol and c.fed = r.fed
    inner join marts.chart_bars as b
        on b.definition = c.definition and b.source = c.source and b.symbol = c.symbol and b.closed_at >= r.first_at
    where not b.is_withdrawn and b.known_at >= coalesce(r.rested_known_at, '-infinity')
        and b.watermark > coalesce(r.rested_watermark, 0)
        and not exists (
            select from unnest(r.hidden_known_at, r.hidden_watermark) as h (known_at, watermark)
            where b.known_at >= h.known_at and b.watermark > h.watermark)
),

compared as (
    select f.*, newest.is_other
    from found as f
    cross join lateral (
        select
            (n.ended_at, n.open, n.high, n.low, n.close, n.volume, n.trade_count)
            is distinct from (f.ended_at, f.open, f.high, f.low, f.close, f.volume, f.trade_count) as is_other
        from marts.chart_bars as n
        where n.definition = f.definition and n.source = f.source and n.symbol = f.symbol
            and n.timestamp = f.timestamp and n.sequence = f.sequence
        order by n.known_at desc, n.watermark desc
        limit 1
    ) as newest
)

select
    c.definition, c.chart_style, c.parameter, c.fed, c.source, c.symbol, count(*) as bars,
    count(*) filter (where c.is_other) as changed, min(c.timestamp) as first_timestamp,
    max(c.timestamp) as last_timestamp, array_agg(c.row_id order by c.row_id) as ids
from compared as c
group by 1, 2, 3, 4, 5, 6
order by c.source, c.symbol, c.chart_style, c.parameter, c.fed, c.definition
"""
