-- Age at read: how many sessions of a symbol's calendar have closed since a row's own, as of a question. It is a fact
-- about the question and the row together, so it is never stored with the row.

-- A daily row's own session is that of its date; an intraday row's, the one that it lies in. `recorded_to`: the sessions
-- after it are not recorded yet, so whoever asks later must reckon with them himself. A set-returning function, which
-- the planner puts into the question: a hundred rows are asked at once. No instrument: no row; no session recorded: null.
create function features.age_at(
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
                and c.session_date > (age_at.at_time at time zone 'UTC')::date
                    - case age_at.of_interval when '1d' then 0 else 2 end
                and case age_at.of_interval when '1d' then true else c.opens_at > age_at.at_time end
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
