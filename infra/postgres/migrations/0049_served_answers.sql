-- What /predict and /score were asked and answered, so that parity covers them too. There may be very many, hence small
-- rows: which model answered, and in which numeric environment, is said once.

create table trading.served_models (
    served_model_id integer generated always as identity primary key,
    model_name text not null,
    model_version text not null,
    weights_sha256 text check (weights_sha256 ~ '^[0-9a-f]{64}$'),
    environment jsonb not null,
    recorded_at timestamptz not null default clock_timestamp(),
    row_hash bytea not null unique check (octet_length(row_hash) = 32)
);
comment on table trading.served_models is 'Each model version that answered /predict or /score, once per numeric environment. A version that is named here is held.';
comment on column trading.served_models.weights_sha256 is 'NULL: a language model, which has no weights here.';

create table trading.served_predictions (
    served_id bigint generated always as identity primary key,
    served_model_id integer not null references trading.served_models,
    state double precision [] not null check (cardinality(state) in (5, 6) and array_position(state, null) is null),
    action smallint not null check (action in (0, 1, 2)),
    confidence double precision not null check (confidence between 0 and 1),
    trace_id text not null,
    served_at timestamptz not null,
    row_hash bytea not null check (octet_length(row_hash) = 32)
);
comment on table trading.served_predictions is 'What the oracle''s /predict was asked and answered.';
comment on column trading.served_predictions.state is 'As it was sent: five numbers, or six with the sentiment.';

create table trading.served_scores (
    served_id bigint generated always as identity primary key,
    served_model_id integer not null references trading.served_models,
    scorer text not null,
    texts bytea [] not null,
    scores double precision [] not null,
    labels text [] not null,
    trace_id text not null,
    served_at timestamptz not null,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    check (cardinality(texts) between 1 and 1000),
    check (cardinality(scores) = cardinality(texts) and cardinality(labels) = cardinality(texts)),
    check (array_position(texts, null) is null and array_position(scores, null) is null and array_position(labels, null) is null)
);
comment on table trading.served_scores is 'What the analyst''s /score was asked and answered: one row per request.';
comment on column trading.served_scores.texts is 'UTF-8, each whole: a text may hold what the type text cannot. To read one: convert_from(texts[1], ''UTF8'').';

-- How the answers above came out. There are no rows for single ones: those that follow each other and came out alike are one.
create table trading.parity_spans (
    parity_id bigint not null references trading.parity_runs,
    kind text not null check (kind in ('prediction', 'score')),
    first_id bigint not null,
    last_id bigint not null,
    outcome text not null check (outcome in ('identical', 'elsewhere', 'differs')),
    answers bigint not null check (answers > 0),
    cause text,
    detail text,
    primary key (kind, first_id, parity_id),
    check (first_id <= last_id),
    check ((cause is null) = (outcome <> 'differs') and (cause is null) = (detail is null))
);
comment on table trading.parity_spans is 'Answers of /predict and /score from first_id to last_id (served_id) that came out alike in a run.';
comment on column trading.parity_spans.detail is 'Of the first of them.';
create index on trading.parity_spans (parity_id);

alter table trading.parity_runs add column kinds jsonb;
comment on column trading.parity_runs.kinds is 'What was asked in this run: outcome -> count for each kind. NULL: before this was recorded.';

do $$
declare
    name text;
begin
    foreach name in array array['served_models', 'served_predictions', 'served_scores', 'parity_spans'] loop
        execute format('create trigger append_only before update or delete or truncate on trading.%I for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- The answers of a kind that have no good word yet under an environment, as spans: those that differed in the newest
-- run, which asked again whatever had differed before, and all that came after the last one that was asked.
create function trading.outstanding_answers(of_environment text, of_kind text, newest_id bigint)
returns table (first_id bigint, last_id bigint)
language sql stable
begin atomic
    with runs as (
        select r.parity_id from trading.parity_runs as r where r.environment = outstanding_answers.of_environment
    ),

    spans as (
        select s.*
        from trading.parity_spans as s
        inner join runs as r on s.parity_id = r.parity_id
        where s.kind = outstanding_answers.of_kind
    )

    select s.first_id, s.last_id
    from spans as s
    where s.outcome = 'differs' and s.parity_id = (select max(r.parity_id) from runs as r)
    union all
    select coalesce(max(s.last_id), 0) + 1, outstanding_answers.newest_id
    from spans as s
    having coalesce(max(s.last_id), 0) < outstanding_answers.newest_id
    order by 1;
end;

-- How many answers of /predict and /score were found identical under an environment when last asked: since everything
-- was asked for, what was identical is not asked again, so each is counted once.
create function trading.identical_answers(of_environment text) returns bigint
language sql stable
begin atomic
    select coalesce(sum(s.answers), 0)::bigint
    from trading.parity_spans as s
    inner join trading.parity_runs as r on s.parity_id = r.parity_id
    where r.environment = identical_answers.of_environment
        and s.outcome = 'identical'
        and r.parity_id >= coalesce((
            select max(f.parity_id)
            from trading.parity_runs as f
            where f.environment = identical_answers.of_environment and f.mode = 'full'
        ), 0);
end;
