"""A warehouse of before the partitions comes over whole: every row, number and hash, and what people built on its tables."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.postgres import database_url as url_of
from infra.postgres.migrate import FOLDER, migrate

pytestmark = pytest.mark.engines

# Bars of 1969, 2004, 2005 and 2031, the later half of them twice; what is derived of the first year is all there is.
_FILL = """
insert into raw.ingestion_batches (kind, source, mode, received_at, payload_key, payload_sha256, payload_name, rows_in,
    rows_published, rows_unchanged, rows_merged, rows_quarantined, status, watermark, trace_id)
select 'prices', 'files', 'history', now(), 'k', repeat('0', 64), 'n', 0, 0, 0, 0, 0, 'published',
    raw.take_watermark('test'), 't';
insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,
    known_at, watermark, batch_id, row_hash)
select 'files', 'S' || n % 7, '1d', day + n * interval '1 hour', 1, 2 + n, 1, 1.5, n, 'raw', day, day + again * interval '9 days', 1, 1,
    sha256(int8send(n * 2 + again))
from unnest(array['1969-12-31 20:00Z', '2004-12-31 12:00Z', '2005-06-06Z', '2031-01-01Z']::timestamptz[]) as day
cross join generate_series(1, 25) as n cross join generate_series(0, 0) as again;
insert into raw.watermarks (purpose, transaction_id) values ('test', '999999');
insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,
    known_at, watermark, batch_id, row_hash)
select source, symbol, interval, timestamp, 1.25, high, low, close, volume, adjustment, nominal_at, known_at + interval '9 days', 2, 1,
    sha256(row_hash) from raw.price_bars where bar_id % 2 = 0 and bar_id > 50;
insert into raw.trades (source, symbol, trade_id, timestamp, price, size, nominal_at, known_at, watermark, batch_id, row_hash)
select source, symbol, 't' || bar_id, timestamp, close, 1, nominal_at, known_at, watermark, batch_id, row_hash from raw.price_bars;
insert into marts.indicators (source, symbol, interval, timestamp, known_at, watermark, source_watermark, definition, row_hash,
    nominal_at, bar_id, bar_hash, state, close)
select source, symbol, interval, timestamp, known_at, 2, 1, 'd', row_hash, nominal_at, bar_id, row_hash, array[1.5, 'NaN'], close
from raw.price_bars where timestamp < '1971-01-01Z';
insert into features.daily (source, symbol, interval, timestamp, known_at, watermark, source_watermark, definition, row_hash,
    decision_at, indicator_row_id, indicator_row_hash, sentiment_items, close)
select source, symbol, interval, timestamp, known_at, 2, 1, 'e', row_hash, nominal_at, row_id, row_hash, 0, close from marts.indicators;
insert into marts.chart_bars (definition, chart_style, parameter, source, symbol, timestamp, sequence, is_withdrawn, known_at,
    watermark, row_hash)
select 'd', 'time', '1w', source, symbol, timestamp, 0, true, known_at, watermark, row_hash from raw.price_bars where watermark = 1;
insert into raw.recalls (bar_id, status, reason, known_at, watermark, trace_id) values (7, 'recalled', 'wrong', now(), 2, 't');
"""
# As dbt and people build on the tables: views upon views, with words and grants, and functions of their rows.
_BUILT = """
create view staging.my_bars as select b.*, raw.bar_hash(b) as hash from raw.price_bars as b;
create view staging.my_newest as select max(m.timestamp) as newest from staging.my_bars as m;
comment on view staging.my_bars is 'It''s mine';
comment on column staging.my_bars.close is 'The last';
create function staging.my_close(b raw.price_bars) returns numeric language sql immutable begin atomic select b.close; end;
create view staging.my_closes as select staging.my_close(b) as close from raw.bars_as_of('infinity', 9) as b;
comment on function staging.my_close(raw.price_bars) is 'Its close';
grant select on raw.price_bars, staging.my_bars to pg_read_all_stats;
alter table features.daily add column my_feature double precision;
"""
TABLES = ("raw.price_bars", "raw.trades", "marts.indicators", "features.daily", "marts.chart_bars", "raw.recalls")


@pytest.fixture
def url(postgres_url: str, tmp_path: Path) -> Iterator[str]:
    """A filled database of before the partitions."""
    for file in FOLDER.glob("*.sql"):
        if file.name < "0049":
            shutil.copy(file, tmp_path)
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(url_of(postgres_url, "postgres"), autocommit=True) as server:
        server.execute(f"create database {name}")
        migrate(url_of(postgres_url, name), tmp_path)
        yield url_of(postgres_url, name)
        server.execute(f"drop database {name} with (force)")


def test_every_row_number_and_hash_comes_over_and_what_was_built_on_the_tables_stands(url: str):
    def rows(conn: psycopg.Connection) -> dict[str, list[Any]]:
        found = {name: conn.execute(f"select t::text from {name} as t order by 1").fetchall() for name in TABLES}  # type: ignore[arg-type]
        asked = {
            "bars as of": "select * from raw.bars_as_of('2005-06-10Z', 2) order by bar_id",
            "trades as of": "select * from raw.trades_as_of('files', 'S1', '-infinity', 'infinity', 2) order by version_id",
            "views": "select * from staging.my_newest, staging.my_closes order by 1, 2",
            "recalled": "select * from raw.recalled_bars",
            "hashes": "select raw.bar_hash(b) from raw.price_bars as b order by bar_id",
            "words": "select obj_description('staging.my_bars'::regclass), col_description('staging.my_bars'::regclass, 9),"
            " obj_description('staging.my_close(raw.price_bars)'::regprocedure), obj_description('raw.price_bars'::regclass),"
            " col_description('raw.price_bars'::regclass, 13), has_table_privilege('pg_read_all_stats', 'raw.price_bars', 'select'),"
            " has_table_privilege('pg_read_all_stats', 'staging.my_bars', 'select')",
            "derived as of": "select r::text from features.indicators_as_of('d', 'infinity', 9) as r order by 1",
            "functions": "select p.oid::regprocedure::text, features.function_hash(p.oid) from pg_proc as p"
            " where p.oid::regprocedure::text ~ '^raw\\.[a-z_]+_(hash|as_of)' order by 1",
        }
        return found | {name: conn.execute(statement).fetchall() for name, statement in asked.items()}  # type: ignore[arg-type]

    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as conn:
        conn.execute(_FILL)
        conn.execute(_BUILT)
        before = rows(conn)
        assert len(before["raw.price_bars"]) == 125
        assert len(before["functions"]) > 5
    migrate(url)
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as conn:
        assert rows(conn) == before
        held = conn.execute(
            "select tableoid::regclass::text, count(*) from raw.price_bars group by 1 order by 1"
        ).fetchall()
        assert [(name.removeprefix("raw.price_bars_"), count) for name, count in held] == [
            ("1970", 22), ("2004", 11), ("2005", 51), ("2031", 38), ("before_1970", 3),
        ]  # fmt: skip
        assert conn.execute("select from raw.partitions where name = 'features.daily_2031'").fetchall()
        assert conn.execute("select to_regnamespace('before_partitions')").fetchone() == (None,)
        added = conn.execute(
            "insert into raw.price_bars (source, symbol, interval, timestamp, open, high, low, close, volume, adjustment, nominal_at,"
            " known_at, watermark, batch_id, row_hash) select source, symbol, interval, timestamp, open, high, low, close, 9, adjustment,"
            " nominal_at, known_at, (select max(watermark) from raw.watermarks), 1, row_hash from raw.price_bars limit 1 returning bar_id"
        ).fetchone()
        assert added == (126,)
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match=r"raw\.price_bars is append-only"):
            conn.execute("delete from raw.price_bars")
