"""Engines that are gone, full or cut off in the middle: one clear line, nothing half published, a rerun completes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors as pg

from trading.adapters import ingest as ingestion
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.sample import Sample
from trading.adapters.staging import Staging
from trading.errors import DiskFullError, EngineUnavailableError, PayloadHashError

pytestmark = pytest.mark.engines
Deliver = Callable[..., Any]
NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
GOOD = "IBM,2024-05-31,166.12,167.47,164.00,166.85,2700000"


def _nothing_published(conn: psycopg.Connection) -> bool:
    tables = ("price_bars", "ingestion_batches", "quarantined_rows", "session_quality")
    return all(conn.execute(f"select count(*) from raw.{table}").fetchone() == (0,) for table in tables)


def test_postgres_killed_in_the_middle_of_publishing_leaves_nothing_and_a_rerun_completes(
    deliver: Deliver, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Staging.insert_new

    def cut_off(staging: Staging, publishing: psycopg.Connection, *rest: Any) -> None:
        original(staging, publishing, *rest)
        conn.execute("select pg_terminate_backend(%s)", (publishing.info.backend_pid,))
        publishing.execute("select 1")

    monkeypatch.setattr(Staging, "insert_new", cut_off)
    with pytest.raises(EngineUnavailableError, match=r"expected PostgreSQL to answer, found: .*run again$") as caught:
        deliver(GOOD)
    assert "\n" not in str(caught.value)
    assert _nothing_published(conn)
    monkeypatch.undo()
    assert deliver(GOOD).rows_published == 1


def test_no_disk_left_for_postgres_is_said_in_one_line_and_publishes_nothing(
    deliver: Deliver, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise pg.DiskFull('could not extend file "base/5/16384": No space left on device\nHINT: Check free disk space.')

    monkeypatch.setattr(Staging, "insert_new", full)
    with pytest.raises(DiskFullError, match=r"could not extend file .* free some disk space and run again$"):
        deliver(GOOD)
    assert _nothing_published(conn)


def test_no_disk_left_for_payloads_is_said_in_one_line_and_publishes_nothing(
    deliver: Deliver, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, store: ObjectStore
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store._client, "put_object", full)
    with pytest.raises(DiskFullError, match="the object store has no space left"):
        deliver("MSFT,2024-05-31,1.5,1.75,1.25,1.5,77")
    assert _nothing_published(conn)


def test_an_object_store_that_is_gone_is_named_and_nothing_is_published(
    database_url: str, conn: psycopg.Connection
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        gone = ObjectStore(endpoint, "k" * 20, "s" * 40)
        with pytest.raises(EngineUnavailableError, match=f"object store at {endpoint} to answer"):
            ingest(Sample(), "actions", now=NOW, database_url=database_url, object_store=gone)
    assert _nothing_published(conn)


def test_postgres_that_is_gone_is_named(store: ObjectStore) -> None:
    with pytest.raises(EngineUnavailableError, match="tradeloom up"):
        ingest(
            Sample(), "actions", now=NOW, database_url="postgresql://nobody@127.0.0.1:1/tradeloom", object_store=store
        )


def test_a_run_that_died_before_deriving_is_completed_by_the_same_call(
    deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(_: str) -> bool:
        raise EngineUnavailableError("gone")

    derived: list[str] = []
    monkeypatch.setattr(ingestion.warehouse, "advance_features", died)
    with pytest.raises(EngineUnavailableError):
        deliver(GOOD)
    monkeypatch.setattr(ingestion.warehouse, "advance_features", lambda url: bool(derived.append(url)))
    assert deliver(GOOD).status == "already ingested"
    assert len(derived) == 1


def test_a_payload_is_kept_once_and_read_back_only_if_it_is_the_same(store: ObjectStore) -> None:
    key = store.put(b"payload of the test")
    assert store.put(b"payload of the test") == key
    sha256 = key.rsplit("/", 1)[1]
    assert (store.get(key, sha256), store.size(key)) == (b"payload of the test", 19)
    with pytest.raises(PayloadHashError, match="found nothing"):
        store.get("payloads/00/absent", sha256)
    with pytest.raises(PayloadHashError, match=f"found {sha256}"):
        store.get(key, "0" * 64)
