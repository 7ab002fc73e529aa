-- The newest daily row of each series, kept beside features.daily by a trigger: what the online read finds by its key. It
-- answers a question only where it was known and published by then (else the rows themselves are asked), and since no
-- row of a greater timestamp or a newer version exists, it is then the answer. Can be made again from features.daily.

create table features.newest_daily (
    like features.daily,
    primary key (definition, interval, symbol, source)
) with (fillfactor = 70);
comment on table features.newest_daily is 'The newest row of each series of features.daily; kept by a trigger, rebuildable.';

insert into features.newest_daily
select distinct on (f.definition, f.interval, f.symbol, f.source) f.*
from features.daily as f
order by
    f.definition asc, f.interval asc, f.symbol asc, f.source asc, f.timestamp desc, f.known_at desc, f.watermark desc, f.row_id desc;

create function features.keep_newest_daily() returns trigger
language plpgsql as $$
declare
    newer bigint[];
begin
    select array_agg(a.row_id) into newer
    from (
        select distinct on (f.definition, f.interval, f.symbol, f.source)
            f.definition, f.interval, f.symbol, f.source, f.timestamp, f.known_at, f.watermark, f.row_id
        from added as f
        order by
            f.definition, f.interval, f.symbol, f.source, f.timestamp desc, f.known_at desc, f.watermark desc, f.row_id desc
    ) as a
    where not exists (
        select
        from features.newest_daily as n
        where n.definition = a.definition and n.interval = a.interval and n.symbol = a.symbol and n.source = a.source
            and (n.timestamp, n.known_at, n.watermark, n.row_id) > (a.timestamp, a.known_at, a.watermark, a.row_id)
    );
    -- Not an upsert: a definition may have brought columns that no statement here can name.
    delete from features.newest_daily as n
    using added as f
    where f.row_id = any(newer)
        and n.definition = f.definition and n.interval = f.interval and n.symbol = f.symbol and n.source = f.source;
    insert into features.newest_daily
    select f.* from features.daily as f where f.row_id = any(newer);
    return null;
end $$;

create trigger newest_daily after insert on features.daily
referencing new table as added for each statement execute function features.keep_newest_daily();

-- A new column comes to the newest rows too, in the same place.
create or replace procedure features.add_columns(to_view text, new_columns text[])
language plpgsql as $$
declare
    name text;
begin
    foreach name in array new_columns loop
        if not exists (
            select from pg_attribute where attrelid = to_view::regclass and attname = name and not attisdropped
        ) then
            execute format('alter table %s add column %I double precision', to_view, name);
            if to_view = 'marts.indicators' then
                execute format('alter table features.pending_indicators add column %I double precision', name);
            else
                execute format('alter table features.newest_daily add column %I double precision', name);
            end if;
        end if;
    end loop;
end $$;
