-- Under which universe a training set was frozen, a backtest walked and a session opened, so that a correction of a
-- membership finds them. NULL: made before this was recorded, and so unknown; empty: under none (the symbols asked for, or the
-- built-in choice). Whether a symbol was in follows from trading.universe_members: asked about each row's date, as of the
-- row's known_at, up to the watermark.

alter table features.snapshots drop constraint snapshots_pkey;
alter table features.snapshots add column register_id bigint generated always as identity primary key;
alter table features.snapshots add column universe text;
alter table features.snapshots add column asked_symbols text [];
alter table features.snapshots add column interval text;
alter table features.snapshots add column adjustment text check (adjustment in ('raw', 'split', 'all'));
-- The same rows frozen under two universes are two training sets: a correction may part them.
alter table features.snapshots add constraint snapshots_once unique nulls not distinct (snapshot_id, sha256, universe);
comment on column features.snapshots.universe is 'Its name; empty: under none; NULL: frozen before this was recorded.';
comment on column features.snapshots.asked_symbols is 'The symbols that were asked for; empty: the choice was left to the scope. `symbols` are those that were read.';
comment on column features.snapshots.adjustment is 'What the scope said that the prices of its file are.';

alter table trading.backtests add column universe text;
alter table trading.backtests add column asked_symbols text [];
alter table trading.backtests add column interval text;
alter table trading.backtests add column adjustment text check (adjustment in ('raw', 'split', 'all'));
alter table trading.backtests add column definition text;
comment on column trading.backtests.universe is 'Its name; empty: under none; NULL: walked before this was recorded.';
comment on column trading.backtests.definition is 'Of the feature rows that were walked over: the days on which they were first known are those of the decisions.';

create table trading.session_universes (
    session_id text primary key references trading.sessions,
    universe text not null check (btrim(universe) <> ''),
    asked_symbols text [] not null,
    on_date date not null,
    as_of timestamptz not null,
    watermark bigint not null,
    recorded_at timestamptz not null default clock_timestamp()
);
comment on table trading.session_universes is 'Sessions that trade the members of a universe: on which date, as known when and up to which publication they were asked for.';
create trigger append_only before update or delete or truncate on trading.session_universes
for each statement execute function raw.refuse_change();

-- Memberships that superseded an earlier version, or came after bars of their symbol from their date on were published,
-- though the universe was stated before: those that a batch brought, those that later corrected a batch's, or a symbol's.
create function trading.membership_changes(
    of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz
)
returns table (
    why text, source text, universe text, symbol text, effective_date date, old_id bigint, new_id bigint,
    batch_id bigint, known_at timestamptz, watermark bigint, detail text
)
language sql stable
begin atomic
    with mine as (
        select m.*
        from raw.ingestion_batches as n
        join trading.universe_members as m on m.watermark = n.watermark and m.batch_id = n.batch_id
        where n.batch_id = of_batch and n.kind = 'universe'
    ),

    candidates as (
        select m.* from mine as m
        union all
        select later.*
        from mine as m
        join trading.universe_members as later
            on later.source = m.source and later.universe = m.universe and later.symbol = m.symbol
            and later.effective_date = m.effective_date and later.watermark > m.watermark
        union all
        select m.*
        from trading.universe_members as m
        where of_batch is null and m.symbol = of_symbol and (of_source is null or m.source = of_source)
            and features.as_timestamp(m.effective_date) between from_at and to_at
    )

    select
        case when p.member_id is null then 'late' else 'corrected' end,
        c.source, c.universe, c.symbol, c.effective_date, p.member_id as old_id, c.member_id as new_id, c.batch_id,
        c.known_at, c.watermark,
        format(
            '%s of %s%s', case when c.is_member then 'a member' else 'no member' end, c.universe,
            case when p.member_id is null then ' came late'
                when p.is_member = c.is_member then ' as before'
                else ', before it was ' || case when p.is_member then 'one' else 'none' end end
        )
    from candidates as c
    left join lateral (
        select m.*
        from trading.universe_members as m
        where m.source = c.source and m.universe = c.universe and m.symbol = c.symbol
            and m.effective_date = c.effective_date and m.watermark < c.watermark
            and (m.known_at, m.watermark) < (c.known_at, c.watermark)
        order by m.known_at desc, m.watermark desc
        limit 1
    ) as p on true
    where (of_batch is null or of_batch in (c.batch_id, p.batch_id))
        and (p.member_id is not null
            or (exists (select from trading.universe_members as u where u.universe = c.universe and u.watermark < c.watermark)
                and exists (
                    select
                    from raw.sources as s
                    join raw.price_bars as b on b.source = s.source and b.symbol = c.symbol
                    where b.timestamp >= features.as_timestamp(c.effective_date) and b.watermark < c.watermark)));
end;
