"""Engines for tests: started once per session, on demand, in a state folder of their own; ended exactly.

Not durable on purpose (no fsync): what is tested there is tested by tests/integration/infra with durable servers of
its own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.errors import EngineStartError
from infra.local import mlflow, ports
from infra.local.home import Home
from infra.local.http import http_problem
from infra.local.object_store import ObjectStore, ObjectStoreSettings
from infra.local.postgres import PostgresServer
from infra.local.postgres import database_url as url_of
from infra.local.processes import MARK, Identity, end, end_marked, last_line, reap, spawn
from infra.postgres.migrate import migrate

TEMPLATE = "tradeloom_template"


@pytest.fixture(scope="session")
def engine_home() -> Iterator[Home]:
    """A state folder under /tmp: short enough for a socket, removed at the end."""
    home = Home(Path(tempfile.mkdtemp(prefix="tradeloom-test-")).resolve())
    home.create()
    yield home
    shutil.rmtree(home.path)


@pytest.fixture(scope="session")
def postgres_url(engine_home: Home) -> Iterator[str]:
    """A PostgreSQL of this session with the migrated template; the URL names the database `tradeloom`, migrated too."""
    server = PostgresServer(engine_home, durable=False)
    process = server.start(f"test/{engine_home.digest}/postgres")
    try:
        _create(server.url("postgres"), TEMPLATE, "template1")
        migrate(server.url(TEMPLATE))
        migrate(server.url())
        yield server.url()
    finally:
        server.stop(process)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh database, cloned from the migrated template and dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    _create(url_of(postgres_url, "postgres"), name, TEMPLATE)
    yield url_of(postgres_url, name)
    with psycopg.connect(url_of(postgres_url, "postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _create(url: str, name: str, template: str) -> None:
    statement = sql.SQL("create database {} template {} strategy file_copy")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


@pytest.fixture(scope="session")
def object_store_settings(engine_home: Home) -> Iterator[ObjectStoreSettings]:
    """An S3 server of this test session, its bucket made."""
    store, process = _object_store(engine_home)
    try:
        yield store.settings
    finally:
        end(process, patience=0.5)


def _object_store(home: Home) -> tuple[ObjectStore, Identity]:
    """Start it; somebody may take one of its eight ports between our look and its start, so try other ones then."""
    for attempts_left in (2, 1, 0):
        store = ObjectStore(home, ports.choose(home, "s3", spread=True))
        try:
            return store, store.start(f"test/{home.digest}/s3")
        except EngineStartError:
            if not attempts_left:
                raise
    raise AssertionError("the loop returns or raises")


@pytest.fixture(scope="session")
def mlflow_url(engine_home: Home, postgres_url: str, object_store_settings: ObjectStoreSettings) -> Iterator[str]:
    """An MLflow server on the session's PostgreSQL and S3; it takes a while, so ask only where it is the point."""
    port = ports.choose(engine_home, "mlflow", spread=True)
    mark = f"test/{engine_home.digest}/mlflow"
    environment = {**os.environ, **mlflow.environment(postgres_url, object_store_settings), MARK: mark}
    log = engine_home.logs / "mlflow.log"
    process = spawn(mlflow.command(port), environment=environment, log=log, cwd=engine_home.path)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process, patience=10)
        end_marked(mark)


def _wait_for(url: str, process: Identity, log: Path) -> None:
    deadline = time.monotonic() + 240
    while http_problem(url) is not None:
        reap(process)
        assert process.alive(), last_line(log)
        assert time.monotonic() < deadline, f"{url} did not answer; {last_line(log)}"
        time.sleep(0.2)
