-- The one procedure that makes derived versions, and the functions that read them or compute them again.

create function features.number_array(columns text[], relation text) returns text
language sql immutable
return (select 'array[' || string_agg(format('%I.%I', relation, c.name), ', ' order by c.place) || ']::double precision[]'
        from unnest(columns) with ordinality as c (name, place));

create function features.column_list(columns text[], relation text) returns text
language sql immutable
return (select string_agg(format('%I.%I', relation, c.name), ', ' order by c.place)
        from unnest(columns) with ordinality as c (name, place));

-- The rows of an indicator definition over pending bars that `pending_sql` selects, each with its hash.
create function features.indicator_sql(of_definition text, pending_sql text) returns text
language sql stable
return (
    select format($sql$
        with pending_bars as (%s)
        select made.*, features.indicator_hash(
            %L, made.source, made.symbol, made.interval, made.timestamp, made.known_at,
            made.nominal_at, made.bar_hash, %s, made.state) as row_hash
        from (%s
        ) as made$sql$, pending_sql, d.definition, features.number_array(d.columns, 'made'), d.sql)
    from features.definitions as d
    where d.definition = of_definition
);

-- The same for a daily definition over pending indicator rows.
create function features.daily_sql(of_definition text, pending_sql text) returns text
language sql stable
return (
    select format($sql$
        with pending_indicators as (%s)
        select made.*, features.daily_hash(
            %L, made.source, made.symbol, made.interval, made.timestamp, made.known_at,
            made.decision_at, made.indicator_row_hash, made.sentiment_items, %s) as row_hash
        from (%s
        ) as made$sql$, pending_sql, d.definition, features.number_array(d.columns, 'made'), d.sql)
    from features.definitions as d
    where d.definition = of_definition
);

-- A row is appended unless the newest one of its key and known_at is the same.
create function features.differs_sql(of_view text, of_definition text) returns text
language sql immutable
return format($sql$ where not exists (
    select from (
        select v.row_hash from %s as v
        where v.definition = %L and v.source = made.source and v.symbol = made.symbol and v.interval = made.interval
            and v.timestamp = made.timestamp and v.known_at = made.known_at
        order by v.watermark desc, v.row_id desc limit 1
    ) as newest where newest.row_hash = made.row_hash)$sql$, of_view, of_definition);

create procedure features.insert_made(
    of_definition text, made_sql text, check_same boolean, source_watermark bigint, own bigint, inout rows_made bigint,
    parameter_1 anycompatiblearray, parameter_2 bigint
)
language plpgsql as $$
declare
    d features.definitions;
    all_columns text[];
    added bigint;
begin
    select * into strict d from features.definitions where definition = of_definition;
    all_columns := features.fixed_columns(d.view) || array['row_hash'] || d.columns;
    execute format(
        'insert into %s (definition, watermark, source_watermark, %s) select %L, %s, %s, %s from (%s) as made%s',
        d.view, (select string_agg(quote_ident(c.name), ', ' order by c.place) from unnest(all_columns) with ordinality as c (name, place)),
        of_definition, own, source_watermark, features.column_list(all_columns, 'made'), made_sql,
        case when check_same then features.differs_sql(d.view, of_definition) else '' end
    ) using parameter_1, parameter_2;
    get diagnostics added = row_count;
    rows_made := rows_made + added;
end $$;

-- What a definition has taken in: the newest publication, and the watermark of the rows it made then.
create function features.advanced_to(of_definition text, out source_watermark bigint, out watermark bigint)
language sql stable
begin atomic
    select coalesce(max(a.source_watermark), 0), coalesce(max(a.watermark), 0)
    from features.advances as a
    where a.definition = advanced_to.of_definition;
end;

-- The newest publication in (done, target] that bears on a definition; null if there is none.
create function features.newest_publication(of_definition text, done bigint, target bigint) returns bigint
language plpgsql stable as $$
declare
    newest bigint;
    one bigint;
    inputs text[] := array['raw.price_bars', 'raw.corporate_actions'];
    input text;
begin
    if (select view from features.definitions where definition = of_definition) = 'features.daily' then
        inputs := inputs || array['raw.news_items', 'trading.instruments', 'features.news_scores'];
    end if;
    foreach input in array inputs loop
        if to_regclass(input) is not null then
            execute format('select max(watermark) from %s where watermark > $1 and watermark <= $2', input) into one using done, target;
            newest := greatest(newest, one);
        end if;
    end loop;
    return newest;
end $$;

create procedure features.advance_indicators(of_definition text, done bigint, target bigint, own bigint, inout rows_made bigint)
language plpgsql as $$
declare
    stretches features.segment[];
    of_round features.segment[];
    context_bars integer;
    has_rows_there boolean;
begin
    select coalesce((d.parameters ->> 'context_bars')::integer, 50) into strict context_bars
    from features.definitions as d where d.definition = of_definition;
    select coalesce(array_agg(s), '{}') into stretches from features.segments(done, target) as s;
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

-- The indicator rows whose day must be computed (again): new ones, and those that changed news may concern. News is
-- taken too widely (any session up to a month after it) rather than too narrowly: a day that comes out the same adds no row.
create function features.days_touched(of_indicators text, done bigint, target bigint, rows_after bigint)
returns setof bigint
language plpgsql stable as $$
declare
    changed_items bigint[];
begin
    if to_regclass('features.news_scores') is not null then
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
    end if;

    return query
    select i.row_id from marts.indicators as i
    where i.definition = of_indicators and i.watermark > rows_after;

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

create procedure features.advance_daily(
    of_definition text, done bigint, rows_after bigint, target bigint, own bigint, inout rows_made bigint
)
language plpgsql as $$
declare
    indicators text;
    touched bigint[];
begin
    select d.parameters ->> 'indicators' into strict indicators from features.definitions as d where d.definition = of_definition;
    select coalesce(array_agg(distinct t.row_id), '{}') into touched
    from features.days_touched(indicators, done, target, rows_after) as t (row_id);
    call features.insert_made(
        of_definition,
        features.daily_sql(of_definition, $sql$
            select i.*, i.nominal_at as decision_at, $2 as up_to
            from unnest($1) as t (row_id) join marts.indicators as i on i.row_id = t.row_id
            where not exists (
                select from marts.indicators as later
                where later.definition = i.definition and later.source = i.source and later.symbol = i.symbol
                    and later.interval = i.interval and later.timestamp = i.timestamp and later.known_at = i.known_at
                    and (later.watermark, later.row_id) > (i.watermark, i.row_id))$sql$),
        done > 0, target, own, rows_made, touched, target
    );
end $$;

-- The definitions to keep up: the active ones and the indicators that an active daily definition reads; indicators first.
create function features.definitions_to_advance()
returns table (definition text, view text)
language sql stable
begin atomic
    select d.definition, d.view
    from features.definitions as d
    where d.definition in (
        select s.definition from features.definition_status as s where s.status = 'active'
        union
        select s.parameters ->> 'indicators' from features.definition_status as s where s.status = 'active' and s.view = 'features.daily'
    )
    order by d.view desc, d.definition;
end;

-- Takes every publication up to `to_watermark` (all, if null) into the rows of every definition in use. One transaction
-- takes one watermark, so publications that wait together are taken together: no reader could have asked between them,
-- and for every moment t the rows are what a rebuild gives (docs/decisions/0031). Nothing waiting: nothing is written.
create procedure features.advance(to_watermark bigint default null)
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
    up_to := coalesce(to_watermark, own);
    for d in select * from features.definitions_to_advance() loop
        select * into been from features.advanced_to(d.definition);
        -- What this very transaction published before shares our watermark and may not have been taken yet.
        been.source_watermark := least(been.source_watermark, own - 1);
        been.watermark := least(been.watermark, own - 1);
        newest := features.newest_publication(d.definition, been.source_watermark, up_to);
        continue when newest is null;
        perform features.check_functions(d.definition);
        rows_made := 0;
        if d.view = 'marts.indicators' then
            call features.advance_indicators(d.definition, been.source_watermark, newest, own, rows_made);
        else
            call features.advance_daily(d.definition, been.source_watermark, been.watermark, newest, own, rows_made);
        end if;
        insert into features.advances (definition, source_watermark, watermark, row_count)
        values (d.definition, newest, own, rows_made);
    end loop;
end $$;
