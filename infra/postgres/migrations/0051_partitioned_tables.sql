-- The tables of bars, trades and what is derived of them become partitioned by time (docs/decisions/0126).
--
-- A table cannot be made a partitioned one in place. Each gets a successor, its rows go over as they are (numbers, hashes
-- and watermarks included), and the old one goes. Functions and views are bound to a table by its number in the
-- catalogue: what rests on the old ones is made again of its own text, and compared with what it was.

-- What rests on the tables, on their rows as a type, or on what does; `depth`: made again after all of a smaller one.
create temporary table resting on commit drop as
with recursive reached (classid, objid, depth) as (
    select o.classid, o.objid, 0
    from raw.partitioned_tables as t
    join pg_class as c on c.oid = t.relation::regclass
    cross join lateral (values ('pg_class'::regclass, c.oid), ('pg_type', c.reltype), ('pg_type', (select y.typarray from pg_type as y where y.oid = c.reltype)))
    as o (classid, objid)
    union
    select o.classid, o.objid, r.depth + 1
    from reached as r
    join pg_depend as d on d.refclassid = r.classid and d.refobjid = r.objid and d.deptype = 'n'
    left join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and w.oid = d.objid
    left join pg_class as v on v.oid = w.ev_class and v.oid <> d.refobjid
    cross join lateral (
        select 'pg_proc'::regclass, d.objid where d.classid = 'pg_proc'::regclass
        union all
        select 'pg_class', v.oid where v.relkind = 'v'
        union all
        select 'pg_type', v.reltype where v.relkind = 'v'
    ) as o (classid, objid)
)

select
    r.classid, r.objid, r.depth,
    case when r.classid = 'pg_proc'::regclass then r.objid::regprocedure::text else r.objid::regclass::text end as name,
    case when r.classid = 'pg_proc'::regclass then features.function_hash(r.objid) end as hash,
    case when r.classid = 'pg_proc'::regclass then pg_get_functiondef(r.objid)
        else format('create view %s%s as %s', r.objid::regclass, ' with (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(r.objid)) end as definition
from (
    select classid, objid, max(depth) as depth from reached
    where classid <> 'pg_type'::regclass and depth > 0 group by classid, objid
) as r
left join pg_class as v on r.classid = 'pg_class'::regclass and v.oid = r.objid;

-- A table that got the column of a feature has left these behind, whose bodies name the columns of before: they are made
-- again of text below, which names them when it is asked.
delete from resting
where name ~ '^features\.(indicators|indicators_extended|daily)_as_of\(';

-- Functions of PostgreSQL 14's kind print their bodies with the names that they see, so both looks are from one place.
create temporary table inventory on commit drop as select 'before' as look, '' as kind, '' as name with no data;

create function pg_temp.look(of_look text) returns void
language sql
begin atomic
    insert into inventory
    select of_look, 'function', p.oid::regprocedure::text
    from pg_proc as p where p.pronamespace <> 'pg_catalog'::regnamespace and p.oid::regprocedure::text !~ '^features\.(indicators|indicators_extended|daily)_as_of\('
    union all
    select of_look, c.relkind::text, c.oid::regclass::text from pg_class as c where c.relkind in ('v', 'm') and c.relnamespace <> 'pg_catalog'::regnamespace
    union all
    select of_look, 'trigger', format('%s on %s', t.tgname, t.tgrelid::regclass) from pg_trigger as t where not t.tgisinternal
    union all
    select of_look, 'constraint', format('%s on %s', n.conname, n.conrelid::regclass) from pg_constraint as n
    where n.conrelid <> 0
        -- What rows refer to is asked by triggers: with a key, each new partition would lock the table that it names.
        and not (n.contype = 'f' and n.conrelid in (select t.relation::regclass from raw.partitioned_tables as t))
    union all
    select of_look, 'index', c.oid::regclass::text from pg_class as c where c.relkind in ('i', 'I') and c.relnamespace not in ('pg_toast'::regnamespace, 'pg_catalog'::regnamespace)
    union all
    select of_look, 'default', format('%s of %s', d.adnum, d.adrelid::regclass) from pg_attrdef as d;
end;

-- The words to say again what was said about an object, and who may do what with it.
create function pg_temp.remarks(of_class regclass, of_object oid, word text, name text) returns text
language sql stable
return (
    select string_agg(format('comment on %s %s is %L',
        case when d.objsubid = 0 then word else 'column' end,
        name || coalesce('.' || quote_ident(a.attname), ''), d.description), E';\n')
    from pg_description as d
    left join pg_attribute as a on of_class = 'pg_class'::regclass and a.attrelid = d.objoid and a.attnum = d.objsubid and d.objsubid > 0
    where d.classoid = of_class and d.objoid = of_object
);

create function pg_temp.grants(of_relation regclass) returns text
language sql stable
return (
    select string_agg(format('grant %s on %s to %s%s', a.privilege_type, of_relation,
        case when a.grantee = 0 then 'public' else a.grantee::regrole::text end,
        case when a.is_grantable then ' with grant option' else '' end), E';\n')
    from pg_class as c cross join lateral aclexplode(c.relacl) as a
    where c.oid = of_relation and a.grantee <> c.relowner
);

-- Indexes and keys as they were; a key that had no time gets it as its last column.
create function pg_temp.keys(of_relation regclass) returns text
language sql stable
return (
    select string_agg(
        case
            when k.oid is null then pg_get_indexdef(i.indexrelid)
            else format('alter table %s add constraint %I %s', of_relation, k.conname,
                case when exists (
                    select from pg_attribute as a
                    where a.attrelid = i.indrelid and array[a.attnum] <@ k.conkey and a.attname = 'timestamp'
                ) then pg_get_constraintdef(k.oid)
                else regexp_replace(pg_get_constraintdef(k.oid), '\)$', ', timestamp)') end)
        end,
        E';\n' order by i.indexrelid)
    from pg_index as i
    left join pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u')
    where i.indrelid = of_relation
);

create function pg_temp.triggers(of_relation regclass) returns text
language sql stable
return (
    select string_agg(pg_get_triggerdef(t.oid), E';\n' order by t.tgname)
    from pg_trigger as t where t.tgrelid = of_relation and not t.tgisinternal
);

create function pg_temp.partition(of_relation text) returns void
language plpgsql as $$
declare
    bare constant text := split_part(of_relation, '.', 2);
    id_column text;
    sequence_state record;
    after_rows text := concat_ws(E';\n', pg_temp.keys(of_relation::regclass), pg_temp.triggers(of_relation::regclass),
        pg_temp.grants(of_relation::regclass), 'comment on table ' || of_relation || ' is ' || quote_literal(obj_description(of_relation::regclass, 'pg_class')));
    at timestamptz;
    row_count bigint;
    added bigint;
begin
    select a.attname into strict id_column from pg_attribute as a where a.attrelid = of_relation::regclass and a.attidentity = 'a';
    execute format('select last_value, is_called from %s', pg_get_serial_sequence(of_relation, id_column)) into sequence_state;
    execute format('alter table %s set schema before_partitions', of_relation);
    execute format(
        'create table %s (like before_partitions.%I including comments including constraints including defaults including identity including storage) '
        'partition by range (timestamp)', of_relation, bare);
    for at in execute format('select distinct date_trunc(''year'', timestamp, ''UTC'') from before_partitions.%I', bare) loop
        perform raw.ensure_partition(of_relation, at);
    end loop;
    execute format('insert into %s overriding system value select * from before_partitions.%I order by %I', of_relation, bare, id_column);
    get diagnostics added = row_count;
    execute format('select count(*) from before_partitions.%I', bare) into row_count;
    if added <> row_count then
        raise exception 'expected % rows of %, brought over %', row_count, of_relation, added;
    end if;
    perform setval(pg_get_serial_sequence(of_relation, id_column), sequence_state.last_value, sequence_state.is_called);
    execute after_rows;
end $$;

do $$
declare
    words text := '';
    one record;
begin
    -- PostgreSQL prints a body it read from its own print once more with names that were not written ('a' as text), so
    -- that is done before it is noted what a function is. The hash of a definition's function is the one it has.
    for one in
        select r.definition from resting as r
        where r.hash is not null and not exists (select from features.definitions as d where d.functions ? r.name)
        order by r.depth, r.objid
    loop
        execute one.definition;
    end loop;
    update resting as r set hash = features.function_hash(r.objid), definition = pg_get_functiondef(r.objid) where r.hash is not null;
    perform pg_temp.look('before');
    select coalesce(string_agg(w.remark, E';\n'), '') into words
    from (
        select pg_temp.remarks(r.classid, r.objid, case r.classid when 'pg_proc'::regclass then 'function' else 'view' end, r.name) as remark from resting as r
        union all
        select pg_temp.grants(r.objid) from resting as r where r.classid = 'pg_class'::regclass
    ) as w;
    create schema before_partitions;
    for one in select t.relation from raw.partitioned_tables as t order by t.relation loop
        perform pg_temp.partition(one.relation);
    end loop;
    drop schema before_partitions cascade;
    for one in select r.definition from resting as r order by r.depth, r.objid loop
        execute one.definition;
    end loop;
    if words <> '' then
        execute words;
    end if;
    perform pg_temp.look('after');
    select r.name into one from resting as r where r.hash is distinct from features.function_hash(to_regprocedure(r.name)) and r.hash is not null limit 1;
    if found then
        raise exception 'expected % to be made again as it was, found it changed', one.name;
    end if;
    select i.kind, i.name into one
    from inventory as i
    where i.look = 'before' and not exists (
        select from inventory as a where a.look = 'after' and a.kind = i.kind and a.name = i.name)
    limit 1;
    if found then
        raise exception 'expected the % % to be there still, found it gone', one.kind, one.name;
    end if;
end $$;

do $$
declare
    of_view text;
begin
    foreach of_view in array array['marts.indicators', 'marts.indicators_extended', 'features.daily'] loop
        execute format($sql$
            create function features.%I(of_definition text, as_of timestamptz, up_to bigint) returns setof %s
            language sql stable as $body$
                select distinct on (v.source, v.symbol, v.interval, v.timestamp) v.*
                from %s as v
                where v.definition = $1 and v.known_at <= $2 and v.watermark <= $3
                order by v.source, v.symbol, v.interval, v.timestamp, v.known_at desc, v.watermark desc, v.row_id desc
            $body$ $sql$, split_part(of_view, '.', 2) || '_as_of', of_view, of_view);
    end loop;
end $$;

-- What was derived of bars may lack a year that its bars have, while it waits to be derived.
select raw.make_partitions('prices', array(select p.from_at + interval '12 hours' from raw.partitions as p where p.relation = 'raw.price_bars' and isfinite(p.from_at)));
select raw.make_partitions('trades', array(select p.from_at + interval '12 hours' from raw.partitions as p where p.relation = 'raw.trades' and isfinite(p.from_at)));
select raw.make_partitions_ahead();
