-- Schemas, row identity, and the watermark: a number whose order is the order of commits.

create extension if not exists vector;

create schema if not exists raw;
create schema if not exists staging;
create schema if not exists intermediate;
create schema if not exists marts;
create schema if not exists features;
create schema if not exists trading;

-- Canonical bytes of one value; the Python twin is trading/identity.py, with which they must agree byte for byte.
create function raw.canon(value text) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea
            else 's'::bytea || int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8') end;

create function raw.canon(value bytea) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea else 'x'::bytea || int4send(octet_length(value)) || value end;

create function raw.canon(value boolean) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea when value then 'b'::bytea || '\x01'::bytea
            else 'b'::bytea || '\x00'::bytea end;

create function raw.canon(value bigint) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea else 'i'::bytea || int8send(value) end;

create function raw.canon(value double precision) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea else 'f'::bytea || float8send(value) end;

-- A decimal is its text at the given scale: 1.5 and 1.50 are one value and must have one identity.
create function raw.canon(value numeric, scale integer) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea
            else 'd'::bytea || int4send(octet_length(round(value, scale)::text)) || convert_to(round(value, scale)::text, 'UTF8')
       end;

create function raw.canon(value timestamptz) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea
            else 't'::bytea || int8send((extract(epoch from value) * 1000000)::bigint) end;

create function raw.canon(value date) returns bytea
language sql immutable parallel safe
return case when value is null then '\x00'::bytea
            else 's'::bytea || int4send(10) || convert_to(to_char(value, 'YYYY-MM-DD'), 'UTF8') end;

create table raw.watermarks (
    watermark bigint generated always as identity primary key,
    purpose text not null,
    transaction_id xid8 not null unique default pg_current_xact_id(),
    recorded_at timestamptz not null default clock_timestamp()
);

-- The lock is held to the end of the transaction, so no later number can commit before an earlier one.
-- Asked twice in one transaction it gives the same number. Publishers run at READ COMMITTED: what they read
-- after this call includes every earlier watermark.
create function raw.take_watermark(what_for text) returns bigint
language plpgsql as $$
declare
    taken bigint;
begin
    perform pg_advisory_xact_lock(7046029254386353);
    select watermark into taken from raw.watermarks where transaction_id = pg_current_xact_id();
    if taken is null then
        insert into raw.watermarks (purpose) values (what_for) returning watermark into taken;
    end if;
    return taken;
end $$;

create function raw.newest_watermark() returns bigint
language sql stable
return (select coalesce(max(watermark), 0) from raw.watermarks);

-- Append-only: what was once published is never changed or taken away.
create function raw.refuse_change() returns trigger
language plpgsql as $$
begin
    raise exception '%.% is append-only: a % is refused; publish a new version instead',
        tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'integrity_constraint_violation';
end $$;
