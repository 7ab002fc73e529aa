-- The views of derived rows there are, as a table: features.advance and all beside it go by it and not by two names.
-- A view of bars is made from the bars of a series by the one machinery of heads and segments; features.daily is made
-- from the rows of marts.indicators. Another view of bars is a table with these fixed columns and features.add_view.

create table features.views (
    view text primary key,
    made_from text not null check (made_from in ('bars', 'indicators')),
    working_name text not null,
    fixed_columns text [] not null,
    columns_also text [] not null default '{}'
);
comment on table features.views is 'The views that hold versioned rows, and what their definitions'' SQL reads and gives.';
comment on column features.views.working_name is 'The name by which a definition''s SQL reads the rows to compute from.';
comment on column features.views.fixed_columns is 'What the view has by its nature; every other column of its SQL is a feature.';
comment on column features.views.columns_also is 'The relations that get the same feature columns.';

insert into features.views (view, made_from, working_name, fixed_columns, columns_also) values
(
    'marts.indicators', 'bars', 'pending_bars',
    '{source,symbol,interval,timestamp,known_at,nominal_at,bar_id,bar_hash,state}', '{features.pending_indicators}'
),
(
    'features.daily', 'indicators', 'pending_indicators',
    '{source,symbol,interval,timestamp,known_at,decision_at,indicator_row_id,indicator_row_hash,sentiment_items}',
    '{features.newest_daily}'
);
create trigger append_only before update or delete or truncate on features.views
for each statement execute function raw.refuse_change();

alter table features.definitions drop constraint definitions_view_check;
alter table features.definitions add constraint definitions_view_fkey foreign key (view) references features.views;

-- A view that there is, by its name.
create function features.view_named(of_view text) returns features.views
language plpgsql stable as $$
declare
    found_view features.views;
begin
    select * into found_view from features.views as v where v.view = of_view;
    if found_view.view is null then
        raise exception 'expected a view of features.views, found %', of_view using errcode = 'invalid_parameter_value';
    end if;
    return found_view;
end $$;

create or replace function features.working_name(of_view text) returns text
language sql stable
return (features.view_named(of_view)).working_name;

create or replace function features.fixed_columns(of_view text) returns text[]
language sql stable
return (features.view_named(of_view)).fixed_columns;

create or replace procedure features.add_columns(to_view text, new_columns text[])
language plpgsql as $$
declare
    name text;
    relation text;
begin
    foreach name in array new_columns loop
        if not exists (
            select from pg_attribute where attrelid = to_view::regclass and attname = name and not attisdropped
        ) then
            foreach relation in array to_view || (features.view_named(to_view)).columns_also loop
                execute format('alter table %s add column %I double precision', relation, name);
            end loop;
        end if;
    end loop;
end $$;

-- What a definition's seeds bring behind the state where no bars go before as context: of each of these columns the last
-- `seed_bars` values, oldest first, 0 where there are fewer. `seed_closes` is the older way to ask for closes alone.
create function features.seed_columns(of_definition text, out columns text [], out bars integer)
language sql stable
begin atomic
    select
        case
            when d.parameters ? 'seed_closes' then '{close}'
            else (select array_agg(c.name order by c.place) from jsonb_array_elements_text(d.parameters -> 'seed_columns') with ordinality as c (name, place))
        end,
        coalesce((d.parameters ->> 'seed_closes')::integer, (d.parameters ->> 'seed_bars')::integer)
    from features.definitions as d
    where d.definition = seed_columns.of_definition;
end;

create or replace procedure features.make_heads(of_definition text, of_series features.segment [], up_to bigint, seed_closes integer)
language plpgsql as $$
declare
    seeds constant record := features.seed_columns(of_definition);
begin
    execute format(
        $sql$
        insert into features.heads as h (definition, source, symbol, interval, timestamp, known_to, seed)
        select
            $1, s.source, s.symbol, s.interval, newest.timestamp, bars.known_to, newest.state%3$s
        from (select distinct u.source, u.symbol, u.interval from unnest($2) as u) as s
        cross join lateral (
            select i.timestamp, i.state
            from %1$s as i
            where i.definition = $1 and i.source = s.source and i.symbol = s.symbol and i.interval = s.interval
            order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc
            limit 1
        ) as newest
        cross join lateral (
            select %2$s
            from (
                select distinct on (i.timestamp) i.*
                from %1$s as i
                where i.definition = $1 and i.source = s.source and i.symbol = s.symbol and i.interval = s.interval
                order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc
                limit %4$s
            ) as c
        ) as last
        cross join lateral (
            select max(b.known_at) as known_to
            from raw.price_bars as b
            where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval and b.watermark <= $3
        ) as bars
        on conflict (definition, source, symbol, interval) do update
            set timestamp = excluded.timestamp, known_to = excluded.known_to, seed = excluded.seed$sql$,
        (select d.view from features.definitions as d where d.definition = of_definition),
        (select string_agg(format('array_agg(c.%1$I order by c.timestamp) as %1$I', c.name), ', ') from unnest(seeds.columns) as c (name)),
        (select string_agg(
            format(' || array_fill(0.0::double precision, array[%s - cardinality(last.%2$I)]) || last.%2$I', seeds.bars, c.name), '' order by c.place)
         from unnest(seeds.columns) with ordinality as c (name, place)),
        seeds.bars)
    using of_definition, of_series, up_to;
end $$;

-- The one statement that takes a small publication: rows of the new bars, and the heads moved on to them. A series that
-- begins with it has no head yet. Its parameters: the series, done, target, and the watermark of the rows.
create or replace function features.continue_statement(of_definition text, seed_closes integer) returns text
language sql stable
return (
    select format(
        $sql$
        with fresh as (
            insert into %8$s (definition, watermark, source_watermark, %1$s)
            select %2$L, $4, $3, %3$s from (%4$s) as made
            returning source, symbol, interval, timestamp, known_at, state, %5$s
        ),

        series as (
            select
                f.source, f.symbol, f.interval, f.timestamp, f.state,
                max(f.known_at) over whole as known_to, %6$s,
                lead(f.timestamp) over in_time is null as is_last
            from fresh as f
            window
                in_time as (partition by f.source, f.symbol, f.interval order by f.timestamp),
                whole as (in_time rows between unbounded preceding and unbounded following)
        )

        update features.heads as h
        set timestamp = s.timestamp, known_to = s.known_to, seed = s.state%7$s
        from series as s
        where s.is_last and h.definition = %2$L and h.source = s.source and h.symbol = s.symbol and h.interval = s.interval$sql$,
        (select string_agg(quote_ident(c.name), ', ' order by c.place) from unnest(made.columns) with ordinality as c (name, place)),
        of_definition,
        features.column_list(made.columns, 'made'),
        features.indicator_sql(of_definition, features.continuing_sql(of_definition, '$1', '$2', '$3')),
        (select string_agg(quote_ident(c.name), ', ' order by c.place) from unnest(made.seeds) with ordinality as c (name, place)),
        (select string_agg(format('array_agg(f.%1$I) over whole as %1$I', c.name), ', ') from unnest(made.seeds) as c (name)),
        (select string_agg(
            format(
                ' || (h.seed[cardinality(h.seed) - %1$s:cardinality(h.seed) - %2$s] || s.%3$I)[cardinality(s.%3$I) + 1:]',
                made.seed_bars * (cardinality(made.seeds) - c.place + 1) - 1, made.seed_bars * (cardinality(made.seeds) - c.place), c.name),
            '' order by c.place)
         from unnest(made.seeds) with ordinality as c (name, place)),
        made.view)
    from (
        select
            d.view, features.fixed_columns(d.view) || array['row_hash'] || d.columns as columns, s.columns as seeds, s.bars as seed_bars
        from features.definitions as d
        cross join lateral features.seed_columns(d.definition) as s
        where d.definition = of_definition
    ) as made
);

create or replace procedure features.advance_segments(
    of_definition text, stretches features.segment [], context_bars integer, target bigint, own bigint, inout rows_made bigint
)
language plpgsql as $$
declare
    of_view constant text := (select d.view from features.definitions as d where d.definition = of_definition);
    of_round features.segment[];
    has_rows_there boolean;
begin
    for of_round in
        select array_agg(s) from unnest(stretches) as s group by s.round order by s.round
    loop
        execute format(
            'select exists (select from unnest($1) as s join %s as i on i.definition = $2 and i.source = s.source '
            'and i.symbol = s.symbol and i.interval = s.interval and i.timestamp >= s.first_at and i.known_at >= s.known_from)', of_view)
        into has_rows_there using of_round, of_definition;
        call features.insert_made(
            of_definition,
            features.indicator_sql(of_definition, format(
                'select p.* from unnest($1) as s cross join lateral features.bars_to_compute(%L, s, $2, %s) as p', of_definition, context_bars)),
            has_rows_there, target, own, rows_made, of_round, target
        );
    end loop;
end $$;

-- The rows of a definition of any view of bars that publications in (done, target] make.
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
    select coalesce((d.parameters ->> 'context_bars')::integer, 50), (features.seed_columns(d.definition)).bars
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
        if (features.view_named(d.view)).made_from = 'bars' then
            call features.advance_indicators(d.definition, been.source_watermark, newest, own, rows_made);
        else
            call features.advance_daily(d.definition, been.source_watermark, been.watermark, newest, own, rows_made);
        end if;
        insert into features.advances (definition, source_watermark, watermark, row_count)
        values (d.definition, newest, own, rows_made);
    end loop;
    perform set_config('plan_cache_mode', 'auto', true);
end $$;
