-- How far each fetch from a vendor has come: written with the page's own batch, so a crash loses no page and doubles none.

create table raw.fetches (
    fetch_id bigint generated always as identity primary key,
    source text not null references raw.sources,
    kind text not null,
    mode text not null check (mode in ('history', 'live')),
    ask jsonb not null,
    dagster_run_id text,
    trace_id text not null,
    began_at timestamptz not null
);
comment on table raw.fetches is 'One row per fetch that began. The same ask goes on with the newest one that has not ended, else begins anew.';
comment on column raw.fetches.ask is 'What was asked for: kind, symbols, interval, start, end, calendar, gap.';
create index on raw.fetches (source, kind, mode, fetch_id desc);

create table raw.fetched_pages (
    fetch_id bigint not null references raw.fetches,
    page integer not null check (page > 0),
    cursor text,
    batch_id bigint references raw.ingestion_batches,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (fetch_id, page),
    check ((cursor is null) = (batch_id is null))
);
comment on table raw.fetched_pages is 'One row per page that is published, and a last one, without cursor and batch, once the vendor has nothing more.';
comment on column raw.fetched_pages.cursor is 'From where the vendor goes on after this page, in the vendor''s own words.';
comment on column raw.fetched_pages.batch_id is 'The page''s batch; one of before where the same page was ingested already.';

do $$
declare
    name text;
begin
    foreach name in array array['raw.fetches', 'raw.fetched_pages'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;
