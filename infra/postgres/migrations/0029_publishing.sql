-- What it takes to bring a few bars in and to take them into their series, for less (docs/decisions/0101).

-- That a bar's batch and watermark are there was asked twice for each row, and nearly always of one batch. It is asked
-- once for each statement instead. The keys stay declared; nothing can go away under a bar, since both tables are
-- append-only.
alter table raw.price_bars alter constraint price_bars_batch_id_fkey not enforced;
alter table raw.price_bars alter constraint price_bars_watermark_fkey not enforced;

create function raw.check_origin_of_bars() returns trigger
language plpgsql as $$
declare
    missing text;
begin
    -- Subqueries, not joins: planned once for a session, a join would read the parents whole.
    select
        case when a.has_batch then format('watermark %s of raw.watermarks', a.watermark)
            else format('batch %s of raw.ingestion_batches', a.batch_id) end
    into missing
    from (
        select
            n.batch_id, n.watermark,
            (select true from raw.ingestion_batches as b where b.batch_id = n.batch_id) as has_batch,
            (select true from raw.watermarks as w where w.watermark = n.watermark) as has_watermark
        from (select distinct i.batch_id, i.watermark from added as i) as n
    ) as a
    where a.has_batch is null or a.has_watermark is null
    limit 1;
    if missing is not null then
        raise exception 'expected bars of a batch and a watermark that are there, found none: %; insert it before its bars', missing
            using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;

create trigger origin after insert on raw.price_bars
referencing new table as added for each statement execute function raw.check_origin_of_bars();

-- One look-up for each function of the definition; joined, the whole catalogue was read.
create or replace function features.function_versions(of_definition text) returns text
language sql stable set search_path = pg_catalog
return (
    select coalesce(
        string_agg(
            (select concat_ws(' ', p.oid, p.xmin, p.ctid) from pg_proc as p where p.oid = to_regprocedure(f.name)),
            ',' order by f.name
        ),
        ''
    )
    from features.definitions as d
    cross join jsonb_object_keys(d.functions) as f (name)
    where d.definition = of_definition
);

-- The prepared statement takes its parameters as text, and reads only the series' names: the rest is left out.
create or replace procedure features.continue_series(
    of_definition text, seed_closes integer, stretches features.segment [], done bigint, target bigint, own bigint
)
language plpgsql as $$
declare
    prepared constant text := 'tradeloom_continue_' || left(of_definition, 32);
    names features.segment[];
begin
    if not features.is_prepared(prepared) then
        execute format(
            'prepare %I (features.segment[], bigint, bigint, bigint) as %s', prepared,
            features.continue_statement(of_definition, seed_closes));
    end if;
    select array_agg((s.source, s.symbol, s.interval, null, null, null, null)::features.segment) into names
    from unnest(stretches) as s;
    execute format('execute %I (%L, %s, %s, %s)', prepared, names, done, target, own);
end $$;
