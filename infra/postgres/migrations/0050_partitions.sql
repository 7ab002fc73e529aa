-- Which tables lie in partitions of time, how long each partition is, and what makes one (docs/decisions/0126).

-- A smaller step holds for the partitions that are made after it was written here; those that stand stay as they are.
create table raw.partitioned_tables (
    relation text primary key,
    brought_by text[] not null check (cardinality(brought_by) > 0 and brought_by <@ array['prices', 'trades']),
    step text not null check (step in ('year', 'month', 'day')),
    ahead interval not null check (ahead > interval '0'),
    reaches_back interval not null default interval '0' check (reaches_back >= interval '0')
);
comment on table raw.partitioned_tables is 'The step of a table''s partitions, as rows: changing one is no migration.';
comment on column raw.partitioned_tables.brought_by is 'The kinds of batch that bring rows of it, or rows that it is derived from.';
comment on column raw.partitioned_tables.ahead is 'For how long from now partitions shall stand already.';
comment on column raw.partitioned_tables.reaches_back is 'How far before the row that brings it a row may lie: a chart''s bar is named by the start of its period.';

insert into raw.partitioned_tables (relation, brought_by, step, ahead, reaches_back) values
    ('raw.price_bars', '{prices}', 'year', interval '1 year', interval '0'),
    ('raw.trades', '{trades}', 'year', interval '1 year', interval '0'),
    ('marts.indicators', '{prices}', 'year', interval '1 year', interval '0'),
    ('marts.indicators_extended', '{prices}', 'year', interval '1 year', interval '0'),
    ('features.daily', '{prices}', 'year', interval '1 year', interval '0'),
    ('marts.chart_bars', '{prices,trades}', 'year', interval '1 year', interval '31 days');

-- PostgreSQL knows the same of its own, but asking it takes longer than a small batch may.
create table raw.partitions (
    name text primary key,
    relation text not null references raw.partitioned_tables,
    from_at timestamptz not null,
    to_at timestamptz not null,
    check (from_at < to_at),
    unique (relation, from_at)
);
comment on table raw.partitions is 'One row per partition: it holds the rows with from_at <= timestamp < to_at.';

-- A partition is addressed through its table only, where the rules about its rows are kept.
create function raw.refuse_partition() returns trigger
language plpgsql as $$
begin
    raise exception '%.% is a partition: its % is refused; address % instead',
        tg_table_schema, tg_table_name, lower(tg_op), pg_partition_root(tg_relid)::regclass
        using errcode = 'integrity_constraint_violation';
end $$;

-- What lies before 1970 is little and lies in one partition.
create function raw.bounds_of_partition(
    of_relation text, at timestamptz, out from_at timestamptz, out to_at timestamptz, out suffix text
)
language plpgsql stable as $$
declare
    beginning constant timestamptz := '1970-01-01T00:00Z';
    step text;
    room record;
begin
    select t.step into strict step from raw.partitioned_tables as t where t.relation = of_relation;
    if at < beginning then
        from_at := '-infinity';
        to_at := beginning;
        suffix := 'before_1970';
    else
        from_at := date_trunc(step, at, 'UTC');
        to_at := date_add(from_at, ('1 ' || step)::interval, 'UTC');
        suffix := to_char(from_at at time zone 'UTC', case step when 'year' then 'YYYY' when 'month' then 'YYYY_MM' else 'YYYY_MM_DD' end);
    end if;
    select max(p.to_at) filter (where p.to_at <= at) as begins, min(p.from_at) filter (where p.from_at > at) as ends
    into room
    from raw.partitions as p
    where p.relation = of_relation;
    -- Where the step was another one before, its partitions leave less room.
    if room.begins > from_at or room.ends < to_at then
        from_at := greatest(from_at, room.begins);
        to_at := least(to_at, room.ends);
        suffix := to_char(from_at at time zone 'UTC', 'YYYY_MM_DD');
    end if;
end $$;

-- Made beside the table and then attached: the table is locked against other changes of its shape, but not against
-- readers and writers. Returns the partition's name if it was made now.
create function raw.ensure_partition(of_relation text, at timestamptz) returns text
language plpgsql as $$
declare
    bounds record;
    partition_name text;
begin
    for attempt in 1..2 loop
        if exists (select from raw.partitions as p where p.relation = of_relation and p.from_at <= at and p.to_at > at) then
            return null;
        end if;
        -- Two sessions that lack the same one: the second waits and finds it.
        perform pg_advisory_xact_lock(3861527049617283);
    end loop;
    select * into bounds from raw.bounds_of_partition(of_relation, at);
    partition_name := of_relation || '_' || bounds.suffix;
    execute format('create table %s (like %s including defaults including constraints including storage)', partition_name, of_relation);
    execute format(
        'create trigger only_through_its_table before insert or update or delete or truncate on %s '
        'for each statement execute function raw.refuse_partition()', partition_name);
    execute format(
        'alter table %s attach partition %s for values from (%s) to (%L)', of_relation, partition_name,
        case when isfinite(bounds.from_at) then quote_literal(bounds.from_at) else 'minvalue' end, bounds.to_at);
    insert into raw.partitions (name, relation, from_at, to_at)
    values (partition_name, of_relation, bounds.from_at, bounds.to_at);
    return partition_name;
end $$;

-- The partitions that a batch needs, of every table that it brings rows to. `moments`: one of each step will do.
create function raw.make_partitions(of_kind text, moments timestamptz[]) returns text[]
language plpgsql as $$
declare
    lacking record;
    made text[] := '{}';
begin
    for lacking in
        select t.relation, m.at
        from raw.partitioned_tables as t
        cross join unnest(moments) as a (at)
        cross join lateral (values (a.at), (a.at - t.reaches_back)) as m (at)
        where of_kind = any (t.brought_by) and isfinite(m.at) and not exists (
            select from raw.partitions as p where p.relation = t.relation and p.from_at <= m.at and p.to_at > m.at
        )
        order by t.relation, m.at
    loop
        made := array_append(made, raw.ensure_partition(lacking.relation, lacking.at));
    end loop;
    return array_remove(made, null);
end $$;

-- The partitions that stand ahead of the time.
create function raw.make_partitions_ahead(of_now timestamptz default now()) returns text[]
language plpgsql as $$
declare
    coming record;
    made text[] := '{}';
begin
    for coming in
        select t.relation, s.at
        from raw.partitioned_tables as t
        cross join lateral generate_series(of_now, of_now + t.ahead, ('1 ' || t.step)::interval, 'UTC') as s (at)
        order by t.relation, s.at
    loop
        made := array_append(made, raw.ensure_partition(coming.relation, coming.at));
    end loop;
    return array_remove(made, null);
end $$;

-- A key of bars in partitions must hold their time, so that a bar is there can no longer be said by a foreign key on its
-- id alone. It is asked once for each statement; nothing can go away under a reference, since bars are append-only.
create function raw.check_bars_are_there() returns trigger
language plpgsql as $$
declare
    missing bigint;
begin
    select a.bar_id into missing
    from (select distinct i.bar_id from added as i) as a
    where not exists (select from raw.price_bars as b where b.bar_id = a.bar_id)
    limit 1;
    if found then
        raise exception 'expected a bar of raw.price_bars in a row of %.%, found none with bar_id %; insert the bar first',
            tg_table_schema, tg_table_name, missing using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['trading.decisions', 'trading.fills', 'raw.recalls'] loop
        execute format('alter table %s drop constraint %I', name, split_part(name, '.', 2) || '_bar_id_fkey');
        execute format(
            'create trigger bars_are_there after insert on %s referencing new table as added '
            'for each statement execute function raw.check_bars_are_there()', name);
    end loop;
end $$;
