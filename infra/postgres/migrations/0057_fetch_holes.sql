-- What a vendor did not give of what it was asked for: told at the end of the fetch, also of one that was stopped.

create table raw.fetch_holes (
    fetch_id bigint not null references raw.fetches,
    what text not null,
    why text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (fetch_id, what)
);
comment on table raw.fetch_holes is 'One row per part of an ask that the vendor did not give while it gave others: they are there, this is not.';
comment on column raw.fetch_holes.what is 'What is missing, such as bars BTC/USD 1d 2010-01-01 to 2024-12-03.';
comment on column raw.fetch_holes.why is 'Why, and what can be done, in one line.';

create trigger append_only before update or delete or truncate on raw.fetch_holes
for each statement execute function raw.refuse_change();
