-- All kinds of corporate actions, and the series adjusted by them.

alter table raw.corporate_actions
add column amount numeric(20, 10),
add column currency text,
add column new_symbol text;

comment on column raw.corporate_actions.amount is 'Cash for one share held at the close before (a dividend, a delisting), or the value of what one share gets (a spin-off); 0 withdraws a dividend or a spin-off, null is not known.';
comment on column raw.corporate_actions.currency is 'Of the amount; null is the instrument''s own.';
comment on column raw.corporate_actions.new_symbol is 'What the symbol becomes, or the symbol spun off; the symbol itself withdraws a symbol change or a delisting.';
comment on column raw.corporate_actions.ratio is 'New shares for one old share: 2 for a 2:1 split, 1 withdraws it; shares of the new company for one share in a spin-off; 1 for every other kind.';
comment on column raw.corporate_actions.ex_date is 'The first day on which it is in force: of a delisting or a symbol change the first day without the old symbol.';

alter table raw.corporate_actions drop constraint corporate_actions_kind_check;
alter table raw.corporate_actions add constraint corporate_actions_kind_check
check (kind in ('split', 'dividend', 'symbol_change', 'delisting', 'spin_off'));
alter table raw.corporate_actions add constraint corporate_actions_columns_of_kind check (
    case kind
        when 'split' then amount is null and currency is null and new_symbol is null
        when 'dividend' then ratio = 1 and amount >= 0 and amount is not null and new_symbol is null
        when 'symbol_change' then ratio = 1 and amount is null and currency is null and new_symbol is not null
        when 'delisting' then ratio = 1 and coalesce(amount, 0) >= 0 and coalesce(new_symbol, symbol) = symbol
        else coalesce(amount, 0) >= 0 and coalesce(new_symbol, '') <> symbol
    end
);
alter table raw.corporate_actions add constraint corporate_actions_currency_of_amount
check (currency is null or (amount is not null and currency ~ '^[A-Z]{3}$'));

-- A split's identity keeps its bytes; every other kind covers its columns too. The Python twin is trading/ingestion/rows.py.
create or replace function raw.action_hash(a raw.corporate_actions) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(a.source) || raw.canon(a.symbol) || raw.canon(a.kind) || raw.canon(a.ex_date)
    || raw.canon(a.ratio, 10)
    || case
        when a.kind = 'split' then '\x'::bytea
        else raw.canon(a.amount, 10) || raw.canon(a.currency) || raw.canon(a.new_symbol)
    end
    || raw.canon(a.nominal_at) || raw.canon(a.known_at)
);

-- The same text once more, so that its row has the new columns.
create or replace function raw.actions_as_of(as_of timestamptz, up_to bigint)
returns setof raw.corporate_actions
language sql stable
begin atomic
    select distinct on (a.source, a.symbol, a.kind, a.ex_date) a.*
    from raw.corporate_actions as a
    where a.known_at <= actions_as_of.as_of and a.watermark <= actions_as_of.up_to
    order by a.source, a.symbol, a.kind, a.ex_date, a.known_at desc, a.watermark desc;
end;

-- Features read prices adjusted for splits only, so only splits are inputs of a derived row: a dividend that became known
-- later must not move a row's known_at.
create or replace function features.inputs_known_at(
    of_source text, of_symbol text, of_interval text, at_time timestamptz, as_of timestamptz, up_to bigint
) returns timestamptz
language sql stable
return (
    select max(k.known_at)
    from (
        select b.known_at
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.timestamp <= at_time and b.known_at <= as_of and b.watermark <= up_to
        union all
        select a.known_at
        from raw.corporate_actions as a
        where a.source = of_source and a.symbol = of_symbol and a.kind = 'split'
            and features.as_timestamp(a.ex_date) <= at_time
            and a.known_at <= as_of and a.watermark <= up_to
            and exists (
                select from raw.price_bars as b
                where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval and b.adjustment = 'raw')
    ) as k
);

create or replace function features.inputs_known_by_bar(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
) returns table (bar_at timestamptz, inputs_known_at timestamptz)
language sql stable
begin atomic
    with inputs as (
        select b.timestamp as at_time, b.known_at, b.adjustment = 'raw' as is_raw
        from raw.price_bars as b
        where b.source = inputs_known_by_bar.of_source and b.symbol = inputs_known_by_bar.of_symbol
            and b.interval = inputs_known_by_bar.of_interval
            and b.known_at <= inputs_known_by_bar.as_of and b.watermark <= inputs_known_by_bar.up_to
        union all
        select features.as_timestamp(a.ex_date), a.known_at, null
        from raw.corporate_actions as a
        where a.source = inputs_known_by_bar.of_source and a.symbol = inputs_known_by_bar.of_symbol and a.kind = 'split'
            and a.known_at <= inputs_known_by_bar.as_of and a.watermark <= inputs_known_by_bar.up_to
            and exists (
                select from raw.price_bars as b
                where b.source = a.source and b.symbol = a.symbol and b.interval = inputs_known_by_bar.of_interval
                    and b.adjustment = 'raw')
    )

    select i.at_time, max(max(i.known_at)) over (order by i.at_time)
    from inputs as i
    group by i.at_time;
end;

-- The splits, dividends and spin-offs of a raw series as known at (as_of, up_to): from when each is in force, by what it
-- multiplies the shares and the value, and since when that is known. Dividends and spin-offs multiply the value by
-- close / (close - amount), with the series' last close before them; before its first bar nobody could reinvest.
create function features.adjustment_steps(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint
) returns table (from_at timestamptz, is_split boolean, shares numeric, growth numeric, known_at timestamptz)
language sql stable
begin atomic
    select
        features.as_timestamp(a.ex_date),
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
            and b.timestamp < features.as_timestamp(a.ex_date)
            and b.known_at <= adjustment_steps.as_of and b.watermark <= adjustment_steps.up_to
        order by b.timestamp desc, b.known_at desc, b.watermark desc
        limit 1
    ) as before on true
    where a.source = adjustment_steps.of_source and a.symbol = adjustment_steps.of_symbol
        and a.kind in ('split', 'dividend', 'spin_off');
end;

-- Refuses to adjust where the answer would be a wrong number: see the messages.
create function features.check_adjustment(
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

-- A series as known at (as_of, up_to), adjusted. forward: by the splits up to each bar (what features read). back: the same
-- divided by one number, the factor of all splits known then, so that the newest prices are as traded. total_return: forward,
-- with dividends and spin-offs reinvested. `factor` multiplies prices; volume follows the shares only. known_at is that of
-- the latest input. Adjusted prices have 10 decimal places, volumes 8. A series that came adjusted has the factor 1.
create function features.adjusted_bars(
    of_source text, of_symbol text, of_interval text, as_of timestamptz, up_to bigint, method text default 'forward'
) returns table (
    "timestamp" timestamptz, known_at timestamptz, -- noqa: RF06
    open numeric, high numeric, low numeric, close numeric, volume numeric, factor numeric,
    adjusted_open numeric, adjusted_high numeric, adjusted_low numeric, adjusted_close numeric, adjusted_volume numeric
)
language plpgsql stable as $$
#variable_conflict use_column
begin
    perform features.check_adjustment(of_source, of_symbol, of_interval, as_of, up_to, method);
    return query
    with steps as (
        select s.*
        from features.adjustment_steps(of_source, of_symbol, of_interval, as_of, up_to) as s
        where s.is_split or method = 'total_return'
    ),

    moments as (
        select s.from_at, features.product(s.shares) as shares, features.product(s.growth) as growth, max(s.known_at) as known_at
        from steps as s
        group by s.from_at
    ),

    factors as (
        select
            m.from_at,
            coalesce(lead(m.from_at) over moment, 'infinity') as to_at,
            features.product(m.shares) over moment as shares,
            round(features.product(m.growth) over moment, 18) as growth,
            max(m.known_at) over moment as known_at
        from moments as m
        window moment as (order by m.from_at)
    ),

    whole as (
        select features.product(m.shares) as shares, max(m.known_at) as known_at
        from moments as m
        where method = 'back'
    ),

    bars as (
        select distinct on (b.timestamp) b.*
        from raw.price_bars as b
        where b.source = of_source and b.symbol = of_symbol and b.interval = of_interval
            and b.known_at <= as_of and b.watermark <= up_to
        order by b.timestamp asc, b.known_at desc, b.watermark desc
    ),

    placed as (
        select
            b.*,
            case when b.adjustment = 'raw' then coalesce(f.shares, 1) / coalesce(w.shares, 1) else 1 end as shares,
            case when b.adjustment = 'raw' then coalesce(f.growth, 1) else 1 end as growth,
            case when b.adjustment = 'raw' then greatest(b.known_at, f.known_at, w.known_at) else b.known_at end as inputs_known_at
        from bars as b
        cross join whole as w
        left join factors as f on b.timestamp >= f.from_at and b.timestamp < f.to_at
    )

    select
        p.timestamp, p.inputs_known_at, p.open, p.high, p.low, p.close, p.volume, p.shares * p.growth,
        round(p.open * p.shares * p.growth, 10), round(p.high * p.shares * p.growth, 10),
        round(p.low * p.shares * p.growth, 10), round(p.close * p.shares * p.growth, 10), round(p.volume / p.shares, 8)
    from placed as p
    order by p.timestamp;
end $$;
