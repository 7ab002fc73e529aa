-- Chart bars: which charts are kept, their bars as versions, and where each stands.

create table marts.charts (
    chart_id bigint generated always as identity primary key,
    definition text not null check (definition ~ '^[0-9a-f]{64}$'),
    chart_style text not null
    check (chart_style in ('tick', 'volume', 'dollar', 'range', 'renko', 'heikin_ashi', 'time')),
    parameter text not null,
    fed text not null,
    source text not null references raw.sources,
    symbol text not null check (btrim(symbol) <> ''),
    is_active boolean not null,
    watermark bigint not null references raw.watermarks,
    unique (definition, source, symbol, watermark)
);
comment on table marts.charts is 'Charts that somebody declared or stopped: the newest row of (definition, source, symbol) holds. A stopped chart keeps its bars.';
comment on column marts.charts.definition is 'sha256 over style, parameter, fed and the number of the rules: trading/chart_bars/chart.py.';
comment on column marts.charts.fed is 'trades, or the interval of the finer bars that it is made from.';

create view marts.active_charts as
with newest as (
    select distinct on (c.definition, c.source, c.symbol) c.*
    from marts.charts as c
    order by c.definition, c.source, c.symbol, c.watermark desc
)

select n.definition, n.chart_style, n.parameter, n.fed, n.source, n.symbol
from newest as n
where n.is_active;

-- One row per version of a closed bar. A bar is (definition, source, symbol, timestamp, sequence). Where a late or corrected
-- print leaves no such bar, a version without numbers withdraws it.
create table marts.chart_bars (
    row_id bigint generated always as identity primary key,
    definition text not null,
    chart_style text not null,
    parameter text not null,
    source text not null,
    symbol text not null,
    timestamp timestamptz not null,
    sequence integer not null check (sequence >= 0),
    ended_at timestamptz,
    closed_at timestamptz,
    open numeric(15, 6) check (open >= 0),
    high numeric(15, 6),
    low numeric(15, 6),
    close numeric(15, 6) check (close > 0),
    volume numeric(28, 8) check (volume >= 0),
    trade_count bigint check (trade_count >= 0),
    last_at timestamptz,
    last_id text,
    is_withdrawn boolean not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check (high >= greatest(open, close) and low <= least(open, close) and low >= 0),
    check (num_nulls(ended_at, closed_at, open, high, low, close, volume, trade_count) = case when is_withdrawn then 8 else 0 end),
    check ((last_at is null) = (last_id is null) and (last_at is null or not is_withdrawn)),
    unique (definition, source, symbol, timestamp, sequence, known_at, watermark)
);
comment on column marts.chart_bars.timestamp is 'Its start: the moment of its first print; of a chart over time the label of its period.';
comment on column marts.chart_bars.sequence is 'Its number among the bars that start at that moment, from 0.';
comment on column marts.chart_bars.ended_at is 'The moment of its last print; of a chart over time the end of its period.';
comment on column marts.chart_bars.closed_at is 'The moment of the print that closed it: its last one, or over time the first of a later period.';
comment on column marts.chart_bars.trade_count is 'Prints in it: trades, or the finer bars that it is made from; 0 of a further Renko brick of one print.';
comment on column marts.chart_bars.last_id is 'With last_at the last print in it: a checkpoint, from which the next bar is computed. Null where the same print closed further bars.';
comment on column marts.chart_bars.known_at is 'That of the print that closed it, and not before that of any print before it.';
create index on marts.chart_bars (watermark);

do $$
declare
    name text;
begin
    foreach name in array array['marts.charts', 'marts.chart_bars'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- The same values in the same order as trading/adapters/chart_rows.py.
create function marts.chart_bar_hash(b marts.chart_bars) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(b.definition) || raw.canon(b.source) || raw.canon(b.symbol) || raw.canon(b.timestamp)
    || raw.canon(b.sequence::bigint) || raw.canon(b.ended_at) || raw.canon(b.closed_at)
    || raw.canon(b.open, 6) || raw.canon(b.high, 6) || raw.canon(b.low, 6) || raw.canon(b.close, 6)
    || raw.canon(b.volume, 8) || raw.canon(b.trade_count) || raw.canon(b.last_at) || raw.canon(b.last_id)
    || raw.canon(b.is_withdrawn) || raw.canon(b.known_at)
);

-- Where each chart stands. Of now only, and rebuildable: without it the chart is computed again and compared.
create table marts.chart_heads (
    definition text not null,
    source text not null,
    symbol text not null,
    source_watermark bigint not null,
    read_to timestamptz,
    read_id text not null,
    state jsonb not null,
    primary key (definition, source, symbol)
) with (fillfactor = 50);
comment on table marts.chart_heads is 'The state of each chart after all prints up to source_watermark. Rebuildable; nothing is answered from it.';
comment on column marts.chart_heads.read_to is 'With read_id the last print that was taken; null before any.';

-- The bars of a chart as known at (as_of, up_to), in no order of their own.
create function marts.chart_bars_as_of(
    definition text, source text, symbol text, as_of timestamptz default 'infinity', up_to bigint default 9223372036854775807
) returns setof marts.chart_bars
language sql stable
begin atomic
    select b.*
    from marts.chart_bars as b
    where b.definition = chart_bars_as_of.definition and b.source = chart_bars_as_of.source
        and b.symbol = chart_bars_as_of.symbol
        and b.known_at <= chart_bars_as_of.as_of and b.watermark <= chart_bars_as_of.up_to
        and not b.is_withdrawn
        and not exists (
            select from marts.chart_bars as later
            where later.definition = b.definition and later.source = b.source and later.symbol = b.symbol
                and later.timestamp = b.timestamp and later.sequence = b.sequence
                and (later.known_at, later.watermark) > (b.known_at, b.watermark)
                and later.known_at <= chart_bars_as_of.as_of and later.watermark <= chart_bars_as_of.up_to
        );
end;
