-- Exchange sessions, the sources and what they declare, the first instruments, and the identity of raw rows.

create table trading.calendar_sessions (
    calendar text not null,
    session_date date not null,
    opens_at timestamptz not null,
    closes_at timestamptz not null,
    primary key (calendar, session_date),
    check (opens_at < closes_at)
);
comment on table trading.calendar_sessions is 'Filled from exchange_calendars when data first needs a range; only past sessions, and never changed after: nominal times were derived from them.';

create table raw.sources (
    source text primary key,
    precedence integer not null unique,
    lag interval not null check (lag >= interval '0'),
    adjustment text check (adjustment in ('raw', 'split', 'all'))
);
comment on column raw.sources.precedence is 'The smaller serves first where a caller names only the symbol.';
comment on column raw.sources.lag is 'From the close of a session (the end of an intraday bar) to when the source could first give it.';
comment on column raw.sources.adjustment is 'What the source always delivers; null where each batch states its own.';

insert into raw.sources (source, precedence, lag, adjustment) values
    ('files', 10, interval '15 minutes', null),
    ('sample', 100, interval '15 minutes', 'raw');

-- The identity of each kind of raw row: the same values in the same order as trading/ingestion/rows.py.
create function raw.bar_hash(b raw.price_bars) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(b.source) || raw.canon(b.symbol) || raw.canon(b.interval) || raw.canon(b.timestamp)
    || raw.canon(b.open, 6) || raw.canon(b.high, 6) || raw.canon(b.low, 6) || raw.canon(b.close, 6)
    || raw.canon(b.volume, 8) || raw.canon(b.adjustment) || raw.canon(b.nominal_at) || raw.canon(b.known_at)
);

create function raw.action_hash(a raw.corporate_actions) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(a.source) || raw.canon(a.symbol) || raw.canon(a.kind) || raw.canon(a.ex_date)
    || raw.canon(a.ratio, 10) || raw.canon(a.nominal_at) || raw.canon(a.known_at)
);

create function raw.news_hash(n raw.news_items) returns bytea
language sql stable parallel safe
return sha256(
    raw.canon(n.source) || raw.canon(n.news_id) || raw.canon(n.headline) || raw.canon(n.body) || raw.canon(n.url)
    || raw.canon(array_to_string(n.symbols, '|')) || raw.canon(n.published_at) || raw.canon(n.is_date_only)
    || raw.canon(n.nominal_at) || raw.canon(n.known_at)
);

create function trading.instrument_hash(i trading.instruments) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(i.symbol) || raw.canon(i.asset_class) || raw.canon(i.calendar) || raw.canon(i.currency)
    || raw.canon(i.tick_size, 6) || raw.canon(i.lot_size, 8) || raw.canon(i.multiplier, 8) || raw.canon(i.sector)
    || raw.canon(i.listed_on) || raw.canon(i.delisted_on) || raw.canon(i.is_draft) || raw.canon(i.known_at)
);

-- The sample's instruments. All five follow the NYSE's sessions (Nasdaq keeps the same). A listing date that we are not
-- sure of is left out; what had no date is known from 1970 on. Sectors are those of the sample's years.
with seed (symbol, sector, listed_on) as (
    values
        ('AAPL', 'Information Technology', date '1980-12-12'),
        ('FB', 'Information Technology', date '2012-05-18'),
        ('GOOG', 'Information Technology', date '2004-08-19'),
        ('IBM', 'Information Technology', null),
        ('MSFT', 'Information Technology', date '1986-03-13')
),

stated as (
    select
        *,
        coalesce(listed_on, date '1970-01-01')::timestamp at time zone 'UTC' as known_at,
        raw.take_watermark('seed instruments') as watermark
    from seed
)

insert into trading.instruments (
    symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, sector, listed_on, is_draft, known_at, watermark, row_hash
)
select
    symbol, 'equity', 'XNYS', 'USD', 0.01, 1, 1, sector, listed_on, false, known_at, watermark,
    sha256(
        raw.canon(symbol) || raw.canon('equity'::text) || raw.canon('XNYS'::text) || raw.canon('USD'::text)
        || raw.canon(0.01, 6) || raw.canon(1::numeric, 8) || raw.canon(1::numeric, 8) || raw.canon(sector)
        || raw.canon(listed_on) || raw.canon(null::date) || raw.canon(false) || raw.canon(known_at)
    )
from stated;

do $$
declare
    name text;
begin
    foreach name in array array['trading.calendar_sessions', 'raw.sources'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;
