-- Retention: superseded versions of derived rows that nobody refers to may be taken away. Nothing is lost by it: every
-- version can be computed again from raw, bit for bit (features.recompute). What was taken away is remembered, so that a
-- question that it would have answered is refused and not answered by an older version.

create table features.compactions (
    compaction_id bigint generated always as identity primary key,
    definition text not null references features.definitions,
    superseded_before timestamptz not null,
    row_count bigint not null check (row_count >= 0),
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);

create table features.compacted_rows (
    view text not null,
    row_id bigint not null,
    compaction_id bigint not null references features.compactions,
    definition text not null,
    source text not null,
    symbol text not null,
    interval text not null,
    timestamp timestamptz not null,
    known_at timestamptz not null,
    watermark bigint not null,
    row_hash bytea not null,
    superseded_at timestamptz not null,
    superseded_watermark bigint not null,
    primary key (view, row_id)
);
create index on features.compacted_rows (definition, source, symbol, interval, timestamp);
comment on column features.compacted_rows.superseded_at is
    'known_at of the next version: questions as of an earlier moment, or by an earlier watermark than the next one''s, were answered by this row.';

do $$
declare
    name text;
begin
    foreach name in array array['features.compactions', 'features.compacted_rows'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- The versions of a definition's rows with what follows each. Everything is held but an intermediate version: the first
-- print is what training and backtests read, the newest what is read now. A row was a first print if at its own
-- publication no version was known earlier; an older drop that came later may have been known before it.
create function features.versions_of(of_definition text)
returns table (
    view text, row_id bigint, source text, symbol text, bar_interval text, at_time timestamptz, known_at timestamptz,
    watermark bigint, row_hash bytea, was_first_print boolean, superseded_at timestamptz, superseded_watermark bigint
)
language plpgsql stable as $$
declare
    of_view text;
begin
    select d.view into strict of_view from features.definitions as d where d.definition = of_definition;
    return query execute format($sql$
        select
            %L, v.row_id, v.source, v.symbol, v.interval, v.timestamp, v.known_at, v.watermark, v.row_hash,
            v.known_at = min(v.known_at) over publications, lead(v.known_at) over versions, lead(v.watermark) over versions
        from %s as v
        where v.definition = $1
        window
            versions as (partition by v.source, v.symbol, v.interval, v.timestamp order by v.known_at, v.watermark, v.row_id),
            publications as (partition by v.source, v.symbol, v.interval, v.timestamp order by v.watermark)
        $sql$, of_view, of_view) using of_definition;
end $$;

-- Per definition: how many rows there are, how many of them are superseded, and how many of those stand between the
-- first print and the newest. What `tradeloom doctor` shows.
create function features.version_shares()
returns table (view text, definition text, row_count bigint, superseded bigint, intermediate bigint)
language sql stable
begin atomic
    select
        d.view,
        d.definition,
        count(v.row_id),
        count(v.row_id) filter (where v.superseded_at is not null),
        count(v.row_id) filter (where v.superseded_at is not null and not v.was_first_print)
    from features.definitions as d
    left join lateral features.versions_of(d.definition) as v on true
    group by d.view, d.definition
    order by d.view, d.definition;
end;

-- Takes away what `features.compactable` names and remembers it. A session that still runs reads at a watermark of its
-- own: while one does, nothing of that age is touched.
create function features.compact(of_definition text, superseded_before timestamptz, of_trace text) returns bigint
language plpgsql as $$
declare
    of_view text;
    running record;
    compaction bigint;
    taken bigint;
begin
    select d.view into of_view from features.definitions as d where d.definition = of_definition;
    if of_view is null then
        raise exception 'expected a registered definition, found none named %', of_definition using errcode = 'invalid_parameter_value';
    end if;
    select s.session_id, s.name into running from trading.sessions as s where s.status = 'running' limit 1;
    if found then
        raise exception 'expected no running session, found % (%): it reads at a watermark of its own; let it finish first', running.name, running.session_id
            using errcode = 'object_in_use';
    end if;
    perform raw.take_watermark('features.compact');  -- no publisher meanwhile
    insert into features.compactions (definition, superseded_before, row_count, trace_id)
    select of_definition, compact.superseded_before, count(*), of_trace
    from features.compactable(of_definition, compact.superseded_before)
    returning compaction_id, row_count into compaction, taken;
    insert into features.compacted_rows (
        view, row_id, compaction_id, definition, source, symbol, interval, timestamp, known_at, watermark, row_hash,
        superseded_at, superseded_watermark
    )
    select
        c.view, c.row_id, compaction, of_definition, c.source, c.symbol, c.bar_interval, c.at_time, c.known_at, c.watermark,
        c.row_hash, c.superseded_at, c.superseded_watermark
    from features.compactable(of_definition, compact.superseded_before) as c;
    execute format(
        'delete from %s as v using features.compacted_rows as c where c.compaction_id = $1 and v.row_id = c.row_id', of_view
    ) using compaction;
    return taken;
end $$;

-- A derived row is taken away only by a compaction, and only where nothing refers to it and a later version stands.
create function features.refuse_unfounded_delete() returns trigger
language plpgsql as $$
declare
    of_view constant text := tg_table_schema || '.' || tg_table_name;
    unfounded record;
begin
    select g.row_id, g.symbol, g.timestamp into unfounded
    from gone as g
    where not exists (
        select from features.compacted_rows as c
        where c.view = of_view and c.row_id = g.row_id and c.row_hash = g.row_hash
    )
    limit 1;
    if found then
        raise exception '% is append-only: row % of % at % was not compacted; use `tradeloom features compact`',
            of_view, unfounded.row_id, unfounded.symbol, unfounded.timestamp using errcode = 'integrity_constraint_violation';
    end if;
    execute format($sql$
        select g.row_id, g.symbol, g.timestamp from gone as g
        where %s or not exists (
            select from %s as v
            where v.definition = g.definition and v.source = g.source and v.symbol = g.symbol and v.interval = g.interval
                and v.timestamp = g.timestamp and (v.known_at, v.watermark, v.row_id) > (g.known_at, g.watermark, g.row_id))
        limit 1$sql$,
        case of_view
            when 'features.daily' then 'exists (select from trading.decisions as d where d.feature_row_id = g.row_id)'
            else 'exists (select from features.daily as d where d.indicator_row_id = g.row_id)'
        end, of_view)
    into unfounded;
    if unfounded.row_id is not null then
        raise exception 'row % of % (% at %) is still referred to or is the newest of its key; it stays',
            unfounded.row_id, of_view, unfounded.symbol, unfounded.timestamp using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['marts.indicators', 'features.daily'] loop
        execute format('drop trigger append_only on %s', name);
        execute format('create trigger append_only before update or truncate on %s for each statement execute function raw.refuse_change()', name);
        execute format(
            'create trigger compacted_only after delete on %s referencing old table as gone '
            'for each statement execute function features.refuse_unfounded_delete()', name);
    end loop;
end $$;
