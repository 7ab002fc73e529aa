-- A few daily rows are found by their keys, whatever the planner took the tables for when a session first asked: of fresh
-- partitions nothing is counted yet, and the plan of that moment stays with the session (docs/decisions/0143).

-- As `daily_of_rows_sql`, for few rows. Each is looked up by its number and each asks for a later version by its key: a
-- subquery of one row can be planned in no other way, and of a key's partitions it opens the one that holds its time.
create function features.daily_of_few_rows_sql(of_definition text) returns text
language sql stable
return features.daily_sql(of_definition, $sql$
    select i.*, i.nominal_at as decision_at, $2 as up_to
    from unnest($1) as t (row_id)
    cross join lateral (select n.* from marts.indicators as n where n.row_id = t.row_id limit 1) as i
    where not coalesce((
        select true from marts.indicators as later
        where later.definition = i.definition and later.source = i.source and later.symbol = i.symbol
            and later.interval = i.interval and later.timestamp = i.timestamp and later.known_at = i.known_at
            and (later.watermark, later.row_id) > (i.watermark, i.row_id)
        limit 1
    ), false)$sql$);

create or replace procedure features.insert_few_days(of_definition text, touched bigint [], target bigint, own bigint, inout rows_made bigint)
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
            of_definition, features.column_list(all_columns, 'made'), features.daily_of_few_rows_sql(of_definition),
            features.differs_sql('features.daily', of_definition));
    end if;
    execute format('execute %I (%L, %s, %s)', prepared, touched, target, own) into added;
    rows_made := rows_made + added;
end $$;

-- The rows that became the newest are at hand; to look them up in the table asked each of its partitions.
create or replace function features.keep_newest_daily() returns trigger
language plpgsql as $$
declare
    newer bigint[];
begin
    select array_agg(a.row_id) into newer
    from (
        select distinct on (f.definition, f.interval, f.symbol, f.source)
            f.definition, f.interval, f.symbol, f.source, f.timestamp, f.known_at, f.watermark, f.row_id
        from added as f
        order by
            f.definition, f.interval, f.symbol, f.source, f.timestamp desc, f.known_at desc, f.watermark desc, f.row_id desc
    ) as a
    where not exists (
        select
        from features.newest_daily as n
        where n.definition = a.definition and n.interval = a.interval and n.symbol = a.symbol and n.source = a.source
            and (n.timestamp, n.known_at, n.watermark, n.row_id) > (a.timestamp, a.known_at, a.watermark, a.row_id)
    );
    -- Not an upsert: a definition may have brought columns that no statement here can name.
    delete from features.newest_daily as n
    using added as f
    where f.row_id = any(newer)
        and n.definition = f.definition and n.interval = f.interval and n.symbol = f.symbol and n.source = f.source;
    insert into features.newest_daily
    select f.* from added as f where f.row_id = any(newer);
    return null;
end $$;
