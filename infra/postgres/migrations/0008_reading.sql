-- Reading derived rows as of (t, w), and computing one again from raw.

create function features.indicators_as_of(of_definition text, as_of timestamptz, up_to bigint)
returns setof marts.indicators
language sql stable
begin atomic
    select distinct on (i.source, i.symbol, i.interval, i.timestamp) i.*
    from marts.indicators as i
    where i.definition = indicators_as_of.of_definition
        and i.known_at <= indicators_as_of.as_of and i.watermark <= indicators_as_of.up_to
    order by i.source, i.symbol, i.interval, i.timestamp, i.known_at desc, i.watermark desc, i.row_id desc;
end;

create function features.daily_as_of(of_definition text, as_of timestamptz, up_to bigint)
returns setof features.daily
language sql stable
begin atomic
    select distinct on (f.source, f.symbol, f.interval, f.timestamp) f.*
    from features.daily as f
    where f.definition = daily_as_of.of_definition
        and f.known_at <= daily_as_of.as_of and f.watermark <= daily_as_of.up_to
    order by f.source, f.symbol, f.interval, f.timestamp, f.known_at desc, f.watermark desc, f.row_id desc;
end;

-- The newest publication that a definition's rows reflected as of a watermark.
create function features.source_watermark_at(of_definition text, up_to bigint) returns bigint
language sql stable
return (
    select coalesce(max(a.source_watermark), 0)
    from features.advances as a
    where a.definition = of_definition and a.watermark <= up_to
);

-- The latest known_at of everything that a derived row rests on.
create function features.inputs_known_at(
    of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns timestamptz
language sql stable
return (
    select max(k.known_at)
    from (
        select b.known_at
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.timestamp <= at_time and b.known_at <= as_of and b.watermark <= up_to
        union all
        select a.known_at
        from raw.corporate_actions as a
        where a.source = of_source and a.symbol = of_symbol and features.as_timestamp(a.ex_date) <= at_time
            and a.known_at <= as_of and a.watermark <= up_to
            and exists (
                select from raw.price_bars as b
                where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval and b.adjustment = 'raw')
    ) as k
);

-- An indicator row computed again: from the first bar, in one pass, without any stored state. Rows pass through jsonb,
-- which writes floats by extra_float_digits: 1 is exact.
create function features.recompute_indicator(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns setof marts.indicators
language plpgsql stable set extra_float_digits = 1 as $$
declare
    d features.definitions;
    stretch constant features.segment := (of_source, of_symbol, of_interval, 0, '-infinity', as_of, '-infinity');
    computed record;
    result marts.indicators;
    known timestamptz;
begin
    perform features.check_functions(of_definition);
    select * into strict d from features.definitions where definition = of_definition;
    known := features.inputs_known_at(of_source, of_symbol, of_interval, at_time, as_of, up_to);
    for computed in execute format(
        'select to_jsonb(made) as content, made.state, made.bar_hash from (%s) as made where made.timestamp = $4',
        features.indicator_sql(of_definition,
            'select p.source, p.symbol, p.interval, p.timestamp, $3 as known_at, p.nominal_at, p.bar_id, p.bar_hash, p.open, p.high, p.low, p.close, p.volume, p.factor, p.seed, p.is_context '
            'from features.bars_to_compute(null, $1, $2, 0, $4) as p')
    ) using stretch, up_to, known, at_time
    loop
        result := jsonb_populate_record(null::marts.indicators, computed.content);
        result.definition := of_definition;
        return next result;
    end loop;
end $$;

-- A daily row computed again from raw: its indicator row first, then its news.
create function features.recompute_daily(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint,
    indicators_up_to bigint
) returns setof features.daily
language plpgsql stable set extra_float_digits = 1 as $$
declare
    d features.definitions;
    computed record;
    result features.daily;
    indicator marts.indicators;
begin
    perform features.check_functions(of_definition);
    select * into strict d from features.definitions where definition = of_definition;
    select * into indicator
    from features.recompute_indicator(d.parameters ->> 'indicators', of_source, of_symbol, of_interval, at_time, as_of, indicators_up_to);
    if indicator.symbol is null then
        return;
    end if;
    indicator.row_id := 0;
    for computed in execute features.daily_sql(of_definition, 'select ($1).*, ($1).nominal_at as decision_at, $2 as up_to')
        using indicator, up_to
    loop
        result := jsonb_populate_record(null::features.daily, to_jsonb(computed));
        result.definition := of_definition;
        return next result;
    end loop;
end $$;

-- A row of any definition, computed again from raw as of (as_of, watermark), as the feature store would have answered:
-- its identity and its numbers, in the order of the definition's columns. No row: there was none to answer with.
create function features.recompute(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns table (row_hash bytea, known_at timestamptz, columns text[], numbers double precision [])
language plpgsql stable set extra_float_digits = 1 as $$
declare
    d features.definitions;
    made record;
    taken bigint := features.source_watermark_at(of_definition, up_to);
begin
    select * into strict d from features.definitions where definition = of_definition;
    if d.view = 'marts.indicators' then
        select to_jsonb(r) as content, r.row_hash, r.known_at into made
        from features.recompute_indicator(of_definition, of_source, of_symbol, of_interval, at_time, as_of, taken) as r;
    else
        select to_jsonb(r) as content, r.row_hash, r.known_at into made
        from features.recompute_daily(
            of_definition, of_source, of_symbol, of_interval, at_time, as_of, taken,
            features.source_watermark_at(d.parameters ->> 'indicators', up_to)) as r;
    end if;
    if made.row_hash is not null then
        return query select made.row_hash, made.known_at, d.columns,
            (select array_agg((made.content ->> c.name)::double precision order by c.place)
             from unnest(d.columns) with ordinality as c (name, place));
    end if;
end $$;
