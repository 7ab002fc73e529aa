-- Trades that superseded an earlier version, or came after later ones of their series: what a change of prints is. As
-- features.bar_changes says it of bars; "interval" is `trades`, as charts name what they are fed (marts.charts).

create function features.trade_detail(old raw.trades, new raw.trades) returns text
language sql stable
return concat_ws(
    ', ',
    case when old.timestamp <> new.timestamp then 'moment' end,
    case when old.price <> new.price then format('price %s -> %s', trim_scale(old.price), trim_scale(new.price)) end,
    case when old.size <> new.size then format('size %s -> %s', trim_scale(old.size), trim_scale(new.size)) end,
    case when old.side is distinct from new.side then format('side %s -> %s', coalesce(old.side, 'unknown'), coalesce(new.side, 'unknown')) end
);

-- Those that a batch brought, those that later corrected a batch's, or those of a symbol (moments from..to).
create function features.trade_changes(
    of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz
)
returns setof features.change
language sql stable rows 100
begin atomic
    with series as materialized (
        select distinct t.source, t.symbol
        from raw.ingestion_batches as n
        join raw.trades as t on t.watermark = n.watermark and t.batch_id = n.batch_id
        where n.batch_id = of_batch and n.kind = 'trades'
        union all
        select s.source, of_symbol
        from raw.sources as s
        where of_batch is null and (of_source is null or s.source = of_source)
    ),

    -- What stood after each trade when it was published, and how many versions it has.
    told as materialized (
        select
            t.version_id, t.timestamp,
            count(*) over (partition by t.source, t.symbol, t.trade_id) as versions,
            max(t.timestamp) over (
                partition by t.source, t.symbol order by t.watermark range between unbounded preceding and 1 preceding
            ) as newest
        from series as s
        join raw.trades as t on t.source = s.source and t.symbol = s.symbol
    )

    select
        'trade', case when p.version_id is null then 'late' else 'corrected' end,
        c.source, c.symbol, 'trades', least(p.timestamp, c.timestamp), p.version_id as old_id, c.version_id as new_id, c.batch_id, c.known_at, c.watermark,
        format('trade %s ', c.trade_id)
        || case when p.version_id is null then 'came late' else coalesce(nullif(features.trade_detail(p, c), ''), 'the same values') end,
        features.effective_known_at(p.known_at, p.nominal_at) as rested_known_at, p.watermark as rested_watermark,
        h.known_at as hidden_known_at, h.watermark as hidden_watermark
    from told as o
    join raw.trades as c on c.version_id = o.version_id and c.timestamp = o.timestamp
    left join lateral (
        select t.*
        from raw.trades as t
        where o.versions > 1 and t.source = c.source and t.symbol = c.symbol and t.trade_id = c.trade_id
            and t.watermark < c.watermark and (t.known_at, t.watermark) < (c.known_at, c.watermark)
        order by t.known_at desc, t.watermark desc
        limit 1
    ) as p on true
    cross join lateral (
        select
            array_agg(features.effective_known_at(t.known_at, t.nominal_at) order by t.known_at, t.watermark) as known_at,
            array_agg(t.watermark order by t.known_at, t.watermark) as watermark
        from raw.trades as t
        where t.source = c.source and t.symbol = c.symbol and t.trade_id = c.trade_id
            and (p.version_id is null or (t.known_at, t.watermark) > (p.known_at, p.watermark))
    ) as h
    where (o.versions > 1 or o.newest > o.timestamp)
        and (p.version_id is not null or o.newest > c.timestamp)
        and (of_batch in (c.batch_id, p.batch_id) or (of_batch is null and c.timestamp between from_at and to_at));
end;
