-- What the analyst's /sentiment answered outside sessions, so that parity covers it too.

create table trading.served_sentiments (
    served_id bigint generated always as identity primary key,
    symbol text not null,
    as_of timestamptz not null,
    watermark bigint not null,
    scorer text not null,
    scorer_version text not null,
    asked jsonb not null,
    score double precision not null check (score between -1 and 1),
    items jsonb not null,
    environment jsonb not null,
    trace_id text not null,
    served_at timestamptz not null,
    row_hash bytea not null check (octet_length(row_hash) = 32)
);
comment on table trading.served_sentiments is 'What the analyst''s /sentiment answered outside sessions; the answers to a session are in its decisions.';
comment on column trading.served_sentiments.asked is 'The whole request, its moment and scorer filled in: sent again, it asks the same.';
create trigger append_only before update or delete or truncate on trading.served_sentiments
    for each statement execute function raw.refuse_change();

alter table trading.parity_checks drop constraint parity_checks_kind_check;
alter table trading.parity_checks add constraint parity_checks_kind_check
    check (kind in ('decision', 'served', 'sentiment'));

-- The newest word on everything that was ever served, under one environment; no word where it was not asked yet.
create function trading.parity_of(of_environment text)
returns table (kind text, subject_id text, outcome text, cause text, detail text)
language sql stable
begin atomic
    with served as (
        select 'decision' as kind, d.decision_id as subject_id from trading.decisions as d
        union all
        select 'served', v.served_id::text from trading.served_vectors as v
        union all
        select 'sentiment', z.served_id::text from trading.served_sentiments as z
    ),

    newest as (
        select distinct on (c.kind, c.subject_id) c.*
        from trading.parity_checks as c
        inner join trading.parity_runs as r on c.parity_id = r.parity_id
        where r.environment = parity_of.of_environment
        order by c.kind, c.subject_id, c.parity_id desc
    )

    select s.kind, s.subject_id, n.outcome, n.cause, n.detail
    from served as s
    left join newest as n on s.kind = n.kind and s.subject_id = n.subject_id;
end;
