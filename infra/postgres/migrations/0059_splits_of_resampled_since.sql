-- A split that became known since is asked for with the method none too: the answer put over the earlier one is refused
-- where the whole answer is.

-- What of features.resampled_bars may be another answer at (as_of, up_to) than at (since, since_up_to): from the first
-- period that changed on, at least from the newest one then. Put over the earlier answer it is the whole answer now.
create or replace function features.resampled_since(
    of_source text, of_symbol text, of_interval text, to_interval text,
    since timestamptz, since_up_to bigint, as_of timestamptz, up_to bigint, method text default 'forward'
) returns table (
    "timestamp" timestamptz, starts_at timestamptz, ends_at timestamptz, nominal_at timestamptz, -- noqa: RF06
    known_at timestamptz, is_over boolean, bars integer,
    open numeric, high numeric, low numeric, close numeric, volume numeric
)
language plpgsql stable as $$
#variable_conflict use_column
declare
    from_at timestamptz;
begin
    perform features.check_resampling(of_interval, to_interval, method);
    select min(n.timestamp) into from_at
    from (
        select b.timestamp
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.known_at > since and b.known_at <= as_of and b.watermark <= up_to
        union all
        select b.timestamp
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.watermark > since_up_to and b.watermark <= up_to and b.known_at <= as_of
        union all
        (
            select b.timestamp
            from raw.price_bars as b
            where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
                and b.known_at <= since and b.watermark <= since_up_to
            order by b.timestamp desc
            limit 1
        )
    ) as n;
    -- Prices as delivered are changed by no action, but a split may lie inside a period of long ago: that is refused.
    if exists (
        select from raw.corporate_actions as a
        where a.source = of_source and a.symbol = of_symbol and (method <> 'none' or a.kind = 'split') and (
            (a.known_at > since and a.known_at <= as_of and a.watermark <= up_to)
            or (a.watermark > since_up_to and a.watermark <= up_to and a.known_at <= as_of))
    ) then
        from_at := '-infinity';
    end if;
    return query
    select r.*
    from features.resampled_bars(of_source, of_symbol, of_interval, to_interval, as_of, up_to, method, from_at) as r
    where from_at is not null;
end $$;
