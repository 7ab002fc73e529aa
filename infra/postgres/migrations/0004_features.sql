-- Derived data that is versioned: indicators, daily features, and the definitions that made them.
--
-- A definition is the compiled SQL of a view, the functions it calls and its parameters, named by their sha256. Rows of
-- one definition are never touched by another. SQL functions that a definition calls end in _v1, _v2, ...: what such a
-- name means never changes, a new meaning is a new name.

create table features.definitions (
    definition text primary key check (definition ~ '^[0-9a-f]{64}$'),
    view text not null check (view in ('marts.indicators', 'features.daily')),
    sql text not null,
    functions jsonb not null,
    columns text[] not null check (cardinality(columns) > 0),
    parameters jsonb not null,
    watermark bigint not null references raw.watermarks,
    recorded_at timestamptz not null default clock_timestamp()
);
comment on column features.definitions.columns is 'The feature columns, all double precision, in the order of the row hash.';
comment on column features.definitions.functions is 'Each function the SQL reaches, with the sha256 of its source.';

create table features.definition_events (
    event_id bigint generated always as identity primary key,
    definition text not null references features.definitions,
    status text not null check (status in ('active', 'retired')),
    watermark bigint not null references raw.watermarks,
    recorded_at timestamptz not null default clock_timestamp()
);
create index on features.definition_events (definition, event_id desc);

create table features.advances (
    advance_id bigint generated always as identity primary key,
    definition text not null references features.definitions,
    source_watermark bigint not null references raw.watermarks,
    watermark bigint not null references raw.watermarks,
    row_count bigint not null check (row_count >= 0),
    recorded_at timestamptz not null default clock_timestamp()
);
create index on features.advances (definition, watermark desc);
comment on column features.advances.source_watermark is 'The newest publication that is reflected in the rows up to this watermark.';

-- No foreign keys per row: features.advance is the only writer, and a million rows would pay for a million look-ups.
create table marts.indicators (
    row_id bigint generated always as identity primary key,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null,
    source_watermark bigint not null,
    definition text not null,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    nominal_at timestamptz not null,
    bar_id bigint not null,
    bar_hash bytea not null,
    state double precision [] not null,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision,
    sma_20 double precision,
    sma_50 double precision,
    ema_12 double precision,
    ema_26 double precision,
    rsi_14 double precision,
    macd double precision,
    macd_signal double precision,
    macd_histogram double precision,
    bollinger_upper_20 double precision,
    bollinger_middle_20 double precision,
    bollinger_lower_20 double precision,
    atr_14 double precision,
    obv double precision,
    return_1d double precision,
    return_5d double precision,
    return_20d double precision,
    volatility_20d double precision
);
create index indicators_as_of on marts.indicators (
    definition, source, symbol, interval, timestamp desc, known_at desc, watermark desc, row_id desc
);
create index indicators_watermark on marts.indicators (watermark);
comment on table marts.indicators is 'One row per bar, state of knowledge and definition, on the forward-adjusted series.';
comment on column marts.indicators.state is 'Where the recursive indicators stand after this bar: the next bar is one step from here.';
comment on column marts.indicators.volatility_20d is 'Sample standard deviation of the last 20 one-day simple returns; daily, not annualised.';

create table features.daily (
    row_id bigint generated always as identity primary key,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null,
    source_watermark bigint not null,
    definition text not null,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    decision_at timestamptz not null,
    indicator_row_id bigint not null,
    indicator_row_hash bytea not null,
    sentiment_items integer not null check (sentiment_items >= 0),
    close double precision,
    rsi_14 double precision,
    macd double precision,
    volume double precision,
    open double precision,
    high double precision,
    low double precision,
    sma_20 double precision,
    sma_50 double precision,
    ema_12 double precision,
    ema_26 double precision,
    macd_signal double precision,
    macd_histogram double precision,
    bollinger_upper_20 double precision,
    bollinger_middle_20 double precision,
    bollinger_lower_20 double precision,
    atr_14 double precision,
    obv double precision,
    return_1d double precision,
    return_5d double precision,
    return_20d double precision,
    volatility_20d double precision,
    sentiment double precision
);
create index daily_as_of on features.daily (
    definition, source, symbol, interval, timestamp desc, known_at desc, watermark desc, row_id desc
);
create index daily_watermark on features.daily (watermark);
comment on column features.daily.decision_at is 'The bar''s nominal time: only news known by then counts.';

-- The rows to compute now. Tables only in shape: a definition's SQL selects from these names, and features.advance puts
-- the rows in their place as a common table expression; dbt needs them to compile and to test.
create table features.pending_bars (
    source text,
    symbol text,
    interval text,
    timestamp timestamptz,
    known_at timestamptz,
    nominal_at timestamptz,
    bar_id bigint,
    bar_hash bytea,
    open numeric(15, 6),
    high numeric(15, 6),
    low numeric(15, 6),
    close numeric(15, 6),
    volume numeric(20, 8),
    factor numeric,
    seed double precision [],
    is_context boolean,
    constraint only_a_shape check (false)
);
comment on column features.pending_bars.factor is 'New shares for one old share, all splits up to this session together; 1 for a series that came adjusted.';
comment on column features.pending_bars.seed is 'The state of the row before the first one to compute; null where the series begins.';
comment on column features.pending_bars.is_context is 'An earlier bar that windows look back on; no row is made of it.';

create table features.pending_indicators (
    like marts.indicators,
    decision_at timestamptz,
    up_to bigint,
    constraint only_a_shape check (false)
);
-- dbt's unit tests know no arrays, and no daily feature reads the state.
alter table features.pending_indicators drop column state;
comment on column features.pending_indicators.up_to is 'The watermark by which news is read.';

create index on raw.price_bars (source, symbol, interval, known_at);

do $$
declare
    name text;
begin
    foreach name in array array['features.definitions', 'features.definition_events', 'features.advances', 'marts.indicators', 'features.daily'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- The identity of derived rows; the Python twin is feature_store/rows.py. Every piece has a fixed width, tells its own
-- length, or is the first: times go as microseconds since 2000, numbers as one array in the order of the definition's
-- columns. It is written for speed (a million rows are hashed in one go), which raw.canon per column is not.
create function features.indicator_hash(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, is_known_at timestamptz,
    was_nominal_at timestamptz, of_bar bytea, numbers double precision [], of_state double precision []
) returns bytea
language sql stable parallel safe
return sha256(
    raw.canon(of_definition || E'\x1f' || of_source || E'\x1f' || of_symbol || E'\x1f' || of_interval)
    || timestamptz_send(at_time) || timestamptz_send(is_known_at) || timestamptz_send(was_nominal_at) || of_bar
    || array_send(numbers) || array_send(of_state)
);

create function features.daily_hash(
    of_definition text, of_source text, of_symbol text, of_interval text, at_time timestamptz, is_known_at timestamptz,
    decided_at timestamptz, of_indicator_row bytea, of_items integer, numbers double precision []
) returns bytea
language sql stable parallel safe
return sha256(
    raw.canon(of_definition || E'\x1f' || of_source || E'\x1f' || of_symbol || E'\x1f' || of_interval)
    || timestamptz_send(at_time) || timestamptz_send(is_known_at) || timestamptz_send(decided_at) || of_indicator_row
    || int4send(of_items) || array_send(numbers)
);

-- A definition with its standing: the status of its last event, and which event that was.
create view features.definition_status as
select d.definition, d.view, d.columns, d.parameters, e.status, e.event_id, d.watermark
from features.definitions as d
cross join lateral (
    select e.status, e.event_id
    from features.definition_events as e
    where e.definition = d.definition
    order by e.event_id desc
    limit 1
) as e;

-- The definition of a view that new services take: the one activated last.
create function features.active(view text) returns text
language sql stable
begin atomic
    select s.definition
    from features.definition_status as s
    where s.view = active.view and s.status = 'active'
    order by s.event_id desc
    limit 1;
end;
