-- How indicators are computed: the state of the recursive ones, the bars to compute, and the order of knowledge.

-- One bar further. Each recursion follows TA-Lib operation by operation, so its value is TA-Lib's from the first one on:
-- a seed is the plain mean of its first values, and MACD's fast average has a seed of its own (it starts with the slow
-- one). Only + - * /, which IEEE fixes; the order of operations is part of the definition.
--
-- state: [1] bars so far, [2] close, [3] EMA 12, [4] EMA 26, [5] MACD's fast average, [6] MACD's signal, [7] mean gain
-- and [8] mean loss (Wilder, 14), [9] ATR 14, [10] OBV. Before its first value an entry holds the sum of its seed.
create function features.indicator_step_v1(
    state double precision [], seed double precision [],
    high double precision, low double precision, close double precision, volume double precision
) returns double precision []
language plpgsql immutable parallel safe as $$
declare
    before constant double precision[] := coalesce(state, seed);
    bars double precision;
    change double precision;
    range double precision;
    ema_12 double precision;
    ema_26 double precision;
    fast double precision;
    macd double precision;
    signal double precision;
    gain double precision;
    loss double precision;
    atr double precision;
begin
    if before is null then
        return array[1.0, close, close, close, 0.0, 0.0, 0.0, 0.0, 0.0, volume];
    end if;
    bars := before[1] + 1.0;
    change := close - before[2];

    ema_12 := case
        when bars > 12.0 then (close - before[3]) * (2.0::double precision / 13.0::double precision) + before[3]
        when bars = 12.0 then (before[3] + close) / 12.0
        else before[3] + close end;
    ema_26 := case
        when bars > 26.0 then (close - before[4]) * (2.0::double precision / 27.0::double precision) + before[4]
        when bars = 26.0 then (before[4] + close) / 26.0
        else before[4] + close end;

    fast := case
        when bars > 26.0 then (close - before[5]) * (2.0::double precision / 13.0::double precision) + before[5]
        when bars = 26.0 then (before[5] + close) / 12.0
        when bars > 14.0 then before[5] + close
        else 0.0 end;
    macd := fast - ema_26;
    signal := case
        when bars > 34.0 then (macd - before[6]) * (2.0::double precision / 10.0::double precision) + before[6]
        when bars = 34.0 then (before[6] + macd) / 9.0
        when bars >= 26.0 then before[6] + macd
        else 0.0 end;

    gain := case when change > 0.0 then change else 0.0 end;
    loss := case when change < 0.0 then -change else 0.0 end;
    range := greatest(high - low, abs(before[2] - high), abs(before[2] - low));
    if bars > 15.0 then
        gain := (before[7] * 13.0 + gain) / 14.0;
        loss := (before[8] * 13.0 + loss) / 14.0;
        atr := (before[9] * 13.0 + range) / 14.0;
    elsif bars = 15.0 then
        gain := (before[7] + gain) / 14.0;
        loss := (before[8] + loss) / 14.0;
        atr := (before[9] + range) / 14.0;
    else
        gain := before[7] + gain;
        loss := before[8] + loss;
        atr := before[9] + range;
    end if;

    return array[
        bars, close, ema_12, ema_26, fast, signal, gain, loss, atr,
        case when change > 0.0 then before[10] + volume when change < 0.0 then before[10] - volume else before[10] end
    ];
end $$;

-- Used as a window function: the state after each bar, from a seed or from nothing.
create aggregate features.indicator_state_v1( -- noqa: PRS
    seed double precision [], high double precision, low double precision, close double precision, volume double precision
) (sfunc = features.indicator_step_v1, stype = double precision [], parallel = safe);

create aggregate features.product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1');

create function features.as_timestamp(of_day date) returns timestamptz
language sql immutable parallel safe
return of_day::timestamp at time zone 'UTC';

-- A stretch of new knowledge about one series that one pass computes: see features.segments.
create type features.segment as (
    source text,
    symbol text,
    interval text,
    round bigint,
    known_from timestamptz,
    known_to timestamptz,
    first_at timestamptz
);

-- What happened to the knowledge of each series touched by publications in (from_watermark, to_watermark].
--
-- For every moment t the derived rows as of t must be what a rebuild on the data known at t would give. So knowledge is
-- gone through in the order of known_at, from the earliest new version on. A version that only continues its series
-- (it lies after every bar known before) changes no row that is there; any other version (a revision, a late bar,
-- history put in front, a late split) changes the rows from its place on, from its known_at on. A segment is one such
-- break with the continuations that follow it; the segments of a series are computed one round after the other, those
-- of different series together. Without breaks a whole history is one round.
create function features.segments(from_watermark bigint, to_watermark bigint)
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
        where a.watermark > segments.from_watermark and a.watermark <= segments.to_watermark
    ),

    series as (
        select c.source, c.symbol, c.interval, min(c.known_at) as known_from
        from changed as c
        group by c.source, c.symbol, c.interval
    ),

    described as (
        select s.*, newest.timestamp as newest_bar, coalesce(newest.is_raw, any_bar.is_raw) as is_raw
        from series as s
        left join lateral (
            select b.timestamp, b.adjustment = 'raw' as is_raw
            from raw.price_bars as b
            where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
                and b.known_at < s.known_from and b.watermark <= segments.to_watermark
            order by b.timestamp desc
            limit 1
        ) as newest on true
        left join lateral (
            select b.adjustment = 'raw' as is_raw
            from raw.price_bars as b
            where b.source = s.source and b.symbol = s.symbol and b.interval = s.interval
                and b.watermark <= segments.to_watermark
            limit 1
        ) as any_bar on true
    ),

    events as (
        select s.source, s.symbol, s.interval, b.known_at, b.timestamp as starts_at, b.timestamp as bar_at
        from described as s
        join raw.price_bars as b
            on b.source = s.source and b.symbol = s.symbol and b.interval = s.interval and b.known_at >= s.known_from
        where b.watermark <= segments.to_watermark
        union all
        select s.source, s.symbol, s.interval, a.known_at, features.as_timestamp(a.ex_date), null
        from described as s
        join raw.corporate_actions as a
            on a.source = s.source and a.symbol = s.symbol and a.known_at >= s.known_from
        where s.is_raw and a.kind = 'split' and a.watermark <= segments.to_watermark
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

-- The bars of one segment with the `context_bars` before them, as known at its end by `up_to`, and the state that the
-- row before the first has at the segment's beginning. A null `of_definition` asks for no seed. What it gives is part of
-- every definition's meaning: columns may be added, what is there never changes.
create function features.bars_to_compute(
    of_definition text, stretch features.segment, up_to bigint, context_bars integer, until_bar timestamptz default 'infinity'
) returns setof features.pending_bars
language plpgsql stable as $$
declare
    from_bar timestamptz;
    state_before double precision[];
begin
    select coalesce(min(c.timestamp), stretch.first_at) into from_bar
    from (
        select distinct b.timestamp
        from raw.price_bars as b
        where b.source = stretch.source and b.symbol = stretch.symbol and b.interval = stretch.interval
            and b.timestamp < stretch.first_at and b.known_at <= stretch.known_to and b.watermark <= up_to
        order by b.timestamp desc
        limit context_bars
    ) as c;
    select i.state into state_before
    from marts.indicators as i
    where i.definition = of_definition and i.source = stretch.source and i.symbol = stretch.symbol
        and i.interval = stretch.interval and i.timestamp < stretch.first_at and i.known_at <= stretch.known_from
    order by i.timestamp desc, i.known_at desc, i.watermark desc, i.row_id desc
    limit 1;

    return query
    with splits as (
        select distinct on (a.ex_date) a.ex_date, a.ratio
        from raw.corporate_actions as a
        where a.source = stretch.source and a.symbol = stretch.symbol and a.kind = 'split'
            and a.known_at <= stretch.known_to and a.watermark <= up_to
        order by a.ex_date asc, a.known_at desc, a.watermark desc
    ),

    factors as (
        select
            features.as_timestamp(s.ex_date) as from_at,
            coalesce(lead(features.as_timestamp(s.ex_date)) over (order by s.ex_date), 'infinity') as to_at,
            features.product(s.ratio) over (order by s.ex_date rows between unbounded preceding and current row) as factor
        from splits as s
    ),

    bars as (
        select distinct on (b.timestamp) b.*
        from raw.price_bars as b
        where b.source = stretch.source and b.symbol = stretch.symbol and b.interval = stretch.interval
            and b.timestamp >= from_bar and b.timestamp <= until_bar
            and b.known_at <= stretch.known_to and b.watermark <= up_to
        order by b.timestamp asc, b.known_at desc, b.watermark desc
    )

    select
        b.source, b.symbol, b.interval, b.timestamp,
        greatest(b.known_at, stretch.known_from), b.nominal_at, b.bar_id, b.row_hash,
        b.open, b.high, b.low, b.close, b.volume,
        case when b.adjustment = 'raw' then coalesce(f.factor, 1) else 1 end,
        case when b.timestamp >= stretch.first_at then state_before end,
        b.timestamp < stretch.first_at
    from bars as b
    left join factors as f on b.timestamp >= f.from_at and b.timestamp < f.to_at;
end $$;
