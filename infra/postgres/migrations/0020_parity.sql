-- What was served, outside sessions too, and how much of it is computed again to the bit.

-- Answers of the oracle's /decide that no session keeps. A question's moment is written out: what was left out is filled
-- in as it was understood, so that the same can be asked again.
create table trading.served_vectors (
    served_id bigint generated always as identity primary key,
    symbol text not null,
    interval text not null,
    position smallint not null check (position in (-1, 0, 1)),
    as_of timestamptz not null,
    watermark bigint not null,
    source text,
    view text not null,
    definition text not null,
    feature_row_id bigint,
    feature_row_hash bytea check (octet_length(feature_row_hash) = 32),
    feature_timestamp timestamptz,
    vector double precision[],
    model_name text not null,
    model_version text not null,
    weights_sha256 text not null,
    action smallint check (action in (0, 1, 2)),
    confidence double precision check (confidence between 0 and 1),
    reason text,
    environment jsonb not null,
    trace_id text not null,
    served_at timestamptz not null,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check ((feature_row_id is null) = (feature_row_hash is null)),
    check (feature_row_id is not null or vector is null),
    check ((vector is null) = (action is null) and (action is null) = (confidence is null))
);
comment on table trading.served_vectors is 'What the oracle''s /decide answered outside sessions; the answers of a session are its decisions.';
comment on column trading.served_vectors.source is 'The source of the feature row; without a row the source asked for, null if none was.';
create index on trading.served_vectors (view, feature_row_id);

create table trading.parity_runs (
    parity_id bigint generated always as identity primary key,
    mode text not null check (mode in ('new', 'full')),
    environment text not null check (environment ~ '^[0-9a-f]{64}$'),
    environment_facts jsonb not null,
    checked integer not null check (checked >= 0),
    identical integer not null check (identical >= 0),
    elsewhere integer not null check (elsewhere >= 0),
    differing integer not null check (differing >= 0),
    served_in_all bigint not null,
    identical_in_all bigint not null,
    first_difference jsonb,
    causes jsonb not null,
    seconds double precision not null,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    check (checked = identical + elsewhere + differing),
    check ((first_difference is null) = (differing = 0))
);
comment on column trading.parity_runs.environment is 'sha256 of environment_facts: libraries, processor, PostgreSQL, migrations. What was found identical under one is not asked again under it, unless in mode full.';
comment on column trading.parity_runs.elsewhere is 'The same action, confidence within 1e-6, but served in another numeric environment: never called identical.';
comment on column trading.parity_runs.identical_in_all is 'Of all that was ever served, what was found identical under this environment when last asked.';

create table trading.parity_checks (
    parity_id bigint not null references trading.parity_runs,
    kind text not null check (kind in ('decision', 'served')),
    subject_id text not null,
    outcome text not null check (outcome in ('identical', 'elsewhere', 'differs')),
    cause text,
    detail text,
    primary key (kind, subject_id, parity_id),
    check ((cause is null) = (outcome <> 'differs') and (cause is null) = (detail is null))
);

do $$
declare
    name text;
begin
    foreach name in array array['served_vectors', 'parity_runs', 'parity_checks'] loop
        execute format('create trigger append_only before update or delete or truncate on trading.%I for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- The rows of `of_definition` that a compaction would take away: intermediate versions that were superseded before a
-- moment (in knowledge and in publication) and that nothing refers to, no served row among them.
create function features.compactable(of_definition text, superseded_before timestamptz)
returns table (
    view text, row_id bigint, source text, symbol text, bar_interval text, at_time timestamptz, known_at timestamptz,
    watermark bigint, row_hash bytea, superseded_at timestamptz, superseded_watermark bigint
)
language sql stable
begin atomic
    with settled as (
        select coalesce(max(w.watermark), 0) as watermark
        from raw.watermarks as w
        where w.recorded_at <= compactable.superseded_before
    )

    select
        v.view, v.row_id, v.source, v.symbol, v.bar_interval, v.at_time, v.known_at, v.watermark, v.row_hash,
        v.superseded_at, v.superseded_watermark
    from features.versions_of(compactable.of_definition) as v
    cross join settled as s
    where not v.was_first_print
        and v.superseded_at <= compactable.superseded_before
        and v.superseded_watermark <= s.watermark
        and not exists (
            select from trading.decisions as d
            where v.view = 'features.daily' and d.feature_row_id = v.row_id
        )
        and not exists (
            select from trading.served_vectors as d
            where v.view = d.view and d.feature_row_id = v.row_id
        )
        and not exists (
            select from features.daily as d
            where v.view = 'marts.indicators' and d.indicator_row_id = v.row_id
        );
end;

create function features.refuse_delete_of_served() returns trigger
language plpgsql as $$
declare
    served record;
begin
    select g.row_id, v.served_id into served
    from gone as g
    inner join trading.served_vectors as v
        on v.view = tg_table_schema || '.' || tg_table_name and v.feature_row_id = g.row_id
    limit 1;
    if found then
        raise exception 'row % of %.% was served (%); it stays', served.row_id, tg_table_schema, tg_table_name, served.served_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;
create trigger served_stays after delete on features.daily
    referencing old table as gone for each statement execute function features.refuse_delete_of_served();
