-- The registry of features: services (what a model takes as its input), what each feature is, and who refers to a
-- definition. The definitions themselves, and the views that they make, are those of migration 0004.

create table features.services (
    service_id text primary key check (service_id ~ '^[0-9a-f]{64}$'),
    name text not null check (name <> ''),
    version integer not null check (version > 0),
    view text not null,
    definition text not null references features.definitions,
    columns text [] not null check (cardinality(columns) > 0),
    scorer text not null,
    scorer_version text not null,
    watermark bigint not null references raw.watermarks,
    recorded_at timestamptz not null default clock_timestamp(),
    unique (name, version)
);
comment on table features.services is 'One row per version of a feature service: an ordered list of columns of one definition of one view.';
comment on column features.services.service_id is 'sha256 over name, view, definition and columns: the same input again is the same version.';

create table features.service_events (
    event_id bigint generated always as identity primary key,
    service_id text not null references features.services,
    status text not null check (status in ('in use', 'retired')),
    watermark bigint not null references raw.watermarks,
    recorded_at timestamptz not null default clock_timestamp()
);
create index on features.service_events (service_id, event_id desc);

-- Words for people: no part of a definition, since better words do not change a number.
create table features.descriptions (
    description_id bigint generated always as identity primary key,
    definition text not null references features.definitions,
    feature text not null,
    description text not null,
    unit text not null,
    warm_up_bars integer not null check (warm_up_bars >= 0),
    source_file text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    unique (definition, feature, description_id)
);
comment on column features.descriptions.warm_up_bars is 'How many bars a series must have for the first value; 0 where it does not say.';

do $$
declare
    name text;
begin
    foreach name in array array['features.services', 'features.service_events', 'features.descriptions'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- Of each name the version that was registered last, and whether it is in use.
create view features.service_status as
select distinct on (s.name)
    s.service_id,
    s.name,
    s.version,
    s.view,
    s.definition,
    s.columns,
    s.scorer,
    s.scorer_version,
    e.status,
    s.watermark,
    s.recorded_at
from features.services as s
inner join features.service_events as e on e.service_id = s.service_id
order by s.name, e.event_id desc;

-- The newest words on each feature of each definition.
create view features.described as
select distinct on (d.definition, d.feature)
    d.definition,
    d.feature,
    d.description,
    d.unit,
    d.warm_up_bars,
    d.source_file
from features.descriptions as d
order by d.definition, d.feature, d.description_id desc;

-- Registers what a model takes as its input and returns the version of its name; the same again changes nothing.
create function features.register_service(
    service_name text, of_definition text, with_columns text [], by_scorer text, by_scorer_version text
) returns integer
language plpgsql as $$
declare
    d features.definitions;
    identity text;
    own bigint;
    missing text;
begin
    select * into d from features.definitions where definition = of_definition;
    select string_agg(c, ', ') into missing from unnest(with_columns) as c where c <> all (d.columns);
    if d.definition is null or missing is not null then
        raise exception 'expected service % on a registered definition that has its columns, found % without %',
            service_name, left(of_definition, 12), coalesce(missing, 'registration') using errcode = 'invalid_parameter_value';
    end if;
    identity := encode(sha256(
        raw.canon(service_name) || raw.canon(d.view) || raw.canon(of_definition) || raw.canon(array_to_string(with_columns, '|'))
    ), 'hex');
    if not exists (
        select from features.service_status as s where s.name = service_name and s.service_id = identity and s.status = 'in use'
    ) then
        own := raw.take_watermark('features.register_service');  -- one at a time from here on
        insert into features.services (service_id, name, version, view, definition, columns, scorer, scorer_version, watermark)
        select identity, service_name, coalesce(max(s.version), 0) + 1, d.view, of_definition, with_columns, by_scorer, by_scorer_version, own
        from features.services as s where s.name = service_name
        on conflict do nothing;
        insert into features.service_events (service_id, status, watermark) values (identity, 'in use', own);
    end if;
    return (select s.version from features.services as s where s.service_id = identity);
end $$;

-- Says that nobody takes a service's newest version any more; its definition may then be retired.
create procedure features.retire_service(service_name text)
language plpgsql as $$
begin
    if not exists (select from features.service_status where name = service_name and status = 'in use') then
        raise exception 'expected a service in use, found %', service_name using errcode = 'invalid_parameter_value';
    end if;
    insert into features.service_events (service_id, status, watermark)
    select s.service_id, 'retired', raw.take_watermark('features.retire_service')
    from features.service_status as s where s.name = service_name;
end $$;

-- Writes down what the features of a definition are: [{feature, description, unit, warm_up_bars, source_file}].
create procedure features.describe(of_definition text, words jsonb)
language sql
begin atomic
    insert into features.descriptions (definition, feature, description, unit, warm_up_bars, source_file)
    select describe.of_definition, w.feature, coalesce(w.description, ''), coalesce(w.unit, ''), coalesce(w.warm_up_bars, 0), coalesce(w.source_file, '')
    from jsonb_to_recordset(describe.words) as w (feature text, description text, unit text, warm_up_bars integer, source_file text)
    inner join features.definitions as d on d.definition = describe.of_definition and w.feature = any(d.columns)
    where not exists (
        select from features.described as e
        where e.definition = describe.of_definition and e.feature = w.feature
            and (e.description, e.unit, e.warm_up_bars, e.source_file)
            = (coalesce(w.description, ''), coalesce(w.unit, ''), coalesce(w.warm_up_bars, 0), coalesce(w.source_file, ''))
    );
end;

-- What in the warehouse reads a definition and needs its new rows. Models are in the registry of models: see
-- feature_store/references.py.
create function features.references_to(of_definition text)
returns table (kind text, name text)
language sql stable
begin atomic
    select 'newest definition' as kind, d.view as name
    from features.definitions as d
    where d.definition = references_to.of_definition and features.active(d.view) = d.definition
    union all
    select 'service', s.name || ' version ' || s.version
    from features.service_status as s
    where s.definition = references_to.of_definition and s.status = 'in use'
    union all
    select 'running session', s.session_id
    from trading.sessions as s
    where s.feature_service ->> 'definition' = references_to.of_definition and s.status = 'running'
    union all
    select 'definition', s.definition
    from features.definition_status as s
    where s.parameters ->> 'indicators' = references_to.of_definition and s.status = 'active'
    order by kind, name;
end;

-- Keeps a retired definition up again, with what it reads, and makes the rows it missed. It does not become its view's
-- newest: that one is named once more after it. Anything else changes nothing.
create procedure features.take_up(old_definition text)
language plpgsql as $$
declare
    newest text;
begin
    if exists (select from features.definition_status where definition = old_definition and status = 'retired') then
        select features.active(s.view) into newest from features.definition_status as s where s.definition = old_definition;
        insert into features.definition_events (definition, status, watermark)
        select d.definition, 'active', raw.take_watermark('features.take_up')
        from unnest(array[old_definition, newest]) with ordinality as d (definition, place)
        where d.definition is not null
        order by d.place;
        call features.advance();
    end if;
end $$;
