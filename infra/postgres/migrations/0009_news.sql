-- What was made of the news: embeddings, scores, the daily sentiment, and every answer of a language model.

create table features.news_embeddings (
    item_id bigint not null references raw.news_items,
    embedding_model text not null,
    embedding vector not null,
    watermark bigint not null references raw.watermarks,
    primary key (item_id, embedding_model)
);

create table features.news_scores (
    score_id bigint generated always as identity primary key,
    item_id bigint not null references raw.news_items,
    scorer text not null,
    scorer_version text not null,
    score double precision not null check (score between -1 and 1),
    label text not null check (label in ('positive', 'neutral', 'negative')),
    watermark bigint not null references raw.watermarks,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    unique (item_id, scorer, scorer_version)
);
create index on features.news_scores (watermark);
comment on column features.news_scores.row_hash is
    'sha256 over canon of: the item''s row hash, scorer, scorer_version, score, label.';

-- One answer of a language model, by what was asked: a replay reads it here and needs no network.
create table features.llm_calls (
    call_id bigint generated always as identity primary key,
    model text not null,
    prompt_hash bytea not null check (octet_length(prompt_hash) = 32),
    item_ids bigint[] not null,
    request jsonb not null,
    answer jsonb not null,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    unique (model, prompt_hash, item_ids)
);

do $$
declare
    name text;
begin
    foreach name in array array['features.news_embeddings', 'features.news_scores', 'features.llm_calls'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

create index on raw.news_items (nominal_at);
-- Whether a version was overtaken as of (t, w) is asked of every candidate.
create index on raw.news_items (source, news_id, known_at desc, watermark desc);

-- The news of one symbol as of (t, w), published after a moment: the versions that raw.news_as_of(t, w) gives, found
-- through the symbol instead of through all news. A version that stopped naming the symbol hides the earlier ones.
create function features.news_about(symbol text, published_after timestamptz, as_of timestamptz, up_to bigint)
returns setof raw.news_items
language sql stable
begin atomic
    select n.*
    from raw.news_items as n
    where n.symbols @> array[news_about.symbol]
        and n.nominal_at > news_about.published_after
        and n.known_at <= news_about.as_of
        and n.watermark <= news_about.up_to
        and not exists (
            select
            from raw.news_items as later
            where later.source = n.source
                and later.news_id = n.news_id
                and later.known_at <= news_about.as_of
                and later.watermark <= news_about.up_to
                and (later.known_at, later.watermark) > (n.known_at, n.watermark)
        );
end;

-- The calendar by which a symbol's sessions are counted. The first version of an instrument counts from the beginning
-- of time: a draft is written when a symbol is first met, long after the sessions that it is asked about.
create function features.calendar_of(symbol text, as_of timestamptz, up_to bigint)
returns text
language sql stable
begin atomic
    select i.calendar
    from trading.instruments as i
    where i.symbol = calendar_of.symbol and i.watermark <= calendar_of.up_to
    order by
        (i.known_at <= calendar_of.as_of) desc,
        case when i.known_at <= calendar_of.as_of then i.known_at end desc nulls last,
        case when i.known_at <= calendar_of.as_of then i.watermark end desc nulls last,
        i.known_at,
        i.watermark
    limit 1;
end;

-- The daily sentiment of a symbol at one decision: the weighted mean of its news of the last five sessions.
--
-- An item belongs to the first session that closes at or after its publication; its age is counted in sessions back
-- from the last session closed by `decision_at` and it weighs 0.5^age, an exact binary number. Only + * / are used, in
-- the order of item_id, so the answer has the same bits wherever it is computed. Items that the scorer has not scored
-- by the watermark do not count; no items is (0, 0, {}).
--
-- Immutable by name: a change of meaning is features.sentiment_v2, so that old definitions keep computing.
create function features.sentiment_v1(
    symbol text,
    decision_at timestamptz,
    as_of_known timestamptz,
    up_to bigint,
    scorer text,
    scorer_version text,
    out sentiment double precision,
    out items integer,
    out item_ids bigint[]
)
language plpgsql stable as $$
declare
    asked_at constant timestamptz := least(sentiment_v1.decision_at, sentiment_v1.as_of_known);
    closes timestamptz[];
begin
    -- The newest six closes, newest first; the sixth is the end of the session before the window.
    select array_agg(c.closes_at order by c.closes_at desc)
    into closes
    from (
        select s.closes_at
        from trading.calendar_sessions as s
        where s.calendar = features.calendar_of(sentiment_v1.symbol, asked_at, sentiment_v1.up_to)
            and s.closes_at <= sentiment_v1.decision_at
        order by s.closes_at desc
        limit 6
    ) as c;

    select
        coalesce(sum(w.weight * w.score order by w.item_id) / sum(w.weight order by w.item_id), 0.0),
        count(*),
        coalesce(array_agg(w.item_id order by w.item_id), '{}'::bigint[])
    into sentiment_v1.sentiment, sentiment_v1.items, sentiment_v1.item_ids
    from (
        select
            n.item_id,
            z.score,
            (array[1.0, 0.5, 0.25, 0.125, 0.0625]::double precision[])[greatest(a.closes_since, 1)] as weight
        from features.news_about(
            sentiment_v1.symbol, coalesce(closes[6], '-infinity'::timestamptz), asked_at, sentiment_v1.up_to
        ) as n
        join features.news_scores as z
            on z.item_id = n.item_id
            and z.scorer = sentiment_v1.scorer
            and z.scorer_version = sentiment_v1.scorer_version
            and z.watermark <= sentiment_v1.up_to
        cross join lateral (
            select count(*)::integer as closes_since
            from unnest(closes[1:5]) as c (closes_at)
            where c.closes_at >= n.nominal_at
        ) as a
        where closes is not null
    ) as w;
end $$;

-- One row per news item as it is known now, with its newest embedding and its newest score of any scorer.
create view features.news_with_sentiment as
with newest as (
    select distinct on (n.source, n.news_id) n.*
    from raw.news_items as n
    order by n.source asc, n.news_id asc, n.known_at desc, n.watermark desc
)
select
    n.item_id,
    n.source,
    n.news_id,
    n.symbols,
    n.headline,
    n.body,
    n.url,
    n.published_at,
    n.known_at,
    e.embedding_model,
    e.embedding,
    z.score as sentiment_score,
    z.label as sentiment_label,
    z.scorer,
    z.scorer_version
from newest as n
left join lateral (
    select e.embedding_model, e.embedding
    from features.news_embeddings as e
    where e.item_id = n.item_id
    order by e.watermark desc, e.embedding_model
    limit 1
) as e on true
left join lateral (
    select z.score, z.label, z.scorer, z.scorer_version
    from features.news_scores as z
    where z.item_id = n.item_id
    order by z.score_id desc
    limit 1
) as z on true;
