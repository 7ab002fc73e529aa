-- How features.advance takes a publication. Series that it merely continues go together in one statement, from their heads.
-- Whatever else happens to a series (a revision, a late bar, history put in front, a late split) goes the general way
-- through features.segments. Both give the same rows, bit for bit.

-- Puts the heads of series in place from their newest rows, as of the publications up to `up_to`. Only a definition whose
-- parameter `seed_closes` says how many closes its seeds bring has heads.
create procedure features.make_heads(of_definition text, of_series features.segment [], up_to bigint, seed_closes integer)
language sql
begin atomic
    insert into features.heads as h (definition, source, symbol, interval, timestamp, known_to, seed)
    select
        make_heads.of_definition, s.source, s.symbol, s.interval, newest.timestamp, bars.known_to,
        newest.state || array_fill(0.0::double precision, array[make_heads.seed_closes - cardinality(last.closes)]) || last.closes
    from (select distinct u.source, u.symbol, u.interval from unnest(make_heads.of_series) as u) as s
    cross join lateral (
        select i.timestamp, i.state
        from marts.indicators as i
        where i.definition = make_heads.of_definition and i.source = s.source and i.symbol = s.symbol and i.interval = s.interval
        order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc
        limit 1
    ) as newest
    cross join lateral (
        select array_agg(c.close order by c.timestamp) as closes
        from (
            select distinct on (i.timestamp) i.timestamp, i.close
            from marts.indicators as i
            where i.definition = make_heads.of_definition and i.source = s.source and i.symbol = s.symbol and i.interval = s.interval
            order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc
            limit make_heads.seed_closes
        ) as c
    ) as last
    cross join lateral (
        select max(b.known_at) as known_to
        from raw.price_bars as b
        where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval and b.watermark <= make_heads.up_to
    ) as bars
    on conflict (definition, source, symbol, interval) do update
        set timestamp = excluded.timestamp, known_to = excluded.known_to, seed = excluded.seed;
end;

-- The new bars of series that they continue, as features.bars_to_compute gives them, each with its series' head as seed.
-- `series`, `done` and `target` are SQL: what stands for them in the statement.
create function features.continuing_sql(of_definition text, series text, done text, target text) returns text
language sql immutable
return format($sql$
    with splits as (
        select distinct on (a.source, a.symbol, a.ex_date) a.source, a.symbol, a.ex_date, a.ratio
        from raw.corporate_actions as a
        where a.kind = 'split' and a.watermark <= %4$s
            and (a.source, a.symbol) in (select s.source, s.symbol from unnest(%2$s) as s)
        order by a.source, a.symbol, a.ex_date, a.known_at desc, a.watermark desc
    ),

    factors as (
        select
            s.source, s.symbol,
            features.as_timestamp(s.ex_date) as from_at,
            coalesce(lead(features.as_timestamp(s.ex_date)) over dates, 'infinity') as to_at,
            features.product(s.ratio) over (dates rows between unbounded preceding and current row) as factor
        from splits as s
        window dates as (partition by s.source, s.symbol order by s.ex_date)
    )

    select
        b.source, b.symbol, b.interval, b.timestamp, b.known_at, b.nominal_at, b.bar_id, b.row_hash as bar_hash,
        b.open, b.high, b.low, b.close, b.volume,
        case when b.adjustment = 'raw' then coalesce(f.factor, 1) else 1 end as factor, h.seed, false as is_context
    from unnest(%2$s) as s
    join raw.price_bars as b on b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
    left join features.heads as h
        on h.definition = %1$L and h.source = s.source and h.symbol = s.symbol and h.interval = s.interval
    left join factors as f
        on f.source = b.source and f.symbol = b.symbol and b.timestamp >= f.from_at and b.timestamp < f.to_at
    where b.watermark > %3$s and b.watermark <= %4$s$sql$, of_definition, series, done, target);

-- The one statement that takes a small publication: rows of the new bars, and the heads moved on to them. A series that
-- begins with it has no head yet. Its parameters: the series, done, target, and the watermark of the rows.
create function features.continue_statement(of_definition text, seed_closes integer) returns text
language sql stable
return (
    select format(
        $sql$
        with fresh as (
            insert into marts.indicators (definition, watermark, source_watermark, %1$s)
            select %2$L, $4, $3, %3$s from (%4$s) as made
            returning source, symbol, interval, timestamp, known_at, state, close
        ),

        series as (
            select
                f.source, f.symbol, f.interval, f.timestamp, f.state,
                max(f.known_at) over whole as known_to, array_agg(f.close) over whole as closes,
                lead(f.timestamp) over in_time is null as is_last
            from fresh as f
            window
                in_time as (partition by f.source, f.symbol, f.interval order by f.timestamp),
                whole as (in_time rows between unbounded preceding and unbounded following)
        )

        update features.heads as h
        set timestamp = s.timestamp, known_to = s.known_to,
            seed = s.state || (h.seed[cardinality(h.seed) - %5$s + 1:] || s.closes)[cardinality(s.closes) + 1:]
        from series as s
        where s.is_last and h.definition = %2$L and h.source = s.source and h.symbol = s.symbol and h.interval = s.interval$sql$,
        (select string_agg(quote_ident(c.name), ', ' order by c.place) from unnest(made.columns) with ordinality as c (name, place)),
        of_definition,
        features.column_list(made.columns, 'made'),
        features.indicator_sql(of_definition, features.continuing_sql(of_definition, '$1', '$2', '$3')),
        seed_closes)
    from (
        select features.fixed_columns(d.view) || array['row_hash'] || d.columns as columns
        from features.definitions as d
        where d.definition = of_definition
    ) as made
);

-- Planning a definition's SQL takes longer than a few rows of it, so a session prepares it once. The general plan is
-- right for it: it always has a few rows of a few series.
create function features.is_prepared(named text) returns boolean
language sql volatile
return exists (select from pg_prepared_statements as p where p.name = named);

create procedure features.continue_series(of_definition text, seed_closes integer, stretches features.segment [], done bigint, target bigint, own bigint)
language plpgsql as $$
declare
    prepared constant text := 'tradeloom_continue_' || left(of_definition, 32);
begin
    if not features.is_prepared(prepared) then
        execute format(
            'prepare %I (features.segment[], bigint, bigint, bigint) as %s', prepared,
            features.continue_statement(of_definition, seed_closes));
    end if;
    execute format('execute %I (%L, %s, %s, %s)', prepared, stretches, done, target, own);
end $$;

-- Long stretches of many series, some series at a time, so that they are sorted in memory.
create procedure features.build_series(
    of_definition text, seed_closes integer, stretches features.segment [], done bigint, target bigint, own bigint, inout rows_made bigint
)
language plpgsql as $$
declare
    made_sql constant text := features.indicator_sql(
        of_definition, features.continuing_sql(of_definition, '$1', done::text, '$2'));
    series_at_once constant integer := 32;
begin
    for place in 1..cardinality(stretches) by series_at_once loop
        call features.insert_made(
            of_definition, made_sql, false, target, own, rows_made, stretches[place:place + series_at_once - 1], target);
    end loop;
    call features.make_heads(of_definition, stretches, target, seed_closes);
end $$;

-- The general way: stretches of new knowledge, round after round.
create procedure features.advance_segments(
    of_definition text, stretches features.segment [], context_bars integer, target bigint, own bigint, inout rows_made bigint
)
language plpgsql as $$
declare
    of_round features.segment[];
    has_rows_there boolean;
begin
    for of_round in
        select array_agg(s) from unnest(stretches) as s group by s.round order by s.round
    loop
        select exists (
            select from unnest(of_round) as s
            join marts.indicators as i on i.definition = of_definition and i.source = s.source and i.symbol = s.symbol
                and i.interval = s.interval and i.timestamp >= s.first_at and i.known_at >= s.known_from
        ) into has_rows_there;
        call features.insert_made(
            of_definition,
            features.indicator_sql(of_definition, format(
                'select p.* from unnest($1) as s cross join lateral features.bars_to_compute(%L, s, $2, %s) as p', of_definition, context_bars)),
            has_rows_there, target, own, rows_made, of_round, target
        );
    end loop;
end $$;

create or replace procedure features.advance_indicators(of_definition text, done bigint, target bigint, own bigint, inout rows_made bigint)
language plpgsql as $$
declare
    bars_at_once constant bigint := 20000;  -- more than these are planned anew
    context_bars integer;
    seed_closes integer;
    headless features.segment[];
    beginning features.segment[];
    continuing features.segment[];
    others features.segment[];
    broken features.segment[];
    bars bigint;
begin
    select coalesce((d.parameters ->> 'context_bars')::integer, 50), (d.parameters ->> 'seed_closes')::integer
    into strict context_bars, seed_closes
    from features.definitions as d where d.definition = of_definition;
    if seed_closes is null then
        select coalesce(array_agg(s), '{}') into others from features.segments(done, target) as s;
        call features.advance_segments(of_definition, others, context_bars, target, own, rows_made);
        return;
    end if;

    for attempt in 1..2 loop
        select
            coalesce(array_agg(t.stretch order by (t.stretch).source, (t.stretch).symbol, (t.stretch).interval) filter (where t.continues), '{}'),
            coalesce(sum(t.bars) filter (where t.continues), 0),
            array_agg(t.stretch) filter (where not t.continues),
            array_agg(t.stretch) filter (where not t.continues and not t.has_head),
            array_agg(t.stretch) filter (where t.continues and not t.has_head)
        into continuing, bars, others, headless, beginning
        from features.touched_series(of_definition, done, target) as t;
        exit when done = 0 or headless is null;
        call features.make_heads(of_definition, headless, done, seed_closes);
    end loop;
    if bars > bars_at_once then
        call features.build_series(of_definition, seed_closes, continuing, done, target, own, rows_made);
    elsif bars > 0 then
        call features.continue_series(of_definition, seed_closes, continuing, done, target, own);
        rows_made := rows_made + bars;
        if beginning is not null then
            call features.make_heads(of_definition, beginning, target, seed_closes);
        end if;
    end if;
    if others is not null then
        select coalesce(array_agg(s), '{}') into broken from features.segments_of(others, target) as s;
        call features.advance_segments(of_definition, broken, context_bars, target, own, rows_made);
        call features.make_heads(of_definition, others, target, seed_closes);
    end if;
end $$;

-- The indicator rows whose day must be computed (again): new ones, and those that changed news may concern. News is
-- taken too widely (any session up to a month after it) rather than too narrowly: a day that comes out the same adds no row.
create or replace function features.days_touched(of_indicators text, done bigint, target bigint, rows_after bigint)
returns setof bigint
language plpgsql stable as $$
declare
    changed_items bigint[];
begin
    -- A new version of an item matters only where an earlier one was scored: it may hide it. What nobody scored yet
    -- counts for nothing, and comes again with its score.
    select array_agg(n.item_id) into changed_items
    from raw.news_items as n
    where n.watermark > done and n.watermark <= target
        and exists (
            select from raw.news_items as e join features.news_scores as z on z.item_id = e.item_id
            where e.source = n.source and e.news_id = n.news_id);
    select changed_items || array_agg(z.item_id) into changed_items
    from features.news_scores as z where z.watermark > done and z.watermark <= target;

    return query
    select i.row_id from marts.indicators as i
    where i.definition = of_indicators and i.watermark > rows_after;

    if changed_items is null and not exists (
        select from trading.instruments as t where t.watermark > done and t.watermark <= target
    ) then
        return;
    end if;

    return query
    with items as (
        select distinct n.source, n.news_id
        from unnest(changed_items) as c (item_id) join raw.news_items as n on n.item_id = c.item_id
    ),

    concerned as (
        select s.symbol, min(least(n.nominal_at, n.known_at)) as from_at, max(n.nominal_at) + interval '31 days' as to_at
        from items as t
        join raw.news_items as n on n.source = t.source and n.news_id = t.news_id
        cross join lateral unnest(n.symbols) as s (symbol)
        where n.watermark <= target
        group by t.source, t.news_id, s.symbol
        union all
        select t.symbol, '-infinity', 'infinity'
        from trading.instruments as t
        where t.watermark > done and t.watermark <= target
    )

    select i.row_id
    from concerned as c
    join marts.indicators as i
        on i.definition = of_indicators and i.symbol = c.symbol and i.nominal_at >= c.from_at and i.nominal_at <= c.to_at;
end $$;

-- The daily rows of the newest versions of indicator rows; $1 are their numbers, $2 the watermark that news is read by.
create function features.daily_of_rows_sql(of_definition text) returns text
language sql stable
return features.daily_sql(of_definition, $sql$
    select i.*, i.nominal_at as decision_at, $2 as up_to
    from unnest($1) as t (row_id) join marts.indicators as i on i.row_id = t.row_id
    where not exists (
        select from marts.indicators as later
        where later.definition = i.definition and later.source = i.source and later.symbol = i.symbol
            and later.interval = i.interval and later.timestamp = i.timestamp and later.known_at = i.known_at
            and (later.watermark, later.row_id) > (i.watermark, i.row_id))$sql$);

create procedure features.insert_few_days(of_definition text, touched bigint [], target bigint, own bigint, inout rows_made bigint)
language plpgsql as $$
declare
    prepared constant text := 'tradeloom_daily_' || left(of_definition, 32);
    all_columns text[];
    added bigint;
begin
    if not features.is_prepared(prepared) then
        select features.fixed_columns(d.view) || array['row_hash'] || d.columns into all_columns
        from features.definitions as d where d.definition = of_definition;
        execute format(
            'prepare %I (bigint[], bigint, bigint) as with fresh as ('
            'insert into features.daily (definition, watermark, source_watermark, %s) select %L, $3, $2, %s from (%s) as made%s '
            'returning 1) select count(*) from fresh',
            prepared,
            (select string_agg(quote_ident(c.name), ', ' order by c.place) from unnest(all_columns) with ordinality as c (name, place)),
            of_definition, features.column_list(all_columns, 'made'), features.daily_of_rows_sql(of_definition),
            features.differs_sql('features.daily', of_definition));
    end if;
    execute format('execute %I (%L, %s, %s)', prepared, touched, target, own) into added;
    rows_made := rows_made + added;
end $$;

create or replace procedure features.advance_daily(
    of_definition text, done bigint, rows_after bigint, target bigint, own bigint, inout rows_made bigint
)
language plpgsql as $$
declare
    rows_at_once constant integer := 5000;  -- more than these are planned anew
    indicators text;
    touched bigint[];
begin
    select d.parameters ->> 'indicators' into strict indicators from features.definitions as d where d.definition = of_definition;
    select coalesce(array_agg(distinct t.row_id), '{}') into touched
    from features.days_touched(indicators, done, target, rows_after) as t (row_id);
    if cardinality(touched) <= rows_at_once then
        call features.insert_few_days(of_definition, touched, target, own, rows_made);
    else
        call features.insert_made(
            of_definition, features.daily_of_rows_sql(of_definition), done > 0, target, own, rows_made, touched, target);
    end if;
end $$;

-- Takes every publication up to `to_watermark` (all, if null) into the rows of every definition in use. One transaction
-- takes one watermark, so publications that wait together are taken together: no reader could have asked between them,
-- and for every moment t the rows are what a rebuild gives (docs/decisions/0031). Nothing waiting: nothing is written.
create or replace procedure features.advance(to_watermark bigint default null)
language plpgsql as $$
declare
    up_to bigint := coalesce(to_watermark, raw.newest_watermark());
    own bigint;
    d record;
    been record;
    newest bigint;
    rows_made bigint;
begin
    if not exists (
        select from features.definitions_to_advance() as w
        cross join lateral features.advanced_to(w.definition) as a
        where features.newest_publication(w.definition, least(a.source_watermark, up_to - 1), up_to) is not null
    ) then
        return;
    end if;
    own := raw.take_watermark('features.advance');
    perform set_config('work_mem', '128MB', true);  -- whole histories are sorted here, one at a time
    perform set_config('jit', 'off', true);  -- compiling costs more than it saves: rows spend their time in functions
    up_to := coalesce(to_watermark, own);
    for d in select * from features.definitions_to_advance() loop
        select * into been from features.advanced_to(d.definition);
        -- What this very transaction published before shares our watermark and may not have been taken yet.
        been.source_watermark := least(been.source_watermark, own - 1);
        been.watermark := least(been.watermark, own - 1);
        newest := features.newest_publication(d.definition, been.source_watermark, up_to);
        continue when newest is null;
        -- Planning the same small questions anew for each publication costs more than answering them.
        perform set_config('plan_cache_mode', case when been.source_watermark > 0 then 'force_generic_plan' else 'auto' end, true);
        call features.check_functions_once(d.definition);
        rows_made := 0;
        if d.view = 'marts.indicators' then
            call features.advance_indicators(d.definition, been.source_watermark, newest, own, rows_made);
        else
            call features.advance_daily(d.definition, been.source_watermark, been.watermark, newest, own, rows_made);
        end if;
        insert into features.advances (definition, source_watermark, watermark, row_count)
        values (d.definition, newest, own, rows_made);
    end loop;
    perform set_config('plan_cache_mode', 'auto', true);
end $$;
