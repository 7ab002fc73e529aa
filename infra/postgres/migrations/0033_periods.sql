-- Intervals from one minute to one month: the periods of a calendar, and bars of a longer interval out of shorter ones.
-- The Python twin of the periods is trading/intervals.py.

-- Breaks within a session, such as lunch in Tokyo. Beside the sessions: those are never changed.
create table trading.session_breaks (
    calendar text not null,
    session_date date not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    primary key (calendar, session_date),
    foreign key (calendar, session_date) references trading.calendar_sessions,
    check (starts_at < ends_at)
);
comment on table trading.session_breaks is 'The break of each recorded session that has one. Filled with the sessions, never changed after.';

create trigger append_only before update or delete or truncate on trading.session_breaks
for each statement execute function raw.refuse_change();

-- Calendars whose recorded sessions have their breaks recorded: sessions of earlier releases came without.
create table trading.calendars_with_breaks (
    calendar text primary key
);

-- Whether a week or a month is over depends on days to come. They may still be called off, so nothing is derived from
-- their times but that.
create table trading.planned_sessions (
    calendar text not null,
    session_date date not null,
    opens_at timestamptz not null,
    closes_at timestamptz not null,
    primary key (calendar, session_date),
    check (opens_at < closes_at)
);
comment on table trading.planned_sessions is 'The sessions after the last recorded one, to the end of the month after it. Of now only; made again whenever sessions are recorded.';

create view trading.known_sessions as
select c.calendar, c.session_date, c.opens_at, c.closes_at, b.starts_at as break_starts_at, b.ends_at as break_ends_at
from trading.calendar_sessions as c
left join trading.session_breaks as b on c.calendar = b.calendar and c.session_date = b.session_date
union all
select p.calendar, p.session_date, p.opens_at, p.closes_at, null, null
from trading.planned_sessions as p
where not exists (
    select from trading.calendar_sessions as c where c.calendar = p.calendar and c.session_date = p.session_date
);
comment on view trading.known_sessions is 'Recorded sessions with their breaks, then planned ones.';

-- The length of an intraday interval; null for 1d, 1w and 1mo.
create function features.interval_length(of_interval text) returns interval
language plpgsql immutable parallel safe as $$
declare
    minutes integer := case
        when of_interval ~ '^[1-9][0-9]{0,3}m$' then left(of_interval, -1)::integer
        when of_interval ~ '^[1-9][0-9]?h$' then left(of_interval, -1)::integer * 60
    end;
begin
    if of_interval in ('1d', '1w', '1mo') then
        return null;
    end if;
    if minutes is null or minutes >= 1440 then
        raise exception 'expected an interval in minutes or hours shorter than a day, 1d, 1w or 1mo, found %', of_interval
            using errcode = 'invalid_parameter_value';
    end if;
    return make_interval(mins => minutes);
end $$;

-- The timestamp of the daily, weekly or monthly bar that the session of a day belongs to.
create function features.period_label(of_interval text, session_date date) returns timestamptz
language sql immutable parallel safe
return case of_interval
    when '1d' then session_date::timestamp
    when '1w' then date_trunc('week', session_date::timestamp)
    when '1mo' then date_trunc('month', session_date::timestamp)
end at time zone 'UTC';

-- The day after the last one that a label of 1d, 1w or 1mo spans.
create function features.label_end(of_interval text, label timestamptz) returns date
language sql immutable parallel safe
return (
    label at time zone 'UTC'
    + case of_interval when '1d' then interval '1 day' when '1w' then interval '7 days' when '1mo' then interval '1 month' end
)::date;

-- The periods of a calendar that hold the sessions of first..last, in order. Intraday ones begin anew at the opening of
-- each session and after its break, and end with it. A week or month of which not all sessions are known yet ends with its
-- last day: then it is over whatever they will be.
create function features.periods(of_interval text, of_calendar text, first date, last date)
returns table (period_at timestamptz, starts_at timestamptz, ends_at timestamptz)
language plpgsql stable as $$
#variable_conflict use_column
declare
    length constant interval := features.interval_length(of_interval);
    newest date;
begin
    if length is not null then
        return query
        select g.begins_at, g.begins_at, least(g.begins_at + length, t.closes_at)
        from trading.known_sessions as s
        cross join lateral (
            values (s.opens_at, coalesce(s.break_starts_at, s.closes_at)), (s.break_ends_at, s.closes_at)
        ) as t (opens_at, closes_at)
        cross join lateral generate_series(t.opens_at, t.closes_at - interval '1 microsecond', length) as g (begins_at)
        where s.calendar = of_calendar and s.session_date between first and last
        order by 1;
        return;
    end if;
    select max(s.session_date) into newest from trading.known_sessions as s where s.calendar = of_calendar;
    return query
    select
        l.label,
        min(s.opens_at),
        case
            when of_interval <> '1d' and newest < features.label_end(of_interval, l.label)
                then greatest(max(s.closes_at), features.label_end(of_interval, l.label)::timestamp at time zone 'UTC')
            else max(s.closes_at)
        end
    from trading.known_sessions as s
    cross join lateral features.period_label(of_interval, s.session_date) as l (label)
    where s.calendar = of_calendar
        and s.session_date >= (features.period_label(of_interval, first) at time zone 'UTC')::date
        and s.session_date < features.label_end(of_interval, features.period_label(of_interval, last))
    group by l.label
    order by 1;
end $$;

-- The period that trades at a moment; no row where the exchange is closed (at a break too, if intraday).
create function features.period_at(of_interval text, of_calendar text, moment timestamptz)
returns table (period_at timestamptz, starts_at timestamptz, ends_at timestamptz)
language sql stable
begin atomic
    select p.period_at, p.starts_at, p.ends_at
    from (
        select s.session_date
        from trading.known_sessions as s
        where s.calendar = period_at.of_calendar
            and s.session_date between (period_at.moment at time zone 'UTC')::date - 1 and (period_at.moment at time zone 'UTC')::date + 1
            and s.opens_at <= period_at.moment and s.closes_at > period_at.moment
        order by s.session_date desc
        limit 1
    ) as t
    cross join lateral features.periods(period_at.of_interval, period_at.of_calendar, t.session_date, t.session_date) as p
    where features.interval_length(period_at.of_interval) is null
        or (p.starts_at <= period_at.moment and p.ends_at > period_at.moment);
end;

-- Its timestamp: the start of an intraday period, the label of 1d, 1w and 1mo; null where the exchange is closed.
create function features.period_start(of_interval text, of_calendar text, moment timestamptz) returns timestamptz
language sql stable
return (select p.period_at from features.period_at(of_interval, of_calendar, moment) as p);

-- Ends a query with one line, from inside of it.
create function features.refused(message text) returns boolean
language plpgsql volatile as $$
begin
    raise exception '%', message using errcode = 'invalid_parameter_value';
end $$;

create function features.check_resampling(of_interval text, to_interval text, method text) returns void
language plpgsql immutable as $$
declare
    given constant interval := features.interval_length(of_interval);
    wanted constant interval := features.interval_length(to_interval);
begin
    if method not in ('none', 'forward', 'back', 'total_return') then
        raise exception 'expected the adjustment none, forward, back or total_return, found %', method
            using errcode = 'invalid_parameter_value';
    end if;
    if of_interval in ('1w', '1mo') or (of_interval = '1d' and to_interval not in ('1w', '1mo'))
        or (wanted is not null and given >= wanted) then
        raise exception 'expected bars that lie inside those of %, found bars of %; take shorter ones (weeks are no parts of months)',
            to_interval, of_interval using errcode = 'invalid_parameter_value';
    end if;
end $$;

-- Bars of a longer interval out of a series of a shorter one, as known at (as_of, up_to): the first open, the highest high,
-- the lowest low, the last close, the sum of the volumes. method: forward, back and total_return as features.adjusted_bars;
-- none takes prices as delivered, and refuses a split inside a period. bars: how many went in. nominal_at: the close of the
-- period plus the source's lag; before it the period is not over, and its bar is marked. known_at: that of the latest
-- input, of a period that is over not before nominal_at. A bar outside every session goes nowhere; one that lies in two
-- periods refuses the whole. Only periods that end after from_at are made.
create function features.resampled_bars(
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
            select from raw.actions_as_of(as_of, up_to) as a
            where a.source = of_source and a.symbol = of_symbol and a.kind = 'split' and a.ratio <> 1
                and features.as_timestamp(a.ex_date) > g.first_at and features.as_timestamp(a.ex_date) <= g.last_at
        )
            then features.refused(format(
                'expected no split of %s inside a period, found one in the %s of %s: prices before and after it do not compare; ask for forward, back or total_return',
                of_symbol, to_interval, (g.period_at at time zone 'UTC')::date))
        else true
    end
    order by 1;
end $$;

-- What of features.resampled_bars may be another answer at (as_of, up_to) than at (since, since_up_to): from the first
-- period that changed on, at least from the newest one then. Put over the earlier answer it is the whole answer now.
create function features.resampled_since(
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
    if method <> 'none' and exists (
        select from raw.corporate_actions as a
        where a.source = of_source and a.symbol = of_symbol and (
            (a.known_at > since and a.known_at <= as_of and a.watermark <= up_to)
            or (a.watermark > since_up_to and a.watermark <= up_to and a.known_at <= as_of))
    ) then
        from_at := '-infinity';
    end if;
    return query
    select r.*
    from features.resampled_bars(of_source, of_symbol, of_interval, to_interval, as_of, up_to, method, from_at) as r
    where from_at is not null;
end $$;
