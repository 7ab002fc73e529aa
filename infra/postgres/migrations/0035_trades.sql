-- Trades, every version of each: the prints that chart bars are made of.

alter table raw.ingestion_batches drop constraint ingestion_batches_kind_check;
alter table raw.ingestion_batches add constraint ingestion_batches_kind_check
check (kind in ('prices', 'actions', 'news', 'universe', 'trades'));

create table raw.trades (
    version_id bigint generated always as identity primary key,
    source text not null,
    symbol text not null check (btrim(symbol) <> ''),
    trade_id text not null check (btrim(trade_id) <> ''),
    timestamp timestamptz not null,
    price numeric(15, 6) not null check (price > 0),
    size numeric(20, 8) not null check (size >= 0),
    side text check (side in ('buy', 'sell')),
    nominal_at timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    batch_id bigint not null references raw.ingestion_batches,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check (price < 'Infinity' and size < 'Infinity'),
    check (known_at >= nominal_at),
    unique (source, symbol, trade_id, watermark)
);
comment on table raw.trades is 'One row per version of a trade. A correction is a new version of its trade_id; a size of 0 withdraws it.';
comment on column raw.trades.nominal_at is 'When this version could first be known at all: its timestamp plus the source''s lag.';
-- The trades of a symbol in their order, from either end.
create index on raw.trades (source, symbol, timestamp);
-- What became known after a moment: versions that came late reach back.
create index on raw.trades (source, symbol, known_at);
-- What was published of a symbol since a publication.
create index on raw.trades (source, symbol, watermark);

create trigger append_only before update or delete or truncate on raw.trades
for each statement execute function raw.refuse_change();

-- The same values in the same order as trading/ingestion/rows.py.
create function raw.trade_hash(t raw.trades) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(t.source) || raw.canon(t.symbol) || raw.canon(t.trade_id) || raw.canon(t.timestamp)
    || raw.canon(t.price, 6) || raw.canon(t.size, 8) || raw.canon(t.side) || raw.canon(t.nominal_at) || raw.canon(t.known_at)
);

-- The trades of a symbol after a moment, as known at (as_of, up_to), withdrawn ones left out, in no order of their own.
create function raw.trades_as_of(
    source text, symbol text, after timestamptz, as_of timestamptz, up_to bigint
) returns setof raw.trades
language sql stable
begin atomic
    select t.*
    from raw.trades as t
    where t.source = trades_as_of.source and t.symbol = trades_as_of.symbol
        and t.timestamp >= trades_as_of.after
        and t.known_at <= trades_as_of.as_of and t.watermark <= trades_as_of.up_to
        and t.size > 0
        and not exists (
            select from raw.trades as later
            where later.source = t.source and later.symbol = t.symbol and later.trade_id = t.trade_id
                and (later.known_at, later.watermark) > (t.known_at, t.watermark)
                and later.known_at <= trades_as_of.as_of and later.watermark <= trades_as_of.up_to
        );
end;

-- The newest trades of a symbol, newest first, as known at (as_of, up_to). Trades of one moment are in the order of their
-- ids: the shorter first, then by their bytes, so that whole numbers are in the order of numbers.
create function raw.last_trades(
    source text, symbol text, how_many integer, as_of timestamptz default 'infinity', up_to bigint default 9223372036854775807
) returns setof raw.trades
language sql stable
begin atomic
    select t.*
    from raw.trades_as_of(last_trades.source, last_trades.symbol, '-infinity', last_trades.as_of, last_trades.up_to) as t
    order by t.timestamp desc, length(t.trade_id) desc, t.trade_id collate "C" desc
    limit last_trades.how_many;
end;
