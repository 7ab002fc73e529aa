-- Registering and retiring definitions, and the guard that keeps the meaning of a function's name.

-- The sha256 of what a function is. Aggregates are their parts. Source text, not pg_get_functiondef, whose layout
-- belongs to the server's version. The search path is fixed, since names are written out by it.
create function features.function_hash(of_function regprocedure) returns text
language sql stable set search_path = pg_catalog
return (
    select encode(sha256(convert_to(concat_ws(
        E'\n', l.lanname, p.prokind, p.provolatile, p.proisstrict, p.proretset,
        pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid),
        coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
        (select concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggtranstype::regtype, a.agginitval)
         from pg_aggregate as a where a.aggfnoid = p.oid)
    ), 'UTF8')), 'hex')
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.oid = of_function
);

-- The functions of ours that a view reaches: named in it, a named aggregate's parts, and those that their bodies name
-- with their schema.
create function features.functions_reached(of_view regclass) returns jsonb
language sql stable set search_path = pg_catalog
return (
    with recursive reached (oid) as (
        select d.refobjid
        from pg_rewrite as r
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
        where r.ev_class = of_view and d.refclassid = 'pg_proc'::regclass
        union
        select next.oid
        from reached
        join pg_proc as p on p.oid = reached.oid
        cross join lateral (
            select a.aggtransfn::oid as oid from pg_aggregate as a where a.aggfnoid = p.oid
            union
            select a.aggfinalfn::oid from pg_aggregate as a where a.aggfnoid = p.oid and a.aggfinalfn <> 0
            union
            select q.oid
            from regexp_matches(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '(features|raw|trading)\.(\w+)\s*\(', 'g') as m
            join pg_namespace as n on n.nspname = m[1]
            join pg_proc as q on q.pronamespace = n.oid and q.proname = m[2]
        ) as next
    )
    select coalesce(jsonb_object_agg(reached.oid::regprocedure::text, features.function_hash(reached.oid::regprocedure)), '{}')
    from reached
    join pg_proc as p on p.oid = reached.oid
    where p.pronamespace <> 'pg_catalog'::regnamespace
);

-- Refuses to compute when a function that a definition names is gone or is no longer what it was.
create function features.check_functions(of_definition text) returns void
language plpgsql stable set search_path = pg_catalog as $$
declare
    named record;
begin
    for named in
        select f.key as name, f.value as expected
        from features.definitions as d cross join jsonb_each_text(d.functions) as f
        where d.definition = of_definition
    loop
        if to_regprocedure(named.name) is null
            or features.function_hash(to_regprocedure(named.name)) is distinct from named.expected then
            raise exception 'definition % needs % as it was registered, found it changed or gone; restore it and put the change into a new name (_v2)',
                left(of_definition, 12), named.name using errcode = 'integrity_constraint_violation';
        end if;
    end loop;
end $$;

create function features.working_name(of_view text) returns text
language sql immutable
return case of_view when 'marts.indicators' then 'pending_bars' else 'pending_indicators' end;

-- The columns that each view has by its nature; every other column of its SQL is a feature.
create function features.fixed_columns(of_view text) returns text[]
language sql immutable
return case of_view
    when 'marts.indicators' then array['source', 'symbol', 'interval', 'timestamp', 'known_at', 'nominal_at', 'bar_id', 'bar_hash', 'state']
    else array['source', 'symbol', 'interval', 'timestamp', 'known_at', 'decision_at', 'indicator_row_id', 'indicator_row_hash', 'sentiment_items']
end;

-- Gives the table of a view the feature columns it lacks: rows of earlier definitions have null there, and their hash
-- does not cover it.
create procedure features.add_columns(to_view text, new_columns text[])
language plpgsql as $$
declare
    name text;
begin
    foreach name in array new_columns loop
        if not exists (
            select from pg_attribute where attrelid = to_view::regclass and attname = name and not attisdropped
        ) then
            execute format('alter table %s add column %I double precision', to_view, name);
            if to_view = 'marts.indicators' then
                execute format('alter table features.pending_indicators add column %I double precision', name);
            end if;
        end if;
    end loop;
end $$;

-- What a view's SQL gives: its feature columns in order and the functions it reaches.
create procedure features.inspect(of_view text, of_sql text, inout feature_columns text[], inout reached jsonb)
language plpgsql as $$
declare
    missing text;
    unfit text;
begin
    execute format(
        'create temporary view inspected_definition as with %1$I as (select * from features.%1$I) select * from (%2$s) as given',
        features.working_name(of_view), of_sql
    );
    select array_agg(attname::text order by attnum) filter (where attname <> all (features.fixed_columns(of_view))),
           string_agg(attname, ', ') filter (
               where attname <> all (features.fixed_columns(of_view)) and atttypid <> 'double precision'::regtype)
    into feature_columns, unfit
    from pg_attribute
    where attrelid = 'pg_temp.inspected_definition'::regclass and attnum > 0;
    select string_agg(f, ', ') into missing
    from unnest(features.fixed_columns(of_view)) as f
    where not exists (
        select from pg_attribute where attrelid = 'pg_temp.inspected_definition'::regclass and attname = f);
    reached := features.functions_reached('pg_temp.inspected_definition'::regclass);
    drop view pg_temp.inspected_definition;
    if missing is not null or unfit is not null or feature_columns is null then
        raise exception 'the SQL of % lacks columns (%) or gives features that are not double precision (%)',
            of_view, coalesce(missing, 'none'), coalesce(unfit, 'none') using errcode = 'invalid_parameter_value';
    end if;
end $$;

-- Registers a view's SQL and makes it the view's active definition; the same SQL again changes nothing.
create function features.register(of_view text, of_sql text, with_parameters jsonb default '{}') returns text
language plpgsql as $$
declare
    cleaned constant text := btrim(of_sql, E' \n\t\r;');
    all_parameters jsonb := with_parameters;
    feature_columns text[];
    reached jsonb;
    named text;
begin
    if of_view = 'features.daily' and not all_parameters ? 'indicators' then
        all_parameters := all_parameters || jsonb_build_object('indicators', features.active('marts.indicators'));
    end if;
    call features.inspect(of_view, cleaned, feature_columns, reached);
    named := encode(sha256(
        raw.canon(of_view) || raw.canon(cleaned) || raw.canon(reached::text)
        || raw.canon(array_to_string(feature_columns, '|')) || raw.canon(all_parameters::text)
    ), 'hex');
    if features.active(of_view) is not distinct from named then
        return named;
    end if;
    call features.add_columns(of_view, feature_columns);
    insert into features.definitions (definition, view, sql, functions, columns, parameters, watermark)
    values (named, of_view, cleaned, reached, feature_columns, all_parameters, raw.take_watermark('features.register'))
    on conflict do nothing;
    insert into features.definition_events (definition, status, watermark)
    values (named, 'active', raw.take_watermark('features.register'));
    return named;
end $$;

-- Stops computing new rows of a definition; its rows stay readable. Registering the same SQL again takes it up where it
-- stopped.
create procedure features.retire(old_definition text)
language plpgsql as $$
begin
    if not exists (select from features.definition_status where definition = old_definition and status = 'active') then
        raise exception 'expected an active definition, found %', old_definition using errcode = 'invalid_parameter_value';
    end if;
    insert into features.definition_events (definition, status, watermark)
    values (old_definition, 'retired', raw.take_watermark('features.retire'));
end $$;
