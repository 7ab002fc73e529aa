-- Who belonged to a universe, and since when that is known: versions, as everything that is delivered.

alter table raw.ingestion_batches drop constraint ingestion_batches_kind_check;
alter table raw.ingestion_batches add constraint ingestion_batches_kind_check
check (kind in ('prices', 'actions', 'news', 'universe'));

create table trading.universe_members (
    member_id bigint generated always as identity primary key,
    source text not null,
    universe text not null check (btrim(universe) <> ''),
    symbol text not null check (btrim(symbol) <> ''),
    effective_date date not null,
    is_member boolean not null,
    nominal_at timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    batch_id bigint not null references raw.ingestion_batches,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check (known_at >= nominal_at),
    unique (source, universe, symbol, effective_date, watermark)
);
comment on table trading.universe_members is 'Changes of membership: from effective_date on, until a later one, the symbol belongs to the universe or does not.';
comment on column trading.universe_members.nominal_at is '00:00 UTC of the effective date: vendors give no date of announcement.';
create index on trading.universe_members (universe, symbol, effective_date, known_at desc, watermark desc);
create index on trading.universe_members (watermark);

create trigger append_only before update or delete or truncate on trading.universe_members
for each statement execute function raw.refuse_change();

-- The same values in the same order as trading/ingestion/rows.py.
create function trading.universe_hash(m trading.universe_members) returns bytea
language sql immutable parallel safe
return sha256(
    raw.canon(m.source) || raw.canon(m.universe) || raw.canon(m.symbol) || raw.canon(m.effective_date)
    || raw.canon(m.is_member) || raw.canon(m.nominal_at) || raw.canon(m.known_at)
);

-- The members on a date, as known at (as_of, up_to), in name order: per symbol and effective date the newest version, of
-- those the last date up to on_date. Sources are not mixed: where several state one universe, the smallest precedence serves.
create function trading.universe_as_of(universe text, on_date date, as_of timestamptz, up_to bigint)
returns table (symbol text)
language sql stable
begin atomic
    with known as (
        select m.source, m.symbol, m.effective_date, m.is_member, m.known_at, m.watermark
        from trading.universe_members as m
        where m.universe = universe_as_of.universe
            and m.known_at <= universe_as_of.as_of and m.watermark <= universe_as_of.up_to
    ),

    serving as (
        select s.source
        from raw.sources as s
        where s.source in (select k.source from known as k)
        order by s.precedence
        limit 1
    ),

    newest as (
        select distinct on (k.symbol, k.effective_date) k.symbol, k.effective_date, k.is_member
        from known as k
        join serving as s on s.source = k.source
        order by k.symbol, k.effective_date, k.known_at desc, k.watermark desc
    ),

    standing as (
        select distinct on (n.symbol) n.symbol, n.is_member
        from newest as n
        where n.effective_date <= universe_as_of.on_date
        order by n.symbol, n.effective_date desc
    )

    select t.symbol from standing as t where t.is_member order by t.symbol collate "C";
end;
