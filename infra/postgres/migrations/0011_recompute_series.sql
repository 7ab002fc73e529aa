-- Many rows of one series computed again from raw in one pass, for replay: features.recompute, set-wise.

-- Since when each bar of a series is known with everything that lies before it: all versions of bars and splits.
create function features.inputs_known_by_bar(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
) returns table (bar_at timestamptz, inputs_known_at timestamptz)
language sql stable
begin atomic
    with inputs as (
        select b.timestamp as at_time, b.known_at, b.adjustment = 'raw' as is_raw
        from raw.price_bars as b
        where b.source = inputs_known_by_bar.of_source and b.symbol = inputs_known_by_bar.of_symbol
            and b.interval = inputs_known_by_bar.of_interval
            and b.known_at <= inputs_known_by_bar.as_of and b.watermark <= inputs_known_by_bar.up_to
        union all
        select features.as_timestamp(a.ex_date), a.known_at, null
        from raw.corporate_actions as a
        where a.source = inputs_known_by_bar.of_source and a.symbol = inputs_known_by_bar.of_symbol
            and a.known_at <= inputs_known_by_bar.as_of and a.watermark <= inputs_known_by_bar.up_to
            and exists (
                select from raw.price_bars as b
                where b.source = a.source and b.symbol = a.symbol and b.interval = inputs_known_by_bar.of_interval
                    and b.adjustment = 'raw')
    )

    select i.at_time, max(max(i.known_at)) over (order by i.at_time)
    from inputs as i
    group by i.at_time;
end;

-- The daily rows from_at..to_at of a series, as a rebuild on what is known at `as_of` gives them. `inputs_known_at` says
-- whether a row is also what an earlier question got: for every t >= inputs_known_at (and <= as_of) it is what
-- features.recompute gives at t, because nothing that it rests on became known after.
create function features.recompute_series(
    of_definition text, of_source text, of_symbol text, of_interval text, from_at timestamptz, to_at timestamptz,
    as_of timestamptz, up_to bigint
) returns table (at_time timestamptz, row_hash bytea, inputs_known_at timestamptz)
language plpgsql stable as $$
declare
    d features.definitions;
    indicators_definition text;
    indicators marts.indicators[];
    stretch constant features.segment := (of_source, of_symbol, of_interval, 0, '-infinity', as_of, '-infinity');
begin
    select * into strict d from features.definitions where definition = of_definition;
    indicators_definition := d.parameters ->> 'indicators';
    perform features.check_functions(of_definition), features.check_functions(indicators_definition);
    execute format(
        'select array_agg(jsonb_populate_record(null::marts.indicators, to_jsonb(made) || $6) order by made.timestamp) '
        'from (%s) as made where made.timestamp >= $5',
        features.indicator_sql(indicators_definition,
            'select p.source, p.symbol, p.interval, p.timestamp, k.inputs_known_at as known_at, p.nominal_at, p.bar_id, p.bar_hash, '
            'p.open, p.high, p.low, p.close, p.volume, p.factor, p.seed, p.is_context '
            'from features.bars_to_compute(null, $1, $2, 0, $4) as p '
            'join features.inputs_known_by_bar(($1).source, ($1).symbol, ($1).interval, $3, $2) as k on k.bar_at = p.timestamp')
    ) into indicators
    using stretch, features.source_watermark_at(indicators_definition, up_to), as_of, to_at, from_at,
        jsonb_build_object('definition', indicators_definition, 'row_id', 0);
    return query execute format('select made.timestamp, made.row_hash, made.known_at from (%s) as made order by 1',
        features.daily_sql(of_definition, 'select i.*, i.nominal_at as decision_at, $2 as up_to from unnest($1) as i'))
    using coalesce(indicators, '{}'), features.source_watermark_at(of_definition, up_to);
end $$;
