-- What rests on what: which snapshots were frozen, which published bars were recalled, and where each correction found
-- something that was there before it. Consumers are traced from here by feature_store/blast_radius.py.

create table features.snapshots (
    snapshot_id text not null check (snapshot_id ~ '^[0-9a-f]{64}$'),
    object_key text not null,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    view text not null,
    definition text not null references features.definitions,
    source text not null,
    symbols text[] not null,
    first_timestamp timestamptz,
    last_timestamp timestamptz,
    row_count bigint not null check (row_count >= 0),
    watermark bigint not null,
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (snapshot_id, sha256)
);
comment on table features.snapshots is 'The training sets that were frozen: of each symbol the rows first..last, each as it was first known, read up to the watermark.';

create table raw.recalls (
    recall_id bigint generated always as identity primary key,
    bar_id bigint not null references raw.price_bars,
    status text not null check (status in ('recalled', 'withdrawn')),
    reason text not null check (btrim(reason) <> ''),
    known_at timestamptz not null,
    watermark bigint not null references raw.watermarks,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp(),
    unique (bar_id, watermark)
);
comment on table raw.recalls is 'Published bars put into quarantine after use. The newest word on a bar counts; a version of the bar that was published later lifts its recall.';

do $$
declare
    name text;
begin
    foreach name in array array['features.snapshots', 'raw.recalls'] loop
        execute format('create trigger append_only before update or delete or truncate on %s for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;

-- Who rests on a row or a bar is asked from these sides.
create index decisions_feature_row on trading.decisions (feature_row_id);
create index decisions_bar on trading.decisions (bar_id);
create index fills_bar on trading.fills (bar_id);

-- The recalls in force as of (t, w): of each bar the newest word, unless it was withdrawn or a later version lifted it.
create function raw.open_recalls(as_of timestamptz, up_to bigint)
returns table (
    recall_id bigint, bar_id bigint, source text, symbol text, bar_interval text, at_time timestamptz, batch_id bigint,
    bar_known_at timestamptz, reason text, known_at timestamptz, watermark bigint
)
language sql stable
begin atomic
    select n.recall_id, b.bar_id, b.source, b.symbol, b.interval, b.timestamp, b.batch_id, b.known_at as bar_known_at, n.reason, n.known_at, n.watermark
    from (
        select distinct on (r.bar_id) r.*
        from raw.recalls as r
        where r.known_at <= open_recalls.as_of and r.watermark <= open_recalls.up_to
        order by r.bar_id asc, r.watermark desc
    ) as n
    join raw.price_bars as b on b.bar_id = n.bar_id
    where n.status = 'recalled'
        and not exists (
            select
            from raw.price_bars as later
            where later.source = b.source and later.symbol = b.symbol and later.interval = b.interval
                and later.timestamp = b.timestamp and later.watermark > n.watermark
                and (later.known_at, later.watermark) > (b.known_at, b.watermark)
                and later.watermark <= open_recalls.up_to and later.known_at <= open_recalls.as_of
        );
end;

-- Every recalled bar with how it stands, beside raw.quarantined_rows, which holds what was refused before use.
create view raw.recalled_bars as
select
    r.recall_id, r.bar_id, b.batch_id, b.source, b.symbol, b.interval, b.timestamp, b.open, b.high, b.low, b.close, b.volume,
    r.reason, r.known_at, r.watermark,
    case
        when r.status = 'withdrawn' then 'withdrawal'
        when exists (select from raw.recalls as w where w.bar_id = r.bar_id and w.watermark > r.watermark and w.status = 'withdrawn') then 'withdrawn'
        when exists (
            select from raw.price_bars as l
            where l.source = b.source and l.symbol = b.symbol and l.interval = b.interval and l.timestamp = b.timestamp
                and l.watermark > r.watermark and (l.known_at, l.watermark) > (b.known_at, b.watermark)
        ) then 'lifted'
        else 'open'
    end as status
from raw.recalls as r
join raw.price_bars as b on b.bar_id = r.bar_id;

-- Where a change of a series met rows that were there before it. A derived row (known_at k, source_watermark s) was made
-- from the superseded version exactly if that version was visible to it (k >= rested_known_at, s >= rested_watermark) and
-- none of those that hide it was. On-time versions have rested_known_at -infinity: every row from their place on is known
-- after them. Without a superseded version (a late bar, a late split) nothing need be visible.
create type features.change as (
    what text,
    why text,
    source text,
    symbol text,
    "interval" text,
    "timestamp" timestamptz,
    old_id bigint,
    new_id bigint,
    batch_id bigint,
    known_at timestamptz,
    watermark bigint,
    detail text,
    rested_known_at timestamptz,
    rested_watermark bigint,
    hidden_known_at timestamptz [],
    hidden_watermark bigint []
);

create function features.effective_known_at(known_at timestamptz, nominal_at timestamptz) returns timestamptz
language sql immutable parallel safe
return case when known_at <= nominal_at then '-infinity' else known_at end;

create function features.bar_detail(old raw.price_bars, new raw.price_bars) returns text
language sql stable
return concat_ws(
    ', ',
    case when old.open <> new.open then format('open %s -> %s', trim_scale(old.open), trim_scale(new.open)) end,
    case when old.high <> new.high then format('high %s -> %s', trim_scale(old.high), trim_scale(new.high)) end,
    case when old.low <> new.low then format('low %s -> %s', trim_scale(old.low), trim_scale(new.low)) end,
    case when old.close <> new.close then format('close %s -> %s', trim_scale(old.close), trim_scale(new.close)) end,
    case when old.volume <> new.volume then format('volume %s -> %s', trim_scale(old.volume), trim_scale(new.volume)) end
);

-- Bars that superseded an earlier version, or came after later bars of their series were published: those that a batch
-- brought, those that later corrected a batch's, or those of a symbol (its bars from..to).
create function features.bar_changes(
    of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz
)
returns setof features.change
language sql stable rows 100
begin atomic
    with batch as materialized (
        select n.batch_id, n.watermark from raw.ingestion_batches as n where n.batch_id = of_batch and n.kind = 'prices'
    ),

    candidates as materialized (
        select b.bar_id, b.source, b.symbol, b.interval, b.timestamp, b.watermark
        from batch as n
        join raw.price_bars as b on b.watermark = n.watermark and b.batch_id = n.batch_id
        union all
        -- Later versions of the batch's bars.
        select later.bar_id, later.source, later.symbol, later.interval, later.timestamp, later.watermark
        from batch as n
        join raw.price_bars as later on later.watermark > n.watermark
        join raw.price_bars as m
            on m.source = later.source and m.symbol = later.symbol and m.interval = later.interval
            and m.timestamp = later.timestamp and m.watermark = n.watermark and m.batch_id = n.batch_id
        union all
        select b.bar_id, b.source, b.symbol, b.interval, b.timestamp, b.watermark
        from raw.sources as s
        join raw.price_bars as b on b.source = s.source and b.symbol = of_symbol
        where of_batch is null and (of_source is null or s.source = of_source) and b.timestamp between from_at and to_at
    ),

    publications as materialized (
        select distinct c.source, c.symbol, c.interval, c.watermark from candidates as c
    ),

    -- What each series had before: a first version of a bar is a change only if a later bar was there already.
    reached as materialized (
        select k.source, k.symbol, k.interval, k.watermark, newest.timestamp as newest_bar
        from publications as k
        cross join lateral (
            select b.timestamp
            from raw.price_bars as b
            where b.source = k.source and b.symbol = k.symbol and b.interval = k.interval and b.watermark < k.watermark
            order by b.timestamp desc
            limit 1
        ) as newest
    ),

    possible as materialized (
        select c.bar_id, r.newest_bar
        from reached as r
        join candidates as c
            on c.source = r.source and c.symbol = r.symbol and c.interval = r.interval and c.watermark = r.watermark
        where c.timestamp <= r.newest_bar
    )

    select
        'bar', case when p.bar_id is null then 'late' else 'corrected' end,
        c.source, c.symbol, c.interval, c.timestamp, p.bar_id as old_id, c.bar_id as new_id, c.batch_id, c.known_at, c.watermark,
        coalesce(nullif(features.bar_detail(p, c), ''), case when p.bar_id is null then format('close %s came late', trim_scale(c.close)) else 'the same values' end),
        features.effective_known_at(p.known_at, p.nominal_at) as rested_known_at, p.watermark as rested_watermark,
        h.known_at as hidden_known_at, h.watermark as hidden_watermark
    from possible as o
    join raw.price_bars as c on c.bar_id = o.bar_id
    left join lateral (
        select b.*
        from raw.price_bars as b
        where b.source = c.source and b.symbol = c.symbol and b.interval = c.interval and b.timestamp = c.timestamp
            and b.watermark < c.watermark and (b.known_at, b.watermark) < (c.known_at, c.watermark)
        order by b.known_at desc, b.watermark desc
        limit 1
    ) as p on true
    cross join lateral (
        select
            array_agg(features.effective_known_at(b.known_at, b.nominal_at) order by b.known_at, b.watermark) as known_at,
            array_agg(b.watermark order by b.known_at, b.watermark) as watermark
        from raw.price_bars as b
        where b.source = c.source and b.symbol = c.symbol and b.interval = c.interval and b.timestamp = c.timestamp
            and (p.bar_id is null or (b.known_at, b.watermark) > (p.known_at, p.watermark))
    ) as h
    where (p.bar_id is not null or o.newest_bar > c.timestamp)
        and (of_batch is null or of_batch in (c.batch_id, p.batch_id));
end;

-- Splits that changed what was known of a series whose bars from the ex-date on were published before.
create function features.split_changes(of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz)
returns setof features.change
language sql stable
begin atomic
    with candidates as (
        select a.*, features.as_timestamp(a.ex_date) as place
        from raw.corporate_actions as a
        where a.kind = 'split'
            and (
                (of_batch is not null and exists (
                    select from raw.corporate_actions as m
                    where m.batch_id = of_batch and m.kind = 'split' and m.source = a.source and m.symbol = a.symbol
                        and m.ex_date = a.ex_date and m.watermark <= a.watermark))
                or (of_batch is null and a.symbol = of_symbol and (of_source is null or a.source = of_source)
                    and features.as_timestamp(a.ex_date) between from_at and to_at))
    )

    select
        'split', case when p.action_id is null then 'late' else 'corrected' end,
        c.source, c.symbol, i.interval, c.place, p.action_id as old_id, c.action_id as new_id, c.batch_id, c.known_at, c.watermark,
        case when p.action_id is null then format('split %s:1 came late', trim_scale(c.ratio))
            else format('split %s:1 -> %s:1', trim_scale(p.ratio), trim_scale(c.ratio)) end,
        features.effective_known_at(p.known_at, p.nominal_at) as rested_known_at, p.watermark as rested_watermark,
        h.known_at as hidden_known_at, h.watermark as hidden_watermark
    from candidates as c
    cross join lateral (
        select distinct b.interval
        from raw.price_bars as b
        where b.source = c.source and b.symbol = c.symbol and b.adjustment = 'raw'
            and b.timestamp >= c.place and b.watermark < c.watermark
    ) as i
    left join lateral (
        select a.*
        from raw.corporate_actions as a
        where a.source = c.source and a.symbol = c.symbol and a.kind = 'split' and a.ex_date = c.ex_date
            and a.watermark < c.watermark and (a.known_at, a.watermark) < (c.known_at, c.watermark)
        order by a.known_at desc, a.watermark desc
        limit 1
    ) as p on true
    cross join lateral (
        select
            array_agg(features.effective_known_at(a.known_at, a.nominal_at) order by a.known_at, a.watermark) as known_at,
            array_agg(a.watermark order by a.known_at, a.watermark) as watermark
        from raw.corporate_actions as a
        where a.source = c.source and a.symbol = c.symbol and a.kind = 'split' and a.ex_date = c.ex_date
            and (p.action_id is null or (a.known_at, a.watermark) > (p.known_at, p.watermark))
    ) as h
    where of_batch is null or of_batch in (c.batch_id, p.batch_id);
end;

-- Bars that were recalled after they were published, whether or not a correction has come since.
create function features.recall_changes(of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz)
returns setof features.change
language sql stable
begin atomic
    select
        'bar', 'recalled', b.source, b.symbol, b.interval, b.timestamp, b.bar_id, null::bigint, b.batch_id, r.known_at, r.watermark,
        format('close %s recalled: %s', trim_scale(b.close), r.reason),
        features.effective_known_at(b.known_at, b.nominal_at) as rested_known_at, b.watermark as rested_watermark,
        coalesce(h.known_at, '{}') as hidden_known_at, coalesce(h.watermark, '{}') as hidden_watermark
    from (
        select distinct on (r.bar_id) r.* from raw.recalls as r order by r.bar_id asc, r.watermark desc
    ) as r
    join raw.price_bars as b on b.bar_id = r.bar_id
    cross join lateral (
        select
            array_agg(features.effective_known_at(l.known_at, l.nominal_at) order by l.known_at, l.watermark) as known_at,
            array_agg(l.watermark order by l.known_at, l.watermark) as watermark
        from raw.price_bars as l
        where l.source = b.source and l.symbol = b.symbol and l.interval = b.interval and l.timestamp = b.timestamp
            and (l.known_at, l.watermark) > (b.known_at, b.watermark)
    ) as h
    where r.status = 'recalled'
        and (b.batch_id = of_batch
            or (of_batch is null and b.symbol = of_symbol and (of_source is null or b.source = of_source)
                and b.timestamp between from_at and to_at));
end;

-- Versions of news items that superseded an earlier one, or came back-dated: what was read of them is traced by the item.
create function features.news_changes(of_batch bigint, of_source text, of_symbol text, from_at timestamptz, to_at timestamptz)
returns table (
    why text, source text, news_id text, old_item bigint, new_item bigint, batch_id bigint, known_at timestamptz,
    watermark bigint, nominal_at timestamptz, detail text
)
language sql stable
begin atomic
    with batch as (
        select n.batch_id, n.watermark from raw.ingestion_batches as n where n.batch_id = of_batch and n.kind = 'news'
    ),

    mine as (
        select i.*
        from batch as n
        join raw.news_items as i on i.watermark = n.watermark and i.batch_id = n.batch_id
    ),

    candidates as (
        select m.* from mine as m
        union all
        select later.*
        from mine as m
        join raw.news_items as later
            on later.source = m.source and later.news_id = m.news_id and later.watermark > m.watermark
        union all
        select i.*
        from raw.news_items as i
        where of_batch is null and i.symbols @> array[of_symbol] and (of_source is null or i.source = of_source)
            and i.nominal_at between from_at and to_at
    )

    select
        case when p.item_id is null then 'late' else 'corrected' end,
        c.source, c.news_id, p.item_id as old_item, c.item_id as new_item, c.batch_id, c.known_at, c.watermark, coalesce(p.nominal_at, c.nominal_at),
        case when p.item_id is null then format('%s came late', c.headline)
            when p.headline <> c.headline then format('%s -> %s', p.headline, c.headline)
            else format('%s: other text, symbols or time', c.headline) end
    from candidates as c
    left join lateral (
        select i.*
        from raw.news_items as i
        where i.source = c.source and i.news_id = c.news_id and i.watermark < c.watermark
            and (i.known_at, i.watermark) < (c.known_at, c.watermark)
        order by i.known_at desc, i.watermark desc
        limit 1
    ) as p on true
    where of_batch is null or of_batch in (c.batch_id, p.batch_id);
end;
