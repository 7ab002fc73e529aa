-- Which source is asked first, which one served, and where two of them do not agree.

create table trading.source_orders (
    order_id bigint generated always as identity primary key,
    kind text not null check (kind in ('prices', 'actions', 'news')),
    symbol text check (btrim(symbol) <> ''),
    sources text[] not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    unique nulls not distinct (kind, symbol, watermark)
);
comment on table trading.source_orders is 'Versions of the ordered fall-back lists: the first source that has a symbol serves it.';
comment on column trading.source_orders.symbol is 'Null: the list of every symbol without one of its own.';
comment on column trading.source_orders.sources is 'The first is asked first; empty: no list (any more), so that of every symbol holds.';

-- The same values in the same order as trading/adapters/source_orders.py.
create function trading.source_order_hash(o trading.source_orders) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(o.kind) || raw.canon(o.symbol) || raw.canon(array_to_string(o.sources, '|')) || raw.canon(o.known_at)
);

-- The list that holds for a symbol as known at (as_of, up_to): its own, else that of every symbol, else none (null).
create function trading.source_order_as_of(of_kind text, of_symbol text, as_of timestamptz, up_to bigint)
returns text[]
language sql stable
begin atomic
    select newest.sources
    from (
        select distinct on (o.symbol) o.symbol, o.sources
        from trading.source_orders as o
        where o.kind = of_kind and (o.symbol = of_symbol or o.symbol is null)
            and o.known_at <= source_order_as_of.as_of and o.watermark <= source_order_as_of.up_to
        order by o.symbol, o.known_at desc, o.watermark desc
    ) as newest
    where cardinality(newest.sources) > 0
    order by newest.symbol nulls last
    limit 1;
end;

create table raw.served (
    served_id bigint generated always as identity primary key,
    kind text not null,
    symbol text not null,
    interval text not null,
    range_from timestamptz not null,
    range_to timestamptz not null,
    source text references raw.sources,
    passed_over jsonb not null,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);
comment on table raw.served is 'One row per symbol that was fetched by its list: who served it, and who was passed over.';
comment on column raw.served.source is 'Null: none of the list had it.';
comment on column raw.served.passed_over is 'The sources before it, in order: [{"source": ..., "why": ...}].';
create index on raw.served (symbol, kind, served_id desc);

-- Bars of one instant that two sources price differently, as known at (as_of, up_to): by more than `tolerance` of the
-- smaller price. Only bars of the same adjustment are comparable. Volumes are not compared: venues count their own.
create function raw.source_disagreements_as_of(
    as_of timestamptz, up_to bigint, tolerance numeric, of_symbols text[] default null
)
returns table (
    symbol text,
    "interval" text, -- noqa: RF06
    "timestamp" timestamptz, -- noqa: RF06
    source text,
    other_source text,
    field text,
    price numeric,
    other_price numeric,
    difference numeric
)
language sql stable
begin atomic
    with known as (
        select distinct on (b.source, b.symbol, b.interval, b.timestamp)
            b.source, b.symbol, b.interval, b.timestamp, b.adjustment, b.open, b.high, b.low, b.close
        from raw.price_bars as b
        where b.known_at <= source_disagreements_as_of.as_of and b.watermark <= source_disagreements_as_of.up_to
            and (of_symbols is null or b.symbol = any(of_symbols))
        order by b.source, b.symbol, b.interval, b.timestamp, b.known_at desc, b.watermark desc
    ),

    pairs as (
        select k.*, other.source as other_source,
            other.open as other_open, other.high as other_high, other.low as other_low, other.close as other_close
        from known as k
        join known as other
            on other.symbol = k.symbol and other.interval = k.interval and other.timestamp = k.timestamp
            and other.adjustment = k.adjustment
        join raw.sources as s on s.source = k.source
        join raw.sources as t on t.source = other.source and s.precedence < t.precedence
    )

    select
        p.symbol, p.interval, p.timestamp, p.source, p.other_source, v.field, v.price, v.other_price,
        round(abs(v.price - v.other_price) / least(v.price, v.other_price), 6)
    from pairs as p
    cross join lateral (
        values
            ('open', p.open, p.other_open), ('high', p.high, p.other_high),
            ('low', p.low, p.other_low), ('close', p.close, p.other_close)
    ) as v (field, price, other_price)
    where abs(v.price - v.other_price) > tolerance * least(v.price, v.other_price)
    order by p.symbol, p.interval, p.timestamp, p.source, p.other_source, v.field;
end;

create view raw.source_disagreements as
select d.*
from raw.source_disagreements_as_of('infinity', raw.newest_watermark(), 0.001) as d;
comment on view raw.source_disagreements is 'As known now: bars that two sources price more than 0.1% apart.';

do $$
declare
    name text;
begin
    foreach name in array array['trading.source_orders', 'raw.served'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;
