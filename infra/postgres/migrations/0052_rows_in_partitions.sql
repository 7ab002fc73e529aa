-- What foreign keys and a key without a time said of trades and chart bars; partitions for rows that wait in a table;
-- statistics, which nobody but ourselves gathers of a partitioned table as a whole (docs/decisions/0126, 0127).

create function raw.check_trades() returns trigger
language plpgsql as $$
declare
    missing text;
    repeated record;
begin
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
        raise exception 'expected trades of a batch and a watermark that are there, found none: %; insert it before its trades', missing
            using errcode = 'foreign_key_violation';
    end if;
    -- A correction may move a trade in time, so its key in a partition cannot see this; a watermark is one transaction's.
    select t.symbol, t.trade_id, t.watermark into repeated
    from (select distinct i.source, i.symbol, i.watermark from added as i) as n
    inner join raw.trades as t on t.source = n.source and t.symbol = n.symbol and t.watermark = n.watermark
    group by t.source, t.symbol, t.trade_id, t.watermark
    having count(*) > 1
    limit 1;
    if found then
        raise exception 'expected one version of a trade in a publication, found several of % % at watermark %; publish the last of them',
            repeated.symbol, repeated.trade_id, repeated.watermark using errcode = 'unique_violation';
    end if;
    return null;
end $$;

create trigger rules after insert on raw.trades
referencing new table as added for each statement execute function raw.check_trades();

create function marts.check_watermarks_of_chart_bars() returns trigger
language plpgsql as $$
declare
    missing bigint;
begin
    select n.watermark into missing
    from (select distinct i.watermark from added as i) as n
    where not exists (select from raw.watermarks as w where w.watermark = n.watermark)
    limit 1;
    if found then
        raise exception 'expected chart bars of a watermark that is there, found none: %; take it before', missing
            using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;

create trigger origin after insert on marts.chart_bars
referencing new table as added for each statement execute function marts.check_watermarks_of_chart_bars();

-- The partitions for the rows of another table with a timestamp, such as a staging table. That all stand is seen by the
-- ends of their time; only if one is lacking it is asked which of those between are needed.
create function raw.make_partitions_for(of_kind text, waiting regclass) returns text[]
language plpgsql as $$
declare
    finest text;
    first_at timestamptz;
    last_at timestamptz;
    moments timestamptz[];
begin
    select t.step into finest from raw.partitioned_tables as t where of_kind = any (t.brought_by)
    order by array_position(array['day', 'month', 'year'], t.step) limit 1;
    execute format('select min(timestamp), max(timestamp) from %s', waiting) into first_at, last_at;
    if first_at is null or not exists (
        select
        from raw.partitioned_tables as t
        cross join lateral (
            select coalesce(sum(least(p.to_at, last_at) - greatest(p.from_at, first_at - t.reaches_back)), interval '0') as covered
            from raw.partitions as p
            where p.relation = t.relation and p.from_at <= last_at and p.to_at > first_at - t.reaches_back
        ) as c
        where of_kind = any (t.brought_by) and (
            c.covered < last_at - first_at + t.reaches_back
            or not exists (select from raw.partitions as p where p.relation = t.relation and p.from_at <= last_at and p.to_at > last_at)
        )
    ) then
        return '{}';
    end if;
    execute format(
        'select array_agg(s.at) from (select min(timestamp) as at from %s group by date_trunc(%L, timestamp at time zone ''UTC'')) as s',
        waiting, finest
    ) into moments;
    return raw.make_partitions(of_kind, moments);
end $$;

-- Statistics of a table as a whole and of its partitions with rows in the given time. A table's own are of a sample of
-- all its partitions; those of a partition are of fewer rows the more partitions there are, until autovacuum comes.
create procedure raw.analyze_partitions(of_relation text, from_at timestamptz, to_at timestamptz)
language plpgsql as $$
declare
    target constant integer := current_setting('default_statistics_target')::integer;
    names text[];
begin
    execute format('analyze only %s', of_relation);
    select array_agg(p.name order by p.from_at) into names
    from raw.partitions as p
    where p.relation = of_relation and p.from_at <= analyze_partitions.to_at and p.to_at > analyze_partitions.from_at;
    if names is not null then
        perform set_config('default_statistics_target', greatest(10, target / cardinality(names))::text, true);
        execute 'analyze ' || array_to_string(names, ', ');
        perform set_config('default_statistics_target', target::text, true);
    end if;
end $$;
