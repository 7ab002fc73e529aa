"""The statements of feature_store/blast_radius.py, in the order in which they run. `{view}` and column lists are filled
in there; working tables are temporary and end with the transaction.
"""

# %(batch)s, or %(source)s %(symbol)s %(first)s %(last)s: which changes are asked for.
CHANGES = """
create temporary table changes on commit drop as
select * from features.bar_changes(%(batch)s, %(source)s, %(symbol)s, %(first)s, %(last)s)
union all
select * from features.split_changes(%(batch)s, %(source)s, %(symbol)s, %(first)s, %(last)s)
union all
select * from features.recall_changes(%(batch)s, %(source)s, %(symbol)s, %(first)s, %(last)s)
union all
select * from features.trade_changes(%(batch)s, %(source)s, %(symbol)s, %(first)s, %(last)s)
"""

NEWS_CHANGES = """
create temporary table news_changes on commit drop as
select * from features.news_changes(%(batch)s, %(source)s, %(symbol)s, %(first)s, %(last)s)
"""

# Changes of a series that hide and are hidden alike are one reach from the first of them on: a restated history is one.
REACHES = """
create temporary table reaches on commit drop as
select
    c.source, c.symbol, c.interval, c.rested_known_at, c.rested_watermark, c.hidden_known_at, c.hidden_watermark,
    min(c.timestamp) as first_at
from pg_temp.changes as c
where c.what <> 'trade'
group by 1, 2, 3, 4, 5, 6, 7
"""

CONSUMED = """
create temporary table consumed (
    view text not null,
    definition text not null,
    row_id bigint not null,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null,
    is_changed boolean not null,
    is_first boolean not null,
    replaced_at bigint
) on commit drop
"""

# Of each row found: whether its newest version says something else, whether it is the first print of its key (what
# training and backtests read) as of its publication, and which later publication replaced it as such.
_KEEP = """
insert into pg_temp.consumed
select
    %(view)s, i.definition, i.row_id, i.source, i.symbol, i.interval, i.timestamp, i.known_at, i.watermark,
    v.newest <> i.row_id and exists (
        select from {view} as n where n.row_id = v.newest and row({newest}) is distinct from row({mine})),
    i.known_at = v.first_known_at,
    v.replaced_at
from found
join {view} as i on i.row_id = found.row_id
cross join lateral (
    select
        (array_agg(o.row_id order by o.known_at desc, o.watermark desc, o.row_id desc))[1] as newest,
        min(o.known_at) filter (where o.watermark <= i.watermark) as first_known_at,
        min(o.watermark) filter (where o.known_at <= i.known_at and (o.watermark, o.row_id) > (i.watermark, i.row_id))
            as replaced_at
    from {view} as o
    where o.definition = i.definition and o.source = i.source and o.symbol = i.symbol and o.interval = i.interval
        and o.timestamp = i.timestamp
) as v
"""

_VISIBLE = """
    i.known_at >= coalesce(r.rested_known_at, '-infinity') and i.source_watermark >= coalesce(r.rested_watermark, 0)
    and not exists (
        select from unnest(r.hidden_known_at, r.hidden_watermark) as h (known_at, watermark)
        where i.known_at >= h.known_at and i.source_watermark >= h.watermark)
"""

BARS_TO_ROWS = (
    """
with found as materialized (
    select distinct i.row_id
    from pg_temp.reaches as r
    join {view} as i
        on i.definition = %(definition)s and i.source = r.source and i.symbol = r.symbol and i.interval = r.interval
        and i.timestamp >= r.first_at
    where """
    + _VISIBLE
    + ")"
    + _KEEP
)

ROWS_OF_INDICATORS = (
    """
with found as materialized (
    select f.row_id
    from pg_temp.consumed as c
    join features.daily as f
        on f.definition = %(definition)s and f.source = c.source and f.symbol = c.symbol and f.interval = c.interval
        and f.timestamp = c.timestamp and f.indicator_row_id = c.row_id
    where c.view = 'marts.indicators' and c.definition = %(indicators)s
)"""
    + _KEEP
)

# The days that read the superseded version of an item: its symbols', from its time on while it is not yet behind the
# five-session window, decided while it was known and its correction was not. A back-dated item: the days that it would
# have been read on, made before it was scored.
NEWS_TO_ROWS = (
    """
with read as (
    select
        n.known_at, n.watermark, p.item_id is not null as is_corrected, i.symbols, i.nominal_at,
        i.known_at as rested_known_at, z.watermark as scored_at
    from pg_temp.news_changes as n
    left join raw.news_items as p on p.item_id = n.old_item
    join raw.news_items as i on i.item_id = coalesce(n.old_item, n.new_item)
    join features.news_scores as z
        on z.item_id = i.item_id and z.scorer = %(scorer)s and z.scorer_version = %(scorer_version)s
),

windows as (
    select r.*, s.symbol, w.ends_at
    from read as r
    cross join lateral unnest(r.symbols) as s (symbol)
    left join lateral (
        select c.closes_at as ends_at
        from trading.calendar_sessions as c
        where c.calendar = features.calendar_of(s.symbol, 'infinity', 9223372036854775807) and c.closes_at >= r.nominal_at
        order by c.closes_at
        offset 5 limit 1
    ) as w on true
),

found as materialized (
    select distinct i.row_id
    from windows as w
    cross join raw.sources as s
    join features.daily as i on i.definition = %(definition)s and i.source = s.source and i.symbol = w.symbol
    where i.decision_at >= greatest(w.nominal_at, w.rested_known_at) and (w.ends_at is null or i.decision_at < w.ends_at)
        and case
            when w.is_corrected then i.source_watermark >= w.scored_at
                and (i.decision_at < w.known_at or i.source_watermark < w.watermark)
            else i.source_watermark < w.scored_at end
        and not exists (select from pg_temp.consumed as c where c.view = 'features.daily' and c.row_id = i.row_id)
)"""
    + _KEEP
)

# Every item is the first of its id once: it came late only where a day was made without it.
DROP_ON_TIME_NEWS = """
delete from pg_temp.news_changes as n
where n.why = 'late' and not exists (
    select from raw.news_items as i
    join pg_temp.consumed as c
        on c.view = 'features.daily' and c.symbol = any(i.symbols)
        and c.timestamp between n.nominal_at - interval '4 days' and n.nominal_at + interval '31 days'
    where i.item_id = n.new_item)
"""

SUMMARY = """
select
    c.view, c.definition, count(*) as rows, count(*) filter (where c.is_changed) as changed,
    count(distinct (c.source, c.symbol, c.interval)) as series,
    min(c.timestamp) as first_timestamp, max(c.timestamp) as last_timestamp,
    array_agg(c.row_id order by c.row_id) as ids,
    coalesce(array_agg(c.row_id order by c.row_id) filter (where c.is_changed), '{}') as changed_ids
from pg_temp.consumed as c
group by c.view, c.definition
order by c.view desc, c.definition
"""

SERIES = """
select
    c.source, c.symbol, c.interval, min(c.timestamp) as first_timestamp, max(c.timestamp) as last_timestamp,
    min(c.watermark) as first_watermark, max(coalesce(c.replaced_at - 1, 9223372036854775807)) as last_watermark
from pg_temp.consumed as c
where c.is_first and c.view = 'features.daily'
group by c.source, c.symbol, c.interval
order by c.source, c.symbol, c.interval
"""

# The first prints that a training set read.
_HELD = """
    from features.snapshots as s
    join pg_temp.consumed as c
        on c.view = s.view and c.definition = s.definition and c.source = s.source and c.symbol = any(s.symbols)
        and c.timestamp between s.first_timestamp and s.last_timestamp
    where c.is_first and c.watermark <= s.watermark and (c.replaced_at is null or c.replaced_at > s.watermark)
"""

HELD_ROWS = "select c.symbol, c.timestamp, c.known_at" + _HELD + "and s.register_id = %(register_id)s"

SNAPSHOTS = (
    """
with holding as (
    select s.register_id, count(*) as rows
"""
    + _HELD
    + """
        and (s.universe is not null or not exists (
            select from features.snapshots as o
            where o.snapshot_id = s.snapshot_id and o.sha256 = s.sha256 and o.universe is not null))
    group by s.register_id
)

select
    s.register_id, s.snapshot_id, s.sha256, s.object_key, s.view, s.definition, s.source, s.symbols, s.watermark,
    s.row_count, s.universe, s.asked_symbols, s.interval, s.adjustment, coalesce(h.rows, 0) as rows
from features.snapshots as s
left join holding as h on h.register_id = s.register_id
where h.register_id is not null or s.register_id = any(%(registered)s)
order by s.recorded_at, s.register_id
"""
)

# What the snapshot's window gave when it was frozen beside what it gives now: first prints, by the newest publication.
_TWICE = """
with asked as (
    select s.* from features.snapshots as s where s.register_id = %(register_id)s
),

versions as (
    select v.symbol, v.timestamp, v.known_at, v.watermark, v.row_id, v.row_hash, v.watermark <= s.watermark as was_there
    from asked as s
    join {view} as v
        on v.definition = s.definition and v.source = s.source and v.symbol = any(s.symbols)
        and v.timestamp between s.first_timestamp and s.last_timestamp
),

frozen as (
    select distinct on (v.symbol, v.timestamp) v.*
    from versions as v where v.was_there
    order by v.symbol, v.timestamp, v.known_at, v.watermark desc, v.row_id desc
),

present as (
    select distinct on (v.symbol, v.timestamp) v.*
    from versions as v
    order by v.symbol, v.timestamp, v.known_at, v.watermark desc, v.row_id desc
)
"""

_DIFFERING = """
from frozen as f
full join present as p on p.symbol = f.symbol and p.timestamp = f.timestamp
where f.row_hash is distinct from p.row_hash
"""

WOULD_DIFFER = _TWICE + "select count(*)" + _DIFFERING

ROWS_THAT_DIFFER = (
    _TWICE
    + """
select
    coalesce(f.symbol, p.symbol) as symbol, coalesce(f.timestamp, p.timestamp) as timestamp, f.known_at as was_known_at,
    p.known_at as is_known_at
"""
    + _DIFFERING
)
