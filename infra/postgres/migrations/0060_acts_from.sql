-- From when a corporate action is in force: one rule for every reader (docs/decisions/0142). Within the day it acts from the
-- session of its ex-date on, which in Sydney's summer and for futures opens on the eve in UTC.

-- The moment within the day: 00:00 UTC of the ex-date, and not where a session lies across it. A bar that reaches into the
-- first session on or after the ex-date has the action in it; one that begins in a session before has not. A symbol keeps
-- its calendar, so that of its first instrument counts. Only recorded sessions count: they never change, and no bar of a
-- session is published before the session is recorded, so no bar changes its side of the moment later.
create function features.acts_within_day(of_interval text, ex_date date, of_symbol text) returns timestamptz
language plpgsql stable as $$
declare
    of_calendar constant text := (
        select i.calendar
        from trading.instruments as i
        where i.symbol = of_symbol
        order by i.watermark
        limit 1
    );
begin
    return greatest(
        (
            select c.closes_at
            from trading.calendar_sessions as c
            where c.calendar = of_calendar and c.session_date < acts_within_day.ex_date
            order by c.session_date desc
            limit 1
        ),
        least(
            features.as_timestamp(ex_date),
            (
                select c.opens_at
                from trading.calendar_sessions as c
                where c.calendar = of_calendar and c.session_date >= acts_within_day.ex_date
                order by c.session_date
                limit 1
            ) - features.interval_length(of_interval) + interval '1 microsecond'
        )
    );
end $$;

-- The timestamp from which on bars of an interval have the action in them. Labels of days, weeks and months are no moments:
-- a day's is its session's, a week or a month has the actions of its days.
create function features.acts_from(of_interval text, ex_date date, of_symbol text) returns timestamptz
language sql stable
return case
    when of_interval in ('1d', '1w', '1mo') then features.acts_from(of_interval, ex_date)
    else features.acts_within_day(of_interval, ex_date, of_symbol)
end;

-- Since when an action counts as known to bars of an interval. One that is known by its ex-date, as history says, is known
-- within the day by the session of its ex-date: else the bars of the eve would come out without it first.
create function features.acts_known_at(
    of_interval text, ex_date date, known_at timestamptz, nominal_at timestamptz, from_at timestamptz
) returns timestamptz
language sql immutable parallel safe
return case
    when of_interval not in ('1d', '1w', '1mo') and known_at = nominal_at and nominal_at = features.as_timestamp(ex_date)
        then least(known_at, from_at)
    else known_at
end;

-- Every action as known at (as_of, up_to) to bars of an interval, in its newest version, and from when on it acts.
create function features.actions_of(of_interval text, as_of timestamptz, up_to bigint)
returns table (
    source text, symbol text, kind text, ex_date date, ratio numeric, amount numeric, currency text, known_at timestamptz,
    from_at timestamptz
)
language sql stable
begin atomic
    select distinct on (a.source, a.symbol, a.kind, a.ex_date)
        a.source, a.symbol, a.kind, a.ex_date, a.ratio, a.amount, a.currency, k.known_at, m.from_at
    from raw.corporate_actions as a
    cross join lateral features.acts_from(actions_of.of_interval, a.ex_date, a.symbol) as m (from_at)
    cross join lateral features.acts_known_at(
        actions_of.of_interval, a.ex_date, a.known_at, a.nominal_at, m.from_at
    ) as k (known_at)
    where k.known_at <= actions_of.as_of and a.watermark <= actions_of.up_to
    order by a.source asc, a.symbol asc, a.kind asc, a.ex_date asc, k.known_at desc, a.watermark desc;
end;

-- The splits, dividends and spin-offs of a raw series as in 0034, from when each is in force by the rule above.
drop function features.adjustment_steps(text, text, text, timestamptz, bigint);
create function features.adjustment_steps(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
) returns table (from_at timestamptz, is_split boolean, shares numeric, growth numeric, known_at timestamptz, ex_date date)
language sql stable
begin atomic
    select
        a.from_at,
        a.kind = 'split',
        case when a.kind = 'split' then a.ratio else 1 end,
        case
            when a.kind = 'split' or before.close is null or coalesce(a.amount, 0) = 0 then 1
            when a.amount < before.close then round(before.close / (before.close - a.amount), 18)
        end,
        case when a.kind = 'split' then a.known_at else greatest(a.known_at, before.known_at) end,
        a.ex_date
    from features.actions_of(adjustment_steps.of_interval, adjustment_steps.as_of, adjustment_steps.up_to) as a
    left join lateral (
        select b.close, b.known_at
        from raw.price_bars as b
        where b.source = a.source and b.symbol = a.symbol and b.interval = adjustment_steps.of_interval
            and b.timestamp < a.from_at
            and b.known_at <= adjustment_steps.as_of and b.watermark <= adjustment_steps.up_to
        order by b.timestamp desc, b.known_at desc, b.watermark desc
        limit 1
    ) as before on true
    where a.source = adjustment_steps.of_source and a.symbol = adjustment_steps.of_symbol
        and a.kind in ('split', 'dividend', 'spin_off');
end;

-- The same as in 0034; a dividend that is too large is named by its ex-date.
create or replace function features.check_adjustment(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint, method text
) returns void
language plpgsql stable as $$
declare
    found text;
begin
    if method not in ('forward', 'back', 'total_return') then
        raise exception 'expected the adjustment forward, back or total_return, found %', method
            using errcode = 'invalid_parameter_value';
    end if;
    perform features.check_splits_inside(of_source, of_symbol, of_interval, as_of, up_to);
    if method <> 'total_return' then
        return;
    end if;
    if exists (
        select from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval and b.adjustment = 'split'
    ) then
        raise exception 'expected raw prices of % for a total return, found prices that came adjusted for splits: dividends are per share of their day; deliver raw prices', of_symbol
            using errcode = 'invalid_parameter_value';
    end if;
    select format('%s on %s in %s, the instrument in %s', a.kind, a.ex_date, a.currency, i.currency) into found
    from raw.actions_as_of(as_of, up_to) as a
    join trading.instruments_as_of(as_of, up_to) as i on i.symbol = a.symbol
    where a.source = of_source and a.symbol = of_symbol and a.kind in ('dividend', 'spin_off') and a.currency <> i.currency
    limit 1;
    if found is not null then
        raise exception 'expected amounts in the currency of %, found a %; convert it and deliver it again', of_symbol, found
            using errcode = 'invalid_parameter_value';
    end if;
    select s.ex_date::text into found
    from features.adjustment_steps(of_source, of_symbol, of_interval, as_of, up_to) as s
    where s.growth is null
    limit 1;
    if found is not null then
        raise exception 'expected every dividend and spin-off of % below the close before it, found a larger one on %; deliver it with the right amount', of_symbol, found
            using errcode = 'invalid_parameter_value';
    end if;
end $$;

-- The same as in 0033, with the rule above for a split inside a period.
create or replace function features.resampled_bars(
    of_source text, of_symbol text, of_interval text, to_interval text, as_of timestamptz, up_to bigint,
    method text default 'forward', from_at timestamptz default '-infinity'
) returns table (
    "timestamp" timestamptz, starts_at timestamptz, ends_at timestamptz, nominal_at timestamptz, -- noqa: RF06
    known_at timestamptz, is_over boolean, bars integer,
    open numeric, high numeric, low numeric, close numeric, volume numeric
)
language plpgsql stable as $$
#variable_conflict use_column
declare
    of_calendar text;
    of_lag interval;
    length interval;
    to_length interval;
    longest constant interval := case to_interval when '1mo' then interval '40 days' when '1w' then interval '10 days' else interval '3 days' end;
begin
    perform features.check_resampling(of_interval, to_interval, method);
    select i.calendar into of_calendar from trading.instruments_as_of(as_of, up_to) as i where i.symbol = of_symbol;
    select s.lag into of_lag from raw.sources as s where s.source = of_source;
    length := features.interval_length(of_interval);
    to_length := features.interval_length(to_interval);
    return query
    with inputs as materialized (
        select
            a.timestamp, a.known_at, a.adjusted_open as open, a.adjusted_high as high, a.adjusted_low as low,
            a.adjusted_close as close, a.adjusted_volume as volume, false as is_raw
        from features.adjusted_bars(of_source, of_symbol, of_interval, as_of, up_to, nullif(method, 'none')) as a
        where method <> 'none' and a.timestamp > from_at - longest
        union all
        select newest.*
        from (
            select distinct on (b.timestamp)
                b.timestamp, b.known_at, b.open, b.high, b.low, b.close, b.volume, b.adjustment = 'raw'
            from raw.price_bars as b
            where method = 'none' and b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
                and b.timestamp > from_at - longest and b.known_at <= as_of and b.watermark <= up_to
            order by b.timestamp asc, b.known_at desc, b.watermark desc
        ) as newest
    ),

    span as (
        select min((i.timestamp at time zone 'UTC')::date) as first, max((i.timestamp at time zone 'UTC')::date) as last
        from inputs as i
    ),

    stretches as (
        select
            s.session_date, t.opens_at, t.closes_at,
            lag(t.closes_at) over in_time as before_closes_at, lag(s.session_date) over in_time as before_date
        from span
        inner join trading.known_sessions as s
            on s.calendar = of_calendar and s.session_date between span.first - 7 and span.last + 1
        cross join lateral (
            values (s.opens_at, coalesce(s.break_starts_at, s.closes_at)), (s.break_ends_at, s.closes_at)
        ) as t (opens_at, closes_at)
        where length is not null and t.opens_at is not null
        window in_time as (order by t.opens_at)
    ),

    -- The last stretch that opens before a bar ends: both in one order, as a join by ranges has no index.
    in_order as (
        select o.bar_at, max(o.opens_at) over (order by o.at, o.bar_at is null rows unbounded preceding) as opens_at
        from (
            select i.timestamp + length as at, i.timestamp as bar_at, null::timestamptz as opens_at
            from inputs as i
            where length is not null
            union all
            select t.opens_at, null, t.opens_at from stretches as t
        ) as o
    ),

    placed as (
        select i.*, features.period_label(to_interval, (i.timestamp at time zone 'UTC')::date) as period_at
        from inputs as i
        where length is null
        union all
        select i.*, p.period_at
        from inputs as i
        inner join in_order as o on i.timestamp = o.bar_at
        inner join stretches as t on o.opens_at = t.opens_at
        cross join lateral (
            select
                case
                    when to_length is null then features.period_label(to_interval, t.session_date)
                    else date_bin(to_length, greatest(i.timestamp, t.opens_at), t.opens_at)
                end as period_at
        ) as p
        where i.timestamp < t.closes_at
            and case
                when i.timestamp < t.before_closes_at and (
                    to_length is not null or features.period_label(to_interval, t.before_date) <> p.period_at
                ) or least(i.timestamp + length, t.closes_at) > p.period_at + to_length
                    then features.refused(format(
                        'expected bars of %s that lie inside one of %s each, found the bar of %s at %s in two: its vendor cuts the day elsewhere; take shorter bars',
                        of_interval, to_interval, of_symbol, i.timestamp at time zone 'UTC'))
                else true
            end
    ),

    grouped as (
        select
            p.period_at, max(p.known_at) as known_at, count(*)::integer as bars,
            (array_agg(p.open order by p.timestamp))[1] as open, max(p.high) as high, min(p.low) as low,
            (array_agg(p.close order by p.timestamp desc))[1] as close, sum(p.volume) as volume,
            min(p.timestamp) as first_at, max(p.timestamp) as last_at, bool_or(p.is_raw) as is_raw
        from placed as p
        group by p.period_at
    )

    select
        g.period_at, w.starts_at, w.ends_at, w.ends_at + of_lag,
        case when w.ends_at + of_lag <= as_of then greatest(g.known_at, w.ends_at + of_lag) else g.known_at end,
        w.ends_at + of_lag <= as_of, g.bars, g.open, g.high, g.low, g.close, g.volume
    from grouped as g
    inner join span on true
    inner join features.periods(to_interval, of_calendar, span.first - 1, span.last + 1) as w on g.period_at = w.period_at
    where w.ends_at > from_at and case
        when method = 'none' and g.is_raw and exists (
            select from features.actions_of(of_interval, as_of, up_to) as a
            where a.source = of_source and a.symbol = of_symbol and a.kind = 'split' and a.ratio <> 1
                and a.from_at > g.first_at and a.from_at <= g.last_at
        )
            then features.refused(format(
                'expected no split of %s inside a period, found one in the %s of %s: prices before and after it do not compare; ask for forward, back or total_return',
                of_symbol, to_interval, (g.period_at at time zone 'UTC')::date))
        else true
    end
    order by 1;
end $$;

-- The same as in 0059, with what was known of actions by the rule above.
create or replace function features.resampled_since(
    of_source text, of_symbol text, of_interval text, to_interval text,
    since timestamptz, since_up_to bigint, as_of timestamptz, up_to bigint, method text default 'forward'
) returns table (
    "timestamp" timestamptz, starts_at timestamptz, ends_at timestamptz, nominal_at timestamptz, -- noqa: RF06
    known_at timestamptz, is_over boolean, bars integer,
    open numeric, high numeric, low numeric, close numeric, volume numeric
)
language plpgsql stable as $$
#variable_conflict use_column
declare
    from_at timestamptz;
begin
    perform features.check_resampling(of_interval, to_interval, method);
    select min(n.timestamp) into from_at
    from (
        select b.timestamp
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.known_at > since and b.known_at <= as_of and b.watermark <= up_to
        union all
        select b.timestamp
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.watermark > since_up_to and b.watermark <= up_to and b.known_at <= as_of
        union all
        (
            select b.timestamp
            from raw.price_bars as b
            where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
                and b.known_at <= since and b.watermark <= since_up_to
            order by b.timestamp desc
            limit 1
        )
    ) as n;
    -- Prices as delivered are changed by no action, but a split may lie inside a period of long ago: that is refused.
    if exists (
        select from raw.corporate_actions as a
        cross join lateral features.acts_known_at(
            of_interval, a.ex_date, a.known_at, a.nominal_at, features.acts_from(of_interval, a.ex_date, a.symbol)
        ) as k (known_at)
        where a.source = of_source and a.symbol = of_symbol and (method <> 'none' or a.kind = 'split') and (
            (k.known_at > since and k.known_at <= as_of and a.watermark <= up_to)
            or (a.watermark > since_up_to and a.watermark <= up_to and k.known_at <= as_of))
    ) then
        from_at := '-infinity';
    end if;
    return query
    select r.*
    from features.resampled_bars(of_source, of_symbol, of_interval, to_interval, as_of, up_to, method, from_at) as r
    where from_at is not null;
end $$;
