"""`doctor` names what takes space, what has grown since the last look, and what can be done about it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local import sizes
from infra.local.disk import in_words
from infra.local.object_store import minio_client
from infra.local.sizes import Size, measure

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_size_says_how_much_how_many_since_when_and_what_to_do() -> None:
    grown = Size("table raw.x", 3 << 20, "keep it", 1 << 20, 12_345, "", -2048, "2026-11-19 12:00 UTC")
    assert grown.sentence() == ("3 MB + 1 MB of indexes, 12,345 rows; -2 KB since 2026-11-19 12:00 UTC; keep it")
    assert Size("folder cache", 10, "drop it").sentence() == "10 B; drop it"
    assert [in_words(count) for count in (1023, 1024, 1 << 30)] == ["1023 B", "1 KB", "1.0 GB"]


@pytest.mark.engines
def test_what_grew_between_two_looks_is_told_and_a_look_is_kept_once_an_hour(
    database_url: str, object_store_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = object_store_settings
    environ = {
        "TRADELOOM_HOME": str(tmp_path),
        "TRADELOOM_POSTGRES_URL": database_url,
        "TRADELOOM_S3_ENDPOINT": s3.endpoint,
        "TRADELOOM_S3_ACCESS_KEY": s3.access_key,
        "TRADELOOM_S3_SECRET_KEY": s3.secret_key,
        "TRADELOOM_S3_BUCKET": s3.bucket,
    }
    monkeypatch.setattr(sizes, "database_url", lambda url, name: url)  # Dagster's tables beside ours
    client = minio_client(s3)
    client.put_object(s3.bucket, "sizes-test/one", io.BytesIO(b"x" * 1000), 1000)
    (tmp_path / "cache").mkdir()
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("create table raw.grows (n bigint, words text) partition by range (n)")
        for part in (0, 1):
            bounds = f"({part * 50_000}) to ({(part + 1) * 50_000})"
            conn.execute(f"create table raw.grows_{part} partition of raw.grows for values from {bounds}")
        conn.execute("create index on raw.grows (n)")
        conn.execute("create table event_logs (id bigint primary key, timestamp timestamp)")
        conn.execute("insert into event_logs values (1, '2026-09-01'), (2, '2026-11-01')")
        fill = "insert into raw.grows select n, repeat('x', 200) from generate_series(%s::bigint, %s::bigint) as n"
        conn.execute(fill, (1, 20_000))
        conn.execute("vacuum analyze raw.grows, event_logs")
        first = {size.name: size for size in measure(environ, NOW)}
        # A partitioned table is one: both its parts, by its own name.
        assert first["table raw.grows"].count == 20_000
        assert first["table raw.grows"].bytes > 4_000_000
        assert first["table raw.grows"].index_bytes > 100_000
        assert not [name for name in first if "grows_" in name]
        log = first["Dagster's event log"]
        assert (log.count, log.note, "purge runs" in log.remedy) == (2, "since 2026-09-01", True)
        assert (first["objects sizes-test/"].bytes, first["objects sizes-test/"].count) == (1000, 1)
        assert first["table raw.grows"].grown is None

        conn.execute(fill, (20_001, 70_000))
        client.put_object(s3.bucket, "sizes-test/two", io.BytesIO(b"x" * 500), 500)
        (tmp_path / "cache" / "rows").write_bytes(b"x" * 100_000)
        second = {size.name: size for size in measure(environ, NOW + timedelta(minutes=5))}
    table = second["table raw.grows"]
    assert table.grown == table.total - first["table raw.grows"].total
    assert table.since == "2026-11-20 12:00 UTC"
    assert table.grown > 10_000_000
    assert second["objects sizes-test/"].grown == 500
    assert (second["folder cache"].grown or 0) >= 100_000
    looks = json.loads((tmp_path / "sizes.json").read_text())
    assert [look["at"] for look in looks] == [NOW.isoformat()]
    measure(environ, NOW + timedelta(hours=2))
    assert len(json.loads((tmp_path / "sizes.json").read_text())) == 2


def test_where_nothing_runs_only_folders_are_told_and_an_unreadable_look_is_none(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "sizes.json").write_text("{")
    (found,) = measure({"TRADELOOM_HOME": str(tmp_path)}, NOW)
    assert (found.name, found.grown) == ("folder reports", None)
