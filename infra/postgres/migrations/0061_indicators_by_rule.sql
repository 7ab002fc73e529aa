-- Indicators by the rule of 0060. Which rule splits follow is a part of a definition, its parameter `actions_from`: `session` is
-- that rule. A definition without it has 00:00 UTC of the ex-date, as it always had, to the bit.

create function features.action_rule(of_definition text) returns text
language sql stable
return (select d.parameters ->> 'actions_from' from features.definitions as d where d.definition = of_definition);

create function features.acts_by(rule text, of_interval text, ex_date date, of_symbol text) returns timestamptz
language sql stable
return case when rule = 'session' then features.acts_from(of_interval, ex_date, of_symbol) else features.as_timestamp(ex_date) end;

create function features.acts_known_by(
    rule text, of_interval text, ex_date date, known_at timestamptz, nominal_at timestamptz, from_at timestamptz
) returns timestamptz
language sql immutable parallel safe
return case
    when rule = 'session' then features.acts_known_at(of_interval, ex_date, known_at, nominal_at, from_at) else known_at
end;

-- Every version of the splits of a series by a rule: what the definitions' factors and times are made of.
create function features.splits_of(rule text, of_source text, of_symbol text, of_interval text, up_to bigint)
returns table (ex_date date, ratio numeric, known_at timestamptz, watermark bigint, from_at timestamptz)
language sql stable
begin atomic
    select
        a.ex_date, a.ratio,
        features.acts_known_by(splits_of.rule, splits_of.of_interval, a.ex_date, a.known_at, a.nominal_at, m.from_at),
        a.watermark, m.from_at
    from raw.corporate_actions as a
    cross join lateral features.acts_by(splits_of.rule, splits_of.of_interval, a.ex_date, a.symbol) as m (from_at)
    where a.source = splits_of.of_source and a.symbol = splits_of.of_symbol and a.kind = 'split' and a.watermark <= splits_of.up_to;
end;

-- features.bars_to_compute as in 0038, by a rule that is said.
create function features.bars_by_rule(
    of_definition text, stretch features.segment, up_to bigint, context_bars integer, until_bar timestamptz,
    rule text
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
    if of_definition is not null then
        execute format(
            'select i.timestamp, i.known_at, i.watermark, i.state from %s as i '
            'where i.definition = $1 and i.source = $2 and i.symbol = $3 and i.interval = $4 and i.timestamp < $5 and i.known_at <= $6 '
            'order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc limit 1',
            (select d.view from features.definitions as d where d.definition = of_definition))
        into before
        using of_definition, stretch.source, stretch.symbol, stretch.interval, stretch.first_at, stretch.known_from;
        state_before := before.state;
        if exists (
            select
            from features.compacted_rows as c
            where c.definition = of_definition and c.source = stretch.source and c.symbol = stretch.symbol
                and c.interval = stretch.interval and c.timestamp = before.timestamp and c.known_at <= stretch.known_from
                and (c.known_at, c.watermark) > (before.known_at, before.watermark)
        ) then
            select r.state into state_before
            from features.recompute_of_bars(
                of_definition, stretch.source, stretch.symbol, stretch.interval, before.timestamp, stretch.known_from, up_to) as r;
        end if;
    end if;

    return query
    with splits as (
        select distinct on (a.ex_date) a.ex_date, a.ratio, a.from_at
        from features.splits_of(rule, stretch.source, stretch.symbol, stretch.interval, up_to) as a
        where a.known_at <= stretch.known_to
        order by a.ex_date asc, a.known_at desc, a.watermark desc
    ),

    factors as (
        select
            s.from_at,
            coalesce(lead(s.from_at) over (order by s.ex_date), 'infinity') as to_at,
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

-- By the rule of the definition; of none, which asks for no seed, by the first rule.
create or replace function features.bars_to_compute(
    of_definition text, stretch features.segment, up_to bigint, context_bars integer, until_bar timestamptz default 'infinity'
) returns setof features.pending_bars
language plpgsql stable as $$
begin
    return query
    select p.* from features.bars_by_rule(
        of_definition, stretch, up_to, context_bars, until_bar, features.action_rule(of_definition)) as p;
end $$;

-- The latest known_at of everything that a row of a definition rests on; by bar, for a whole series.
create function features.inputs_known_at(
    rule text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
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
        from features.splits_of(rule, of_source, of_symbol, of_interval, up_to) as a
        where a.from_at <= at_time and a.known_at <= as_of
            and exists (
                select from raw.price_bars as b
                where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval and b.adjustment = 'raw')
    ) as k
);

create function features.inputs_known_by_bar(
    rule text, of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
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
        select a.from_at, a.known_at, null
        from features.splits_of(
            inputs_known_by_bar.rule, inputs_known_by_bar.of_source, inputs_known_by_bar.of_symbol,
            inputs_known_by_bar.of_interval, inputs_known_by_bar.up_to
        ) as a
        where a.known_at <= inputs_known_by_bar.as_of
            and exists (
                select from raw.price_bars as b
                where b.source = inputs_known_by_bar.of_source and b.symbol = inputs_known_by_bar.of_symbol
                    and b.interval = inputs_known_by_bar.of_interval and b.adjustment = 'raw')
    )

    select i.at_time, max(max(i.known_at)) over (order by i.at_time)
    from inputs as i
    group by i.at_time;
end;

-- As in 0038 and 0011, by the rule of the definition.
create or replace function features.recompute_of_bars(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns table (content jsonb, state double precision [], row_hash bytea, known_at timestamptz)
language plpgsql stable set extra_float_digits = 1 as $$
declare
    stretch constant features.segment := (of_source, of_symbol, of_interval, 0, '-infinity', as_of, '-infinity');
    known constant timestamptz := features.inputs_known_at(
        features.action_rule(of_definition), of_source, of_symbol, of_interval, at_time, as_of, up_to
    );
begin
    perform features.check_functions(of_definition);
    return query execute format(
        'select to_jsonb(made) || jsonb_build_object(''definition'', %L), made.state, made.row_hash, made.known_at '
        'from (%s) as made where made.timestamp = $4',
        of_definition,
        features.indicator_sql(of_definition,
            'select p.source, p.symbol, p.interval, p.timestamp, $3 as known_at, p.nominal_at, p.bar_id, p.bar_hash, p.open, p.high, p.low, p.close, p.volume, p.factor, p.seed, p.is_context '
            'from features.bars_by_rule(null, $1, $2, 0, $4, $5) as p'))
    using stretch, up_to, known, at_time, features.action_rule(of_definition);
end $$;

create or replace function features.recompute_series(
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
            'from features.bars_by_rule(null, $1, $2, 0, $4, $7) as p '
            'join features.inputs_known_by_bar($7, ($1).source, ($1).symbol, ($1).interval, $3, $2) as k on k.bar_at = p.timestamp')
    ) into indicators
    using stretch, features.source_watermark_at(indicators_definition, up_to), as_of, to_at, from_at,
        jsonb_build_object('definition', indicators_definition, 'row_id', 0), features.action_rule(indicators_definition);
    return query execute format('select made.timestamp, made.row_hash, made.known_at from (%s) as made order by 1',
        features.daily_sql(of_definition, 'select i.*, i.nominal_at as decision_at, $2 as up_to from unnest($1) as i'))
    using coalesce(indicators, '{}'), features.source_watermark_at(of_definition, up_to);
end $$;

-- Splits that changed what was known of a series whose bars from the ex-date on were published before. By the rule above; of
-- rows that a definition made by an earlier rule, from 00:00 UTC of the ex-date on, the eve is named too.
create or replace function features.split_changes(of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz)
returns setof features.change
language sql stable
begin atomic
    with candidates as (
        select a.*
        from raw.corporate_actions as a
        where a.kind = 'split'
            and (
                (of_batch is not null and exists (
                    select from raw.corporate_actions as m
                    where m.batch_id = of_batch and m.kind = 'split' and m.source = a.source and m.symbol = a.symbol
                        and m.ex_date = a.ex_date and m.watermark <= a.watermark))
                or (of_batch is null and a.symbol = of_symbol and (of_source is null or a.source = of_source)
                    and features.as_timestamp(a.ex_date) between from_at and to_at))
    )

    select
        'split', case when p.action_id is null then 'late' else 'corrected' end,
        c.source, c.symbol, i.interval, i.place, p.action_id as old_id, c.action_id as new_id, c.batch_id, c.known_at, c.watermark,
        case when p.action_id is null then format('split %s:1 came late', trim_scale(c.ratio))
            else format('split %s:1 -> %s:1', trim_scale(p.ratio), trim_scale(c.ratio)) end,
        features.effective_known_at(p.known_at, p.nominal_at) as rested_known_at, p.watermark as rested_watermark,
        h.known_at as hidden_known_at, h.watermark as hidden_watermark
    from candidates as c
    cross join lateral (
        select s.interval, m.place
        from (
            select distinct b.interval from raw.price_bars as b
            where b.source = c.source and b.symbol = c.symbol and b.adjustment = 'raw' and b.watermark < c.watermark
        ) as s
        cross join lateral least(
            features.as_timestamp(c.ex_date), features.acts_from(s.interval, c.ex_date, c.symbol)
        ) as m (place)
        where exists (
            select from raw.price_bars as b
            where b.source = c.source and b.symbol = c.symbol and b.interval = s.interval and b.adjustment = 'raw'
                and b.timestamp >= m.place and b.watermark < c.watermark)
    ) as i
    left join lateral (
        select a.*
        from raw.corporate_actions as a
        where a.source = c.source and a.symbol = c.symbol and a.kind = 'split' and a.ex_date = c.ex_date
            and a.watermark < c.watermark and (a.known_at, a.watermark) < (c.known_at, c.watermark)
        order by a.known_at desc, a.watermark desc
        limit 1
    ) as p on true
    cross join lateral (
        select
            array_agg(features.effective_known_at(a.known_at, a.nominal_at) order by a.known_at, a.watermark) as known_at,
            array_agg(a.watermark order by a.known_at, a.watermark) as watermark
        from raw.corporate_actions as a
        where a.source = c.source and a.symbol = c.symbol and a.kind = 'split' and a.ex_date = c.ex_date
            and (p.action_id is null or (a.known_at, a.watermark) > (p.known_at, p.watermark))
    ) as h
    where of_batch is null or of_batch in (c.batch_id, p.batch_id);
end;
