-- A late version may become known before others that a compaction took away. The state that it starts from is then
-- computed again from raw: an older version's state would be a wrong one.

create or replace function features.bars_to_compute(
    of_definition text, stretch features.segment, up_to bigint, context_bars integer, until_bar timestamptz default 'infinity'
) returns setof features.pending_bars
language plpgsql stable as $$
declare
    from_bar timestamptz;
    before record;
    state_before double precision[];
begin
    select coalesce(min(c.timestamp), stretch.first_at) into from_bar
    from (
        select distinct b.timestamp
        from raw.price_bars as b
        where b.source = stretch.source and b.symbol = stretch.symbol and b.interval = stretch.interval
            and b.timestamp < stretch.first_at and b.known_at <= stretch.known_to and b.watermark <= up_to
        order by b.timestamp desc
        limit context_bars
    ) as c;
    select i.timestamp, i.known_at, i.watermark, i.state into before
    from marts.indicators as i
    where i.definition = of_definition and i.source = stretch.source and i.symbol = stretch.symbol
        and i.interval = stretch.interval and i.timestamp < stretch.first_at and i.known_at <= stretch.known_from
    order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc
    limit 1;
    state_before := before.state;
    if exists (
        select
        from features.compacted_rows as c
        where c.definition = of_definition and c.source = stretch.source and c.symbol = stretch.symbol
            and c.interval = stretch.interval and c.timestamp = before.timestamp and c.known_at <= stretch.known_from
            and (c.known_at, c.watermark) > (before.known_at, before.watermark)
    ) then
        select r.state into state_before
        from features.recompute_indicator(
            of_definition, stretch.source, stretch.symbol, stretch.interval, before.timestamp, stretch.known_from, up_to) as r;
    end if;

    return query
    with splits as (
        select distinct on (a.ex_date) a.ex_date, a.ratio
        from raw.corporate_actions as a
        where a.source = stretch.source and a.symbol = stretch.symbol and a.kind = 'split'
            and a.known_at <= stretch.known_to and a.watermark <= up_to
        order by a.ex_date asc, a.known_at desc, a.watermark desc
    ),

    factors as (
        select
            features.as_timestamp(s.ex_date) as from_at,
            coalesce(lead(features.as_timestamp(s.ex_date)) over (order by s.ex_date), 'infinity') as to_at,
            features.product(s.ratio) over (order by s.ex_date rows between unbounded preceding and current row) as factor
        from splits as s
    ),

    bars as (
        select distinct on (b.timestamp) b.*
        from raw.price_bars as b
        where b.source = stretch.source and b.symbol = stretch.symbol and b.interval = stretch.interval
            and b.timestamp >= from_bar and b.timestamp <= until_bar
            and b.known_at <= stretch.known_to and b.watermark <= up_to
        order by b.timestamp asc, b.known_at desc, b.watermark desc
    )

    select
        b.source, b.symbol, b.interval, b.timestamp,
        greatest(b.known_at, stretch.known_from), b.nominal_at, b.bar_id, b.row_hash,
        b.open, b.high, b.low, b.close, b.volume,
        case when b.adjustment = 'raw' then coalesce(f.factor, 1) else 1 end,
        case when b.timestamp >= stretch.first_at then state_before end,
        b.timestamp < stretch.first_at
    from bars as b
    left join factors as f on b.timestamp >= f.from_at and b.timestamp < f.to_at;
end $$;
