-- What the leak gate decided about a definition and the training set made of it: the learner asks here before it learns.

create table features.leak_verdicts (
    verdict_id bigint generated always as identity primary key,
    definition text not null references features.definitions,
    snapshot_id text not null check (snapshot_id ~ '^[0-9a-f]{64}$'),
    terms text not null check (terms ~ '^[0-9a-f]{64}$'),
    passed boolean not null,
    reports jsonb not null,
    recorded_at timestamptz not null default clock_timestamp()
);
create index on features.leak_verdicts (definition, snapshot_id, verdict_id desc);
comment on table features.leak_verdicts is 'One row per judgement, append-only; the newest of a definition, snapshot and terms counts.';
comment on column features.leak_verdicts.terms is 'sha256 over the gate''s version and the source of every declared Python definition: another gate judges anew.';

create trigger append_only before update or delete or truncate on features.leak_verdicts
for each statement execute function raw.refuse_change();
