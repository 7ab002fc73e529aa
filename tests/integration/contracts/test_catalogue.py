"""The tables that migrations make are those that the contracts describe, by PostgreSQL's own catalogue."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from trading.contracts.contract import Contract
from trading.contracts.ddl import create_table
from trading.contracts.load import contracts

pytestmark = pytest.mark.engines

COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid)
from pg_attribute as a
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
"""
CONSTRAINTS = "select contype::text, pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass"


def _catalogue(conn: psycopg.Connection, table: str) -> tuple[set[Any], set[Any]]:
    return set(conn.execute(COLUMNS, (table,))), set(conn.execute(CONSTRAINTS, (table,)))


def _promised(conn: psycopg.Connection, contract: Contract) -> tuple[set[Any], set[Any]]:
    conn.execute(create_table(contract, "public.promised"))  # type: ignore[arg-type]
    try:
        return _catalogue(conn, "public.promised")
    finally:
        conn.execute("drop table public.promised")


@pytest.mark.parametrize("kind", contracts())
def test_the_table_is_the_one_that_its_contract_describes(database_url: str, kind: str) -> None:
    contract = contracts()[kind]
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert _catalogue(conn, contract.table) == _promised(conn, contract)


def test_a_lost_constraint_and_another_type_are_seen(database_url: str) -> None:
    contract = contracts()["prices"]
    with psycopg.connect(database_url, autocommit=True) as conn:
        (name,) = conn.execute(
            "select conname from pg_constraint where conrelid = 'raw.price_bars'::regclass "
            "and pg_get_constraintdef(oid) = 'CHECK ((open > (0)::numeric))'"
        ).fetchone() or ("",)
        conn.execute(sql.SQL("alter table raw.price_bars drop constraint {}").format(sql.Identifier(name)))
        there, promised = _catalogue(conn, contract.table), _promised(conn, contract)
        assert promised[1] - there[1] == {("c", "CHECK ((open > (0)::numeric))")}
        assert there[0] == promised[0]
        conn.execute("alter table raw.price_bars alter column symbol drop not null")
        assert {row[0] for row in _catalogue(conn, contract.table)[0] ^ promised[0]} == {"symbol"}
