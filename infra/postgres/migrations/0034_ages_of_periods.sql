-- Weeks and months where sessions were counted by days: their age, and splits inside them.

-- The same as before for 1d and intraday rows. A week's or a month's own sessions are all of it: it is 0 sessions old until
-- one of the next period has closed.
create or replace function features.age_at(
    of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns table (calendar text, age_sessions integer, recorded_to date)
language sql stable
begin atomic
    select
        i.calendar,
        (
            select count(*)::integer
            from trading.calendar_sessions as c
            where c.calendar = i.calendar
                and c.session_date > case
                    when age_at.of_interval in ('1w', '1mo') then features.label_end(age_at.of_interval, age_at.at_time) - 1
                    when age_at.of_interval = '1d' then (age_at.at_time at time zone 'UTC')::date
                    else (age_at.at_time at time zone 'UTC')::date - 2
                end
                and case when age_at.of_interval in ('1d', '1w', '1mo') then true else c.opens_at > age_at.at_time end
                and c.closes_at <= age_at.as_of
                and c.session_date <= (age_at.as_of at time zone 'UTC')::date + 1
        ),
        (select max(c.session_date) from trading.calendar_sessions as c where c.calendar = i.calendar)
    from (
        select n.calendar
        from trading.instruments as n
        where n.symbol = age_at.of_symbol and n.watermark <= age_at.up_to
        order by n.watermark desc
        limit 1
    ) as i;
end;

-- A raw bar of a week or a month with a split in its midst holds prices of two kinds of shares: no factor makes it right.
create function features.check_splits_inside(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
) returns void
language plpgsql stable as $$
declare
    found record;
begin
    if of_interval not in ('1w', '1mo') then
        return;
    end if;
    select b.timestamp, a.ex_date into found
    from raw.actions_as_of(as_of, up_to) as a
    join raw.price_bars as b
        on b.source = a.source and b.symbol = a.symbol and b.interval = of_interval and b.adjustment = 'raw'
        and b.timestamp = features.period_label(of_interval, a.ex_date) and b.known_at <= as_of and b.watermark <= up_to
    where a.source = of_source and a.symbol = of_symbol and a.kind = 'split' and a.ratio <> 1
        and exists (
            select from trading.instruments_as_of(as_of, up_to) as i
            join trading.known_sessions as s on s.calendar = i.calendar
            where i.symbol = of_symbol and s.session_date >= (b.timestamp at time zone 'UTC')::date and s.session_date < a.ex_date)
    limit 1;
    if found is not null then
        raise exception 'expected no split inside a bar, found that of % on % in the % bar of %: it holds prices before and after it; take days and resample them, or bars adjusted for splits',
            of_symbol, found.ex_date, of_interval, (found.timestamp at time zone 'UTC')::date
            using errcode = 'invalid_parameter_value';
    end if;
end $$;

-- The timestamp of the first bar that a corporate action is in force in.
create function features.acts_from(of_interval text, ex_date date) returns timestamptz
language sql immutable parallel safe
return case
    when of_interval in ('1w', '1mo') then features.period_label(of_interval, ex_date)
    else features.as_timestamp(ex_date)
end;

-- The same as before for days and shorter bars; a week or a month has the actions of its days in it.
create or replace function features.adjustment_steps(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
) returns table (from_at timestamptz, is_split boolean, shares numeric, growth numeric, known_at timestamptz)
language sql stable
begin atomic
    select
        features.acts_from(adjustment_steps.of_interval, a.ex_date),
        a.kind = 'split',
        case when a.kind = 'split' then a.ratio else 1 end,
        case
            when a.kind = 'split' or before.close is null or coalesce(a.amount, 0) = 0 then 1
            when a.amount < before.close then round(before.close / (before.close - a.amount), 18)
        end,
        case when a.kind = 'split' then a.known_at else greatest(a.known_at, before.known_at) end
    from raw.actions_as_of(adjustment_steps.as_of, adjustment_steps.up_to) as a
    left join lateral (
        select b.close, b.known_at
        from raw.price_bars as b
        where b.source = a.source and b.symbol = a.symbol and b.interval = adjustment_steps.of_interval
            and b.timestamp < features.acts_from(adjustment_steps.of_interval, a.ex_date)
            and b.known_at <= adjustment_steps.as_of and b.watermark <= adjustment_steps.up_to
        order by b.timestamp desc, b.known_at desc, b.watermark desc
        limit 1
    ) as before on true
    where a.source = adjustment_steps.of_source and a.symbol = adjustment_steps.of_symbol
        and a.kind in ('split', 'dividend', 'spin_off');
end;

-- The same as before, and the check above.
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
    select s.from_at::date::text into found
    from features.adjustment_steps(of_source, of_symbol, of_interval, as_of, up_to) as s
    where s.growth is null
    limit 1;
    if found is not null then
        raise exception 'expected every dividend and spin-off of % below the close before it, found a larger one on %; deliver it with the right amount', of_symbol, found
            using errcode = 'invalid_parameter_value';
    end if;
end $$;
