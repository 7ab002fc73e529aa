-- Answers that the services gave outside sessions may be taken away once they are old and parity has made them again.
-- What parity was not asked yet, what came out otherwise, and what was answered under the trace of a decision stays.

create table trading.answer_purges (
    purge_id bigint generated always as identity primary key,
    kind text not null check (kind in ('prediction', 'score', 'served', 'sentiment')),
    served_before timestamptz not null,
    answers bigint not null check (answers > 0),
    first_id bigint not null,
    last_id bigint not null,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    check (first_id <= last_id)
);
comment on table trading.answer_purges is 'What was taken away of the recorded answers, by tradeloom purge answers.';
create trigger append_only before update or delete or truncate on trading.answer_purges
for each statement execute function raw.refuse_change();

create index on trading.decisions (trace_id);

-- Whether an answer may go: 'checked' by parity, the newest word on it counts, in whatever environment. Or why not.
create function trading.answer_state(of_kind text, of_id bigint, of_trace text) returns text
language sql stable
begin atomic
    with words as (
        select s.parity_id, s.outcome
        from trading.parity_spans as s
        where s.kind = answer_state.of_kind and s.first_id <= answer_state.of_id and s.last_id >= answer_state.of_id
        union all
        select c.parity_id, c.outcome
        from trading.parity_checks as c
        where c.kind = answer_state.of_kind and c.subject_id = answer_state.of_id::text
    ),

    newest as (
        select w.outcome from words as w order by w.parity_id desc limit 1
    )

    select case
        when exists (select from trading.decisions as d where d.trace_id = answer_state.of_trace) then 'of_a_decision'
        when (select n.outcome from newest as n) = 'differs' then 'differs'
        when exists (select from newest) then 'checked'
        else 'unchecked'
    end;
end;

create function trading.answers_table(of_kind text) returns text
language sql immutable strict
return case of_kind
    when 'prediction' then 'served_predictions'
    when 'score' then 'served_scores'
    when 'served' then 'served_vectors'
    when 'sentiment' then 'served_sentiments'
end;

-- Takes the oldest answers of a kind that may go, at most so many; returns how many these were.
create function trading.purge_answers(of_kind text, served_before timestamptz, most bigint, of_trace text) returns bigint
language plpgsql as $$
declare
    done record;
begin
    perform set_config('tradeloom.purging', of_kind, true);
    execute format($sql$
        with going as (
            select a.served_id
            from trading.%1$I as a
            where a.served_at < $2 and trading.answer_state($1, a.served_id, a.trace_id) = 'checked'
            order by a.served_id
            limit $3
        ),

        gone as (
            delete from trading.%1$I as a using going as g where a.served_id = g.served_id returning a.served_id
        )

        select count(*) as answers, min(g.served_id) as first_id, max(g.served_id) as last_id from gone as g
    $sql$, trading.answers_table(of_kind)) into done using of_kind, served_before, most;
    perform set_config('tradeloom.purging', '', true);
    insert into trading.answer_purges (kind, served_before, answers, first_id, last_id, trace_id)
    select of_kind, served_before, done.answers, done.first_id, done.last_id, of_trace
    where done.answers > 0;
    return done.answers;
end $$;

create function trading.refuse_other_deletes() returns trigger
language plpgsql as $$
begin
    if current_setting('tradeloom.purging', true) is distinct from tg_argv[0] then
        raise exception '%.% is append-only: a delete is refused; `tradeloom purge answers` takes old ones that parity made again',
            tg_table_schema, tg_table_name
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create function trading.refuse_unchecked_deletes() returns trigger
language plpgsql as $$
declare
    kept record;
begin
    select s.served_id, s.state into kept
    from (select g.served_id, trading.answer_state(tg_argv[0], g.served_id, g.trace_id) as state from gone as g) as s
    where s.state <> 'checked'
    limit 1;
    if found then
        raise exception 'answer % of %.% is %; it stays', kept.served_id, tg_table_schema, tg_table_name, kept.state
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

do $$
declare
    kind text;
    name text;
begin
    foreach kind in array array['prediction', 'score', 'served', 'sentiment'] loop
        name := trading.answers_table(kind);
        execute format('drop trigger append_only on trading.%I', name);
        execute format('create trigger append_only before update or truncate on trading.%I for each statement execute function raw.refuse_change()', name);
        execute format('create trigger only_purged before delete on trading.%I for each statement execute function trading.refuse_other_deletes(%L)', name, kind);
        execute format('create trigger only_checked after delete on trading.%I referencing old table as gone for each statement execute function trading.refuse_unchecked_deletes(%L)', name, kind);
    end loop;
end $$;

-- What was taken away counts neither as served nor as identical: the answers that are there are counted.
create or replace function trading.identical_answers(of_environment text) returns bigint
language sql stable
begin atomic
    with spans as (
        select s.kind, s.first_id, s.last_id
        from trading.parity_spans as s
        inner join trading.parity_runs as r on s.parity_id = r.parity_id
        where r.environment = identical_answers.of_environment
            and s.outcome = 'identical'
            and r.parity_id >= coalesce((
                select max(f.parity_id)
                from trading.parity_runs as f
                where f.environment = identical_answers.of_environment and f.mode = 'full'
            ), 0)
    )

    select (
        (
            select count(*)
            from spans as s
            inner join trading.served_predictions as p on p.served_id between s.first_id and s.last_id
            where s.kind = 'prediction'
        ) + (
            select count(*)
            from spans as s
            inner join trading.served_scores as a on a.served_id between s.first_id and s.last_id
            where s.kind = 'score'
        )
    )::bigint;
end;
