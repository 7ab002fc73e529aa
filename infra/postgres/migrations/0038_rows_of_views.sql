-- Rows of any view of bars: what they are computed from, computed again, and kept; and the table of a second such view.

-- What of the bars of a segment, and of those before it, is known at its end by `up_to`, and the state that the row before
-- the first has at the segment's beginning: as in 0026, in whatever view of bars the definition has its rows.
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

-- A row of a view of bars computed again: from the first bar, in one pass, without any stored state. Rows pass through
-- jsonb, which writes floats by extra_float_digits: 1 is exact.
create function features.recompute_of_bars(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns table (content jsonb, state double precision [], row_hash bytea, known_at timestamptz)
language plpgsql stable set extra_float_digits = 1 as $$
declare
    stretch constant features.segment := (of_source, of_symbol, of_interval, 0, '-infinity', as_of, '-infinity');
    known constant timestamptz := features.inputs_known_at(of_source, of_symbol, of_interval, at_time, as_of, up_to);
begin
    perform features.check_functions(of_definition);
    return query execute format(
        'select to_jsonb(made) || jsonb_build_object(''definition'', %L), made.state, made.row_hash, made.known_at '
        'from (%s) as made where made.timestamp = $4',
        of_definition,
        features.indicator_sql(of_definition,
            'select p.source, p.symbol, p.interval, p.timestamp, $3 as known_at, p.nominal_at, p.bar_id, p.bar_hash, p.open, p.high, p.low, p.close, p.volume, p.factor, p.seed, p.is_context '
            'from features.bars_to_compute(null, $1, $2, 0, $4) as p'))
    using stretch, up_to, known, at_time;
end $$;

create or replace function features.recompute_indicator(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns setof marts.indicators
language plpgsql stable set extra_float_digits = 1 as $$
begin
    return query
    select p.*
    from features.recompute_of_bars(of_definition, of_source, of_symbol, of_interval, at_time, as_of, up_to) as r
    cross join lateral jsonb_populate_record(null::marts.indicators, r.content) as p;
end $$;

-- A row of any definition, computed again from raw as of (as_of, watermark), as the feature store would have answered:
-- its identity and its numbers, in the order of the definition's columns. No row: there was none to answer with.
create or replace function features.recompute(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns table (row_hash bytea, known_at timestamptz, columns text[], numbers double precision [])
language plpgsql stable set extra_float_digits = 1 as $$
declare
    d features.definitions;
    made record;
    taken bigint := features.source_watermark_at(of_definition, up_to);
begin
    select * into strict d from features.definitions where definition = of_definition;
    if (features.view_named(d.view)).made_from = 'bars' then
        select r.content, r.row_hash, r.known_at into made
        from features.recompute_of_bars(of_definition, of_source, of_symbol, of_interval, at_time, as_of, taken) as r;
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

-- Puts a table of rows made from bars among the views, with what keeps its rows: see migration 0018 and 0020.
create procedure features.add_view_of_bars(new_view text)
language plpgsql as $$
begin
    insert into features.views (view, made_from, working_name, fixed_columns)
    select new_view, v.made_from, v.working_name, v.fixed_columns from features.views as v where v.view = 'marts.indicators';
    execute format('create trigger append_only before update or truncate on %s for each statement execute function raw.refuse_change()', new_view);
    execute format(
        'create trigger compacted_only after delete on %s referencing old table as gone '
        'for each statement execute function features.refuse_unfounded_delete()', new_view);
    execute format(
        'create trigger served_stays after delete on %s referencing old table as gone '
        'for each statement execute function features.refuse_delete_of_served()', new_view);
end $$;

create or replace function features.refuse_unfounded_delete() returns trigger
language plpgsql as $$
declare
    of_view constant text := tg_table_schema || '.' || tg_table_name;
    unfounded record;
begin
    select g.row_id, g.symbol, g.timestamp into unfounded
    from gone as g
    where not exists (
        select from features.compacted_rows as c
        where c.view = of_view and c.row_id = g.row_id and c.row_hash = g.row_hash
    )
    limit 1;
    if found then
        raise exception '% is append-only: row % of % at % was not compacted; use `tradeloom features compact`',
            of_view, unfounded.row_id, unfounded.symbol, unfounded.timestamp using errcode = 'integrity_constraint_violation';
    end if;
    execute format($sql$
        select g.row_id, g.symbol, g.timestamp from gone as g
        where %s or not exists (
            select from %s as v
            where v.definition = g.definition and v.source = g.source and v.symbol = g.symbol and v.interval = g.interval
                and v.timestamp = g.timestamp and (v.known_at, v.watermark, v.row_id) > (g.known_at, g.watermark, g.row_id))
        limit 1$sql$,
        case of_view
            when 'features.daily' then 'exists (select from trading.decisions as d where d.feature_row_id = g.row_id)'
            when 'marts.indicators' then 'exists (select from features.daily as d where d.indicator_row_id = g.row_id)'
            else 'false'
        end, of_view)
    into unfounded;
    if unfounded.row_id is not null then
        raise exception 'row % of % (% at %) is still referred to or is the newest of its key; it stays',
            unfounded.row_id, of_view, unfounded.symbol, unfounded.timestamp using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create table marts.indicators_extended (
    row_id bigint generated always as identity primary key,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null,
    source_watermark bigint not null,
    definition text not null,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    nominal_at timestamptz not null,
    bar_id bigint not null,
    bar_hash bytea not null,
    state double precision [] not null,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision,
    typical_price double precision,
    plus_di_14 double precision,
    minus_di_14 double precision,
    adx_14 double precision,
    stochastic_fast_k_14 double precision,
    stochastic_k_14 double precision,
    stochastic_d_14 double precision,
    cci_20 double precision,
    mfi_14 double precision,
    vwap_20 double precision,
    vwap_utc_day double precision,
    williams_r_14 double precision,
    roc_10 double precision,
    donchian_upper_20 double precision,
    donchian_middle_20 double precision,
    donchian_lower_20 double precision,
    keltner_upper_20 double precision,
    keltner_middle_20 double precision,
    keltner_lower_20 double precision,
    aroon_up_25 double precision,
    aroon_down_25 double precision,
    aroon_oscillator_25 double precision,
    trix_15 double precision,
    parabolic_sar double precision,
    parkinson_variance_1 double precision,
    garman_klass_variance_1 double precision,
    parkinson_volatility_20 double precision,
    garman_klass_volatility_20 double precision
);
create index indicators_extended_as_of on marts.indicators_extended (
    definition, source, symbol, interval, timestamp desc, known_at desc, watermark desc, row_id desc
);
create index indicators_extended_watermark on marts.indicators_extended (watermark);
comment on table marts.indicators_extended is 'One row per bar, state of knowledge and definition, on the forward-adjusted series: channels, trend, volume and ranges.';
comment on column marts.indicators_extended.state is 'Where the recursive indicators stand after this bar: the next bar is one step from here.';
comment on column marts.indicators_extended.vwap_utc_day is 'Since 00:00 UTC; of bars shorter than a day.';
call features.add_view_of_bars('marts.indicators_extended');

create function features.indicators_extended_as_of(of_definition text, as_of timestamptz, up_to bigint)
returns setof marts.indicators_extended
language sql stable
begin atomic
    select distinct on (i.source, i.symbol, i.interval, i.timestamp) i.*
    from marts.indicators_extended as i
    where i.definition = indicators_extended_as_of.of_definition
        and i.known_at <= indicators_extended_as_of.as_of and i.watermark <= indicators_extended_as_of.up_to
    order by i.source, i.symbol, i.interval, i.timestamp, i.known_at desc, i.watermark desc, i.row_id desc;
end;
