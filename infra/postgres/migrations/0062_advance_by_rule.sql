-- How features.advance takes a publication, by the rule of the definition (0060, 0061).

-- As in 0027. A definition never changes, so neither does its rule.
create or replace function features.continuing_sql(of_definition text, series text, done text, target text) returns text
language sql stable
return format($sql$
    with splits as (
        select distinct on (s.source, s.symbol, s.interval, a.ex_date) s.source, s.symbol, s.interval, a.ex_date, a.ratio, a.from_at
        from unnest(%2$s) as s
        cross join lateral features.splits_of(%5$L, s.source, s.symbol, s.interval, %4$s) as a
        order by s.source, s.symbol, s.interval, a.ex_date, a.known_at desc, a.watermark desc
    ),

    factors as (
        select
            s.source, s.symbol, s.interval, s.from_at,
            coalesce(lead(s.from_at) over dates, 'infinity') as to_at,
            features.product(s.ratio) over (dates rows between unbounded preceding and current row) as factor
        from splits as s
        window dates as (partition by s.source, s.symbol, s.interval order by s.ex_date)
    )

    select
        b.source, b.symbol, b.interval, b.timestamp, b.known_at, b.nominal_at, b.bar_id, b.row_hash as bar_hash,
        b.open, b.high, b.low, b.close, b.volume,
        case when b.adjustment = 'raw' then coalesce(f.factor, 1) else 1 end as factor, h.seed, false as is_context
    from unnest(%2$s) as s
    join raw.price_bars as b on b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
    left join features.heads as h
        on h.definition = %1$L and h.source = s.source and h.symbol = s.symbol and h.interval = s.interval
    left join factors as f
        on f.source = b.source and f.symbol = b.symbol and f.interval = b.interval
        and b.timestamp >= f.from_at and b.timestamp < f.to_at
    where b.watermark > %3$s and b.watermark <= %4$s$sql$,
    of_definition, series, done, target, features.action_rule(of_definition));

-- As in 0016.
create or replace function features.touched_series(of_definition text, done bigint, target bigint)
returns table (stretch features.segment, bars bigint, has_head boolean, continues boolean)
language sql stable
begin atomic
    with ruled as (
        select features.action_rule(touched_series.of_definition) as rule
    ),

    new_bars as (
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
        select
            a.source, a.symbol, i.interval,
            min(
                features.acts_known_by(
                    r.rule, i.interval, a.ex_date, a.known_at, a.nominal_at,
                    features.acts_by(r.rule, i.interval, a.ex_date, a.symbol)
                )
            ) as known_from
        from raw.corporate_actions as a
        cross join ruled as r
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
            from features.splits_of(r.rule, t.source, t.symbol, t.interval, touched_series.target) as a
            where (a.watermark > touched_series.done and a.from_at <= h.timestamp)
                or a.known_at > (
                    select b.known_at
                    from raw.price_bars as b
                    where b.source = t.source and b.symbol = t.symbol and b.interval = t.interval
                        and b.timestamp >= greatest(t.first_at, a.from_at)
                        and b.watermark > touched_series.done and b.watermark <= touched_series.target
                    order by b.timestamp
                    limit 1
                )
        )
    from touched as t
    cross join ruled as r
    left join features.heads as h
        on h.definition = touched_series.of_definition
        and h.source = t.source and h.symbol = t.symbol and h.interval = t.interval;
end;

-- What happened to the knowledge of chosen series, each from the known_from that it comes with: as in 0016.
create function features.segments_of(stretches features.segment [], to_watermark bigint, rule text)
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
        select s.source, s.symbol, s.interval, a.known_at, a.from_at, null
        from described as s
        cross join lateral features.splits_of(
            segments_of.rule, s.source, s.symbol, s.interval, segments_of.to_watermark
        ) as a
        where s.is_raw and a.known_at >= s.known_from
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

create function features.segments(from_watermark bigint, to_watermark bigint, rule text)
returns setof features.segment
language sql stable
begin atomic
    with changed as (
        select b.source, b.symbol, b.interval, b.known_at
        from raw.price_bars as b
        where b.watermark > segments.from_watermark and b.watermark <= segments.to_watermark
        union all
        select
            a.source, a.symbol, i.interval,
            features.acts_known_by(
                segments.rule, i.interval, a.ex_date, a.known_at, a.nominal_at,
                features.acts_by(segments.rule, i.interval, a.ex_date, a.symbol)
            )
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
    cross join lateral features.segments_of(a.stretches, segments.to_watermark, segments.rule) as f;
end;

-- As in 0037.
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
        select coalesce(array_agg(s), '{}') into others from features.segments(done, target, features.action_rule(of_definition)) as s;
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
        select coalesce(array_agg(s), '{}') into broken from features.segments_of(others, target, features.action_rule(of_definition)) as s;
        call features.advance_segments(of_definition, broken, context_bars, target, own, rows_made);
        call features.make_heads(of_definition, others, target, seed_closes);
    end if;
end $$;

-- What a rule must be named for now.
drop function features.segments(bigint, bigint);
drop function features.segments_of(features.segment [], bigint);
drop function features.inputs_known_at(text, text, text, timestamptz, timestamptz, bigint);
drop function features.inputs_known_by_bar(text, text, text, timestamptz, bigint);
