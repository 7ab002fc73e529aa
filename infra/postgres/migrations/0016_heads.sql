-- What features.advance asks before it computes: what was published, whether functions are what they were, and which series
-- a publication merely continues. Those start from where they stand, which is kept beside the rows.

create index on raw.corporate_actions (watermark);
-- The last closes before a decision are asked for each daily row.
create index on trading.calendar_sessions (calendar, closes_at);

-- Where each series stands: what its next bar starts from. Of now only, and can be made again from the rows: a series
-- without a head gets one when it is next needed.
create table features.heads (
    definition text not null references features.definitions,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    known_to timestamptz not null,
    seed double precision [] not null,
    primary key (definition, source, symbol, interval)
) with (fillfactor = 50);
comment on table features.heads is 'Where each series of a definition stands now. Rebuildable; nothing is answered from it.';
comment on column features.heads.known_to is 'The latest known_at of all bars of the series that were taken.';
comment on column features.heads.seed is 'The newest row''s state, then the last closes, oldest first; 0 where there are fewer.';

-- The functions of a definition as they were found right the last time: the versions of their catalogue rows. Hashing
-- their sources again for each publication would cost more than a bar.
create table features.checked_functions (
    definition text primary key references features.definitions,
    versions text not null
);

create function features.function_versions(of_definition text) returns text
language sql stable set search_path = pg_catalog
return (
    select coalesce(string_agg(concat_ws(' ', p.oid, p.xmin, p.ctid), ',' order by f.name), '')
    from features.definitions as d
    cross join jsonb_object_keys(d.functions) as f (name)
    left join pg_proc as p on p.oid = to_regprocedure(f.name)
    where d.definition = of_definition
);

-- features.check_functions for a writer, which may remember that all was right.
create procedure features.check_functions_once(of_definition text)
language plpgsql as $$
declare
    found_versions constant text := features.function_versions(of_definition);
begin
    if exists (select from features.checked_functions as c where c.definition = of_definition and c.versions = found_versions) then
        return;
    end if;
    perform features.check_functions(of_definition);
    insert into features.checked_functions as c (definition, versions) values (of_definition, found_versions)
    on conflict (definition) do update set versions = excluded.versions;
end $$;

create or replace function features.newest_publication(of_definition text, done bigint, target bigint) returns bigint
language plpgsql stable as $$
declare
    newest bigint;
begin
    select greatest(
        (select max(b.watermark) from raw.price_bars as b where b.watermark > done and b.watermark <= target),
        (select max(a.watermark) from raw.corporate_actions as a where a.watermark > done and a.watermark <= target)
    ) into newest;
    if (select d.view from features.definitions as d where d.definition = of_definition) = 'features.daily' then
        select greatest(
            newest,
            (select max(n.watermark) from raw.news_items as n where n.watermark > done and n.watermark <= target),
            (select max(i.watermark) from trading.instruments as i where i.watermark > done and i.watermark <= target),
            (select max(z.watermark) from features.news_scores as z where z.watermark > done and z.watermark <= target)
        ) into newest;
    end if;
    return newest;
end $$;

-- The series that publications in (done, target] touch: with how many bars, from which knowledge on, and whether they
-- merely continue it. That is: every new bar lies after every bar before it in time and is not known before it, and no
-- split reaches back. Features are adjusted by splits only, so no other action touches a series.
create function features.touched_series(of_definition text, done bigint, target bigint)
returns table (stretch features.segment, bars bigint, has_head boolean, continues boolean)
language sql stable
begin atomic
    with new_bars as (
        select
            b.source, b.symbol, b.interval, b.timestamp, b.known_at,
            lag(b.timestamp) over bars_in_order < b.timestamp
            and lag(b.known_at) over bars_in_order <= b.known_at as is_next
        from raw.price_bars as b
        where b.watermark > touched_series.done and b.watermark <= touched_series.target
        window bars_in_order as (partition by b.source, b.symbol, b.interval order by b.timestamp, b.known_at)
    ),

    by_bars as (
        select
            n.source, n.symbol, n.interval, count(*) as bars, min(n.known_at) as known_from, max(n.known_at) as known_to,
            min(n.timestamp) as first_at, coalesce(bool_and(n.is_next), true) as in_order
        from new_bars as n
        group by n.source, n.symbol, n.interval
    ),

    by_splits as (
        select a.source, a.symbol, i.interval, min(a.known_at) as known_from
        from raw.corporate_actions as a
        cross join lateral (
            select distinct b.interval
            from raw.price_bars as b
            where b.source = a.source and b.symbol = a.symbol and b.adjustment = 'raw' and b.watermark <= touched_series.target
        ) as i
        where a.kind = 'split' and a.watermark > touched_series.done and a.watermark <= touched_series.target
        group by a.source, a.symbol, i.interval
    ),

    touched as (
        select
            source, symbol, interval, coalesce(b.bars, 0) as bars, least(b.known_from, s.known_from) as known_from,
            b.known_from as bars_known_from, b.known_to, b.first_at, coalesce(b.in_order, false) as in_order
        from by_bars as b
        full join by_splits as s using (source, symbol, interval)
    )

    select
        (t.source, t.symbol, t.interval, 0, t.known_from, t.known_to, t.first_at)::features.segment,
        t.bars,
        h.seed is not null,
        t.in_order
        and case
            when h.seed is not null then t.first_at > h.timestamp and t.bars_known_from >= h.known_to
            else not exists (
                select
                from raw.price_bars as b
                where b.source = t.source and b.symbol = t.symbol and b.interval = t.interval and b.watermark <= touched_series.done
            )
        end
        and not exists (
            select
            from raw.corporate_actions as a
            where a.source = t.source and a.symbol = t.symbol and a.kind = 'split' and a.watermark <= touched_series.target
                and (
                    (a.watermark > touched_series.done and features.as_timestamp(a.ex_date) <= h.timestamp)
                    or a.known_at > (
                        select b.known_at
                        from raw.price_bars as b
                        where b.source = t.source and b.symbol = t.symbol and b.interval = t.interval
                            and b.timestamp >= greatest(t.first_at, features.as_timestamp(a.ex_date))
                            and b.watermark > touched_series.done and b.watermark <= touched_series.target
                        order by b.timestamp
                        limit 1
                    )
                )
        )
    from touched as t
    left join features.heads as h
        on h.definition = touched_series.of_definition
        and h.source = t.source and h.symbol = t.symbol and h.interval = t.interval;
end;

-- features.segments for chosen series, each from the known_from that it comes with.
create function features.segments_of(stretches features.segment [], to_watermark bigint)
returns setof features.segment
language sql stable
begin atomic
    with described as (
        select
            s.source, s.symbol, s.interval, s.known_from,
            newest.timestamp as newest_bar, coalesce(newest.is_raw, any_bar.is_raw) as is_raw
        from unnest(segments_of.stretches) as s
        left join lateral (
            select b.timestamp, b.adjustment = 'raw' as is_raw
            from raw.price_bars as b
            where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
                and b.known_at < s.known_from and b.watermark <= segments_of.to_watermark
            order by b.timestamp desc
            limit 1
        ) as newest on true
        left join lateral (
            select b.adjustment = 'raw' as is_raw
            from raw.price_bars as b
            where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
                and b.watermark <= segments_of.to_watermark
            limit 1 -- noqa: AM09
        ) as any_bar on true
    ),

    events as (
        select s.source, s.symbol, s.interval, b.known_at, b.timestamp as starts_at, b.timestamp as bar_at
        from described as s
        join raw.price_bars as b
            on b.source = s.source and b.symbol = s.symbol and b.interval = s.interval and b.known_at >= s.known_from
        where b.watermark <= segments_of.to_watermark
        union all
        select s.source, s.symbol, s.interval, a.known_at, features.as_timestamp(a.ex_date), null
        from described as s
        join raw.corporate_actions as a
            on a.source = s.source and a.symbol = s.symbol and a.known_at >= s.known_from
        where s.is_raw and a.kind = 'split' and a.watermark <= segments_of.to_watermark
    ),

    moments as (
        select
            e.source, e.symbol, e.interval, e.known_at,
            min(e.starts_at) as first_at, max(e.bar_at) as last_bar
        from events as e
        group by e.source, e.symbol, e.interval, e.known_at
    ),

    judged as (
        select
            m.*,
            m.first_at <= greatest(
                s.newest_bar,
                max(m.last_bar) over (
                    partition by m.source, m.symbol, m.interval order by m.known_at
                    rows between unbounded preceding and 1 preceding
                )
            ) as is_break
        from moments as m
        join described as s on s.source = m.source and s.symbol = m.symbol and s.interval = m.interval
    ),

    numbered as (
        select
            j.*,
            count(*) filter (where j.is_break) over (
                partition by j.source, j.symbol, j.interval order by j.known_at
                rows between unbounded preceding and current row
            ) as round
        from judged as j
    )

    select
        (n.source, n.symbol, n.interval, n.round, min(n.known_at), max(n.known_at), min(n.first_at))::features.segment
    from numbered as n
    group by n.source, n.symbol, n.interval, n.round;
end;

create or replace function features.segments(from_watermark bigint, to_watermark bigint)
returns setof features.segment
language sql stable
begin atomic
    with changed as (
        select b.source, b.symbol, b.interval, b.known_at
        from raw.price_bars as b
        where b.watermark > segments.from_watermark and b.watermark <= segments.to_watermark
        union all
        select a.source, a.symbol, i.interval, a.known_at
        from raw.corporate_actions as a
        cross join lateral (
            select distinct b.interval
            from raw.price_bars as b
            where b.source = a.source and b.symbol = a.symbol and b.adjustment = 'raw' and b.watermark <= segments.to_watermark
        ) as i
        where a.kind = 'split' and a.watermark > segments.from_watermark and a.watermark <= segments.to_watermark
    ),

    series as (
        select (c.source, c.symbol, c.interval, 0, min(c.known_at), null, null)::features.segment as stretch
        from changed as c
        group by c.source, c.symbol, c.interval
    )

    select f.*
    from (select array_agg(s.stretch) as stretches from series as s) as a
    cross join lateral features.segments_of(a.stretches, segments.to_watermark) as f;
end;
