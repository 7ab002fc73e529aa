"""kill -9 of an engine under load: what was acknowledged is there afterwards. Durable engines of their own, not the
fixtures'.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import urllib3
from minio.error import MinioException

from infra.local import ports
from infra.local.home import Home
from infra.local.object_store import ObjectStore, minio_client
from infra.local.postgres import PostgresServer, ensure_databases
from infra.local.processes import Identity, wait_until_gone

pytestmark = pytest.mark.engines


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home(Path(tempfile.mkdtemp(prefix="tradeloom-crash-")).resolve())
    made.create()
    yield made
    shutil.rmtree(made.path)


def kill(process: Identity) -> None:
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until_gone(process, 10)


def insert_until_it_breaks(url: str, worker: int, acknowledged: list[tuple[int, int]]) -> None:
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            for number in range(1_000_000):
                conn.execute("insert into kept values (%s, %s)", (worker, number))
                acknowledged.append((worker, number))
    except psycopg.OperationalError:
        return  # this is the kill


def test_postgres_killed_under_load_keeps_every_acknowledged_row(home: Home):
    server = PostgresServer(home)
    process = server.start("test/crash")
    try:
        ensure_databases(server.url("postgres"))
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute("create table kept (worker int, number int)")
        acknowledged: list[tuple[int, int]] = []
        workers = [
            threading.Thread(target=insert_until_it_breaks, args=(server.url(), n, acknowledged)) for n in range(4)
        ]
        for worker in workers:
            worker.start()
        time.sleep(1.0)
        kill(process)
        for worker in workers:
            worker.join()
        process = server.start("test/crash")
        with psycopg.connect(server.url()) as conn:
            there = set(conn.execute("select worker, number from kept").fetchall())
        assert len(acknowledged) > 50
        assert set(acknowledged) <= there
        assert len(there) - len(acknowledged) <= len(workers)  # one each may have been on its way
    finally:
        server.stop(process)


def test_a_lock_file_of_a_killed_server_whose_pid_lives_on_in_another_is_no_obstacle(home: Home):
    server = PostgresServer(home, durable=False)
    process = server.start("test/crash")
    lock = home.path / "postgres" / "data" / "postmaster.pid"
    kill(process)
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    process = server.start("test/crash")
    server.stop(process)


def put_until_it_breaks(store: ObjectStore, worker: int, acknowledged: list[str]) -> None:
    client = minio_client(store.settings)
    try:
        for number in range(1_000_000):
            name = f"kept/{worker}-{number}"
            client.put_object("tradeloom", name, io.BytesIO(name.encode() * 50), len(name) * 50)
            acknowledged.append(name)
    except (MinioException, urllib3.exceptions.HTTPError, OSError):
        return  # this is the kill


def test_the_object_store_killed_under_load_keeps_every_acknowledged_object(home: Home):
    store = ObjectStore(home, ports.choose(home, "s3", spread=True))
    process = store.start("test/crash")
    try:
        acknowledged: list[str] = []
        workers = [threading.Thread(target=put_until_it_breaks, args=(store, n, acknowledged)) for n in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(1.0)
        kill(process)
        for worker in workers:
            worker.join()
        process = store.start("test/crash")
        client = minio_client(store.settings)
        assert len(acknowledged) > 50
        for name in acknowledged:
            answer = client.get_object("tradeloom", name)
            assert answer.read() == name.encode() * 50
            answer.close()
    finally:
        store.stop(process)
        ports.release(home, "s3")
