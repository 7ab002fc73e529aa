-- A live feed: who is told of what was published, the messages until they are in the object store, what befell it.

-- Whoever publishes, the listener is told by the very commit: of raw rows on tradeloom_publications, of derived rows on
-- tradeloom_features. A notification that is lost costs nothing but time: listeners also ask at a period of their own.
create function raw.tell_publication() returns trigger
language plpgsql as $$
begin
    perform pg_notify('tradeloom_publications', json_build_object(
        'watermark', new.watermark, 'source', new.source, 'kind', new.kind, 'newest', new.range_to)::text);
    return null;
end $$;

create trigger tell after insert on raw.ingestion_batches
for each row when (new.status = 'published' and new.rows_published > 0)
execute function raw.tell_publication();

create function features.tell_advance() returns trigger
language plpgsql as $$
begin
    -- The same words for every definition: PostgreSQL tells equal notifications of a transaction once.
    perform pg_notify('tradeloom_features', json_build_object('watermark', new.watermark)::text);
    return null;
end $$;

create trigger tell after insert on features.advances
for each row when (new.row_count > 0)
execute function features.tell_advance();

-- A feed writes many batches; what ingestion asks of all of them is found by these.
create index on raw.ingestion_batches (source, kind, received_at) where mode = 'live' and status = 'published';
create index on raw.ingestion_batches (source)
where kind = 'prices' and status = 'published' and reader -> 'context' ? 'parts';

-- Payloads that were committed with their batch and are on their way to the object store, under the key of their content.
create table raw.held_payloads (
    held_id bigint generated always as identity primary key,
    payload_sha256 text not null unique check (payload_sha256 ~ '^[0-9a-f]{64}$'),
    payload bytea not null
);
comment on table raw.held_payloads is 'Messages of a live feed, from the commit of their batch until the object store has them. Then the row goes.';

create table raw.feed_events (
    event_id bigint generated always as identity primary key,
    source text not null,
    event text not null check (event in ('connected', 'disconnected', 'stalled', 'backfilled', 'hole', 'refused', 'stopped')),
    detail jsonb not null default '{}'::jsonb,
    trace_id text not null,
    happened_at timestamptz not null
);
comment on table raw.feed_events is 'What befell a live feed: one row per event.';
create index on raw.feed_events (source, happened_at);

create trigger append_only before update or delete or truncate on raw.feed_events
for each statement execute function raw.refuse_change();
