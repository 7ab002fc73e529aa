-- features.bar_changes again, made for large batches: a series that had no bar before has no change and is left out before
-- anything is looked up, and what each series had is asked once per publication instead of once per bar.
create or replace function features.bar_changes(
    of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz
)
returns setof features.change
language sql stable rows 100
begin atomic
    with batch as materialized (
        select n.batch_id, n.watermark from raw.ingestion_batches as n where n.batch_id = of_batch and n.kind = 'prices'
    ),

    candidates as materialized (
        select b.bar_id, b.source, b.symbol, b.interval, b.timestamp, b.watermark
        from batch as n
        join raw.price_bars as b on b.watermark = n.watermark and b.batch_id = n.batch_id
        union all
        -- Later versions of the batch's bars.
        select later.bar_id, later.source, later.symbol, later.interval, later.timestamp, later.watermark
        from batch as n
        join raw.price_bars as later on later.watermark > n.watermark
        join raw.price_bars as m
            on m.source = later.source and m.symbol = later.symbol and m.interval = later.interval
            and m.timestamp = later.timestamp and m.watermark = n.watermark and m.batch_id = n.batch_id
        union all
        select b.bar_id, b.source, b.symbol, b.interval, b.timestamp, b.watermark
        from raw.sources as s
        join raw.price_bars as b on b.source = s.source and b.symbol = of_symbol
        where of_batch is null and (of_source is null or s.source = of_source) and b.timestamp between from_at and to_at
    ),

    publications as materialized (
        select distinct c.source, c.symbol, c.interval, c.watermark from candidates as c
    ),

    -- What each series had before: a first version of a bar is a change only if a later bar was there already.
    reached as materialized (
        select k.source, k.symbol, k.interval, k.watermark, newest.timestamp as newest_bar
        from publications as k
        cross join lateral (
            select b.timestamp
            from raw.price_bars as b
            where b.source = k.source and b.symbol = k.symbol and b.interval = k.interval and b.watermark < k.watermark
            order by b.timestamp desc
            limit 1
        ) as newest
    ),

    possible as materialized (
        select c.bar_id, r.newest_bar
        from reached as r
        join candidates as c
            on c.source = r.source and c.symbol = r.symbol and c.interval = r.interval and c.watermark = r.watermark
        where c.timestamp <= r.newest_bar
    )

    select
        'bar', case when p.bar_id is null then 'late' else 'corrected' end,
        c.source, c.symbol, c.interval, c.timestamp, p.bar_id as old_id, c.bar_id as new_id, c.batch_id, c.known_at, c.watermark,
        coalesce(nullif(features.bar_detail(p, c), ''), case when p.bar_id is null then format('close %s came late', trim_scale(c.close)) else 'the same values' end),
        features.effective_known_at(p.known_at, p.nominal_at) as rested_known_at, p.watermark as rested_watermark,
        h.known_at as hidden_known_at, h.watermark as hidden_watermark
    from possible as o
    join raw.price_bars as c on c.bar_id = o.bar_id
    left join lateral (
        select b.*
        from raw.price_bars as b
        where b.source = c.source and b.symbol = c.symbol and b.interval = c.interval and b.timestamp = c.timestamp
            and b.watermark < c.watermark and (b.known_at, b.watermark) < (c.known_at, c.watermark)
        order by b.known_at desc, b.watermark desc
        limit 1
    ) as p on true
    cross join lateral (
        select
            array_agg(features.effective_known_at(b.known_at, b.nominal_at) order by b.known_at, b.watermark) as known_at,
            array_agg(b.watermark order by b.known_at, b.watermark) as watermark
        from raw.price_bars as b
        where b.source = c.source and b.symbol = c.symbol and b.interval = c.interval and b.timestamp = c.timestamp
            and (p.bar_id is null or (b.known_at, b.watermark) > (p.known_at, p.watermark))
    ) as h
    where (p.bar_id is not null or o.newest_bar > c.timestamp)
        and (of_batch is null or of_batch in (c.batch_id, p.batch_id));
end;
