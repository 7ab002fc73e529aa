"""What tests of several rooms share: the project's definitions, built once by dbt and registered wherever they are needed."""

from __future__ import annotations

import secrets

import psycopg
import pytest
from psycopg import sql

from feature_store.build import ensure_definitions


@pytest.fixture(scope="session")
def default_definitions(postgres_url: str) -> list[tuple[str, str, str]]:
    """What `ensure_definitions` registers in an empty warehouse, as (view, sql, parameters), indicators first."""
    name = f"default_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template tradeloom_template strategy file_copy").format(sql.Identifier(name))
        )
    url = psycopg.conninfo.make_conninfo(postgres_url, dbname=name)
    assert ensure_definitions(url)
    with psycopg.connect(url) as conn:
        return conn.execute(
            "select view, sql, (parameters - 'indicators')::text from features.definitions order by view desc"
        ).fetchall()
