-- What was delivered: batches, bars, corporate actions, news, and what was refused.

create table raw.ingestion_batches (
    batch_id bigint generated always as identity primary key,
    kind text not null check (kind in ('prices', 'actions', 'news')),
    source text not null,
    mode text not null check (mode in ('history', 'live')),
    partition_key text,
    range_from timestamptz,
    range_to timestamptz,
    received_at timestamptz not null,
    delivered_at timestamptz,
    payload_key text not null,
    payload_sha256 text not null check (payload_sha256 ~ '^[0-9a-f]{64}$'),
    payload_name text not null,
    reader jsonb not null default '{}'::jsonb,
    rows_in integer not null check (rows_in >= 0),
    rows_published integer not null check (rows_published >= 0),
    rows_unchanged integer not null check (rows_unchanged >= 0),
    rows_merged integer not null check (rows_merged >= 0),
    rows_quarantined integer not null check (rows_quarantined >= 0),
    status text not null check (status in ('published', 'refused')),
    watermark bigint not null references raw.watermarks,
    report jsonb not null default '{}'::jsonb,
    dagster_run_id text,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    check (rows_in = rows_published + rows_unchanged + rows_merged + rows_quarantined or status = 'refused')
);
comment on column raw.ingestion_batches.reader is 'How the payload is read: {"request": what was asked, part of the batch''s identity; "context": calendar of each symbol}. With the payload it gives the batch''s rows again.';
comment on column raw.ingestion_batches.rows_unchanged is 'Rows that say what was already known.';
comment on column raw.ingestion_batches.rows_merged is 'Rows folded into another of the same batch: equal duplicates, and rows of one news item that name other symbols.';
create index on raw.ingestion_batches (source, kind, payload_sha256);

create table raw.price_bars (
    bar_id bigint generated always as identity primary key,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    open numeric(15, 6) not null check (open > 0),
    high numeric(15, 6) not null,
    low numeric(15, 6) not null check (low > 0),
    close numeric(15, 6) not null check (close > 0),
    volume numeric(20, 8) not null check (volume >= 0),
    adjustment text not null check (adjustment in ('raw', 'split', 'all')),
    nominal_at timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    batch_id bigint not null references raw.ingestion_batches,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check (high >= greatest(open, close) and low <= least(open, close)),
    check (open < 'Infinity' and high < 'Infinity' and volume < 'Infinity'),
    check (known_at >= nominal_at),
    unique (source, symbol, interval, timestamp, watermark)
);
comment on column raw.price_bars.nominal_at is 'When this bar could first be known at all: its session close plus the source''s lag. A function of the key alone.';
create index on raw.price_bars (source, symbol, interval, timestamp, known_at desc, watermark desc);
create index on raw.price_bars (watermark);

create table raw.corporate_actions (
    action_id bigint generated always as identity primary key,
    source text not null,
    symbol text not null,
    kind text not null check (kind in ('split')),
    ex_date date not null,
    ratio numeric(20, 10) not null check (ratio > 0),
    nominal_at timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    batch_id bigint not null references raw.ingestion_batches,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    unique (source, symbol, kind, ex_date, watermark)
);
comment on column raw.corporate_actions.ratio is 'New shares for one old share: 2 for a 2:1 split; 1 withdraws the split.';

create table raw.news_items (
    item_id bigint generated always as identity primary key,
    source text not null,
    news_id text not null,
    headline text not null check (btrim(headline) <> ''),
    body text not null default '',
    url text not null default '',
    symbols text[] not null check (cardinality(symbols) > 0),
    published_at timestamptz not null,
    is_date_only boolean not null,
    nominal_at timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    batch_id bigint not null references raw.ingestion_batches,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check (known_at >= nominal_at),
    unique (source, news_id, watermark)
);
create index on raw.news_items using gin (symbols);
create index on raw.news_items (known_at);
create index on raw.news_items (watermark);

create table raw.quarantined_rows (
    quarantine_id bigint generated always as identity primary key,
    batch_id bigint not null references raw.ingestion_batches,
    row_number integer not null check (row_number > 0),
    rule text not null,
    detail text not null,
    content jsonb not null,
    unique (batch_id, row_number, rule)
);

create table raw.session_quality (
    source text not null,
    interval text not null,
    session_date date not null,
    expected_symbols text[] not null,
    missing_symbols text[] not null,
    is_complete boolean not null,
    watermark bigint not null references raw.watermarks,
    primary key (source, interval, session_date, watermark)
);

create table trading.instruments (
    instrument_id bigint generated always as identity primary key,
    symbol text not null,
    asset_class text not null check (asset_class in ('equity', 'etf', 'crypto', 'future', 'fx')),
    calendar text not null,
    currency text not null,
    tick_size numeric(15, 6) not null check (tick_size > 0),
    lot_size numeric(20, 8) not null check (lot_size > 0),
    multiplier numeric(20, 8) not null check (multiplier > 0),
    sector text,
    listed_on date,
    delisted_on date,
    is_draft boolean not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    unique (symbol, watermark)
);

do $$
declare
    name text;
begin
    foreach name in array array['raw.ingestion_batches', 'raw.price_bars', 'raw.corporate_actions', 'raw.news_items',
                                'raw.quarantined_rows', 'raw.session_quality', 'trading.instruments', 'raw.watermarks'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- As of (t, w), per key: the version with the greatest (known_at, watermark) among those with known_at <= t, watermark <= w.
create function raw.bars_as_of(as_of timestamptz, up_to bigint)
returns setof raw.price_bars
language sql stable
begin atomic
    select distinct on (b.source, b.symbol, b.interval, b.timestamp) b.*
    from raw.price_bars as b
    where b.known_at <= bars_as_of.as_of and b.watermark <= bars_as_of.up_to
    order by b.source, b.symbol, b.interval, b.timestamp, b.known_at desc, b.watermark desc;
end;

create function raw.actions_as_of(as_of timestamptz, up_to bigint)
returns setof raw.corporate_actions
language sql stable
begin atomic
    select distinct on (a.source, a.symbol, a.kind, a.ex_date) a.*
    from raw.corporate_actions as a
    where a.known_at <= actions_as_of.as_of and a.watermark <= actions_as_of.up_to
    order by a.source, a.symbol, a.kind, a.ex_date, a.known_at desc, a.watermark desc;
end;

create function raw.news_as_of(as_of timestamptz, up_to bigint)
returns setof raw.news_items
language sql stable
begin atomic
    select distinct on (n.source, n.news_id) n.*
    from raw.news_items as n
    where n.known_at <= news_as_of.as_of and n.watermark <= news_as_of.up_to
    order by n.source, n.news_id, n.known_at desc, n.watermark desc;
end;

create function trading.instruments_as_of(as_of timestamptz, up_to bigint)
returns setof trading.instruments
language sql stable
begin atomic
    select distinct on (i.symbol) i.*
    from trading.instruments as i
    where i.known_at <= instruments_as_of.as_of and i.watermark <= instruments_as_of.up_to
    order by i.symbol, i.known_at desc, i.watermark desc;
end;
