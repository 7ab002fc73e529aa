"""A streaming replica answers what its primary answered as of the same publication, and never in silence with less."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
from click.testing import CliRunner

from feature_store.store import FeatureStore
from infra.local import postgres_files as files
from infra.local.doctor import examine
from infra.local.home import Home
from infra.local.postgres import PostgresServer, run_program
from orchestration.cli import tradeloom
from trading.adapters import replicas
from trading.errors import ReplicaBehindError

pytestmark = pytest.mark.engines

FIRST = date(2024, 1, 2)
NOW = datetime(2024, 3, 1, tzinfo=UTC)


def bars(warehouse: Any, first: int, count: int) -> list[Any]:
    price = Decimal("100.00")
    days = [FIRST + timedelta(days=place) for place in range(first, first + count)]
    return [
        warehouse.Bar(symbol, day, price, price + 2, price - 1, price + day.day % 2, 1_000 + day.day)
        for symbol in ("AAA", "BBB")
        for day in days
    ]


def publish(warehouse: Any, first: int, count: int) -> int:
    warehouse.publish("files", bars(warehouse, first, count))
    warehouse.advance()
    return int(warehouse.one("select raw.newest_watermark()"))


@pytest.fixture
def replica(warehouse: Any, engine_home: Home) -> Iterator[str]:
    """The URL of the warehouse's database on a replica, made as docs/scale.md says, after 40 bars of two symbols."""
    warehouse.fill_calendar(FIRST, FIRST + timedelta(days=60))
    publish(warehouse, 0, 40)
    home = Home(Path(tempfile.mkdtemp(prefix="tradeloom-replica-")).resolve())
    home.create()
    shutil.copy2(engine_home.path / "secrets.json", home.path)
    who = files.engine_user()
    command = [str(files.programs(who) / "pg_basebackup"), "-D", str(files.cluster_folder(home, who) / "data")]
    parts = psycopg.conninfo.conninfo_to_dict(warehouse.url)
    host = ["-h", str(parts["host"]), "-U", str(parts["user"])]
    done = run_program([*command, *host, "-R", "-X", "stream", "-c", "fast"], who, PGPASSWORD=str(parts["password"]))
    assert done.returncode == 0, done.stderr
    server = PostgresServer(home, durable=False)
    process = server.start(f"test/{home.digest}/replica")
    yield server.url(str(parts["dbname"]))
    server.stop(process)
    shutil.rmtree(home.path)


def asked(store: FeatureStore, watermark: int | None) -> tuple[Any, Any, Any]:
    service = store.newest_service("t")
    latest = store.latest(service, ["AAA", "BBB"], NOW, watermark)
    history = store.features(service, ["AAA"], NOW, watermark)
    moments = pd.DataFrame(
        {"symbol": ["AAA", "BBB"] * 2_600, "as_of": [NOW - timedelta(minutes=n) for n in range(5_200)]}
    )
    return latest, history.to_dict("list"), store.as_of_join(service, moments, watermark).to_dict("list")


def test_a_replica_answers_as_its_primary_and_refuses_what_it_does_not_hold_yet(
    warehouse: Any, replica: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "PATIENCE_SECONDS", 0.3)
    store, primary = FeatureStore(replica, tmp_path / "a"), FeatureStore(warehouse.url, tmp_path / "b")
    before = int(warehouse.one("select raw.newest_watermark()"))
    assert (store.reads_replica(), primary.reads_replica()) == (True, False)
    with psycopg.connect(replica, autocommit=True) as standby:
        hold_until(standby, before)
        held = repr(asked(store, None))
        assert held == repr(asked(primary, before))

        standby.execute("select pg_wal_replay_pause()")
        wait(lambda: standby.execute("select pg_get_wal_replay_pause_state()").fetchone() == ("paused",))
        after = publish(warehouse, 40, 5)
        assert store.newest_watermark() == before
        assert repr(asked(store, None)) == held, "what the replica does not hold changes no answer as of its own newest"
        assert repr(asked(primary, after)) != held
        for question in (store.latest, store.features):
            with pytest.raises(ReplicaBehindError, match=f"holds watermark {after}, found it at {before}; ask again"):
                question(store.newest_service("t"), ["AAA"], NOW, after)
        the_commands_of_a_reader(warehouse.url, replica, before, after, tmp_path, monkeypatch)

        monkeypatch.setattr(replicas, "PATIENCE_SECONDS", 60.0)
        resume = threading.Timer(0.5, standby.execute, ["select pg_wal_replay_resume()"])
        resume.start()
        assert repr(asked(store, after)) == repr(asked(primary, after)), "a question waits for what is on its way"
        resume.join()
    store.close()
    primary.close()


def the_commands_of_a_reader(
    primary: str, replica: str, before: int, after: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`features`, `features bars` and `doctor` read the replica where one is named."""
    for name, value in (("HOME", str(home)), ("POSTGRES_URL", primary), ("POSTGRES_READ_URL", replica)):
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    for command in ("features", "features bars"):
        words = [*command.split(), "--symbols", "AAA"]
        answer = json.loads(CliRunner().invoke(tradeloom, [*words, "--json"], catch_exceptions=False).stdout)
        assert answer["watermark"] == before
        refused = CliRunner().invoke(tradeloom, [*words, "--watermark", str(after)])
        assert isinstance(refused.exception, ReplicaBehindError)
    told = CliRunner().invoke(tradeloom, ["features", "--symbols", "AAA"], catch_exceptions=False).stdout
    assert told.endswith(f"answered by a replica, as of watermark {before}\n")
    found = [one for one in examine(os.environ) if one.name == "replica"]
    behind = f"at watermark {before}, {after - before} behind the primary"
    assert [(one.ok, one.detail) for one in found] == [(True, behind)]
    monkeypatch.setenv("TRADELOOM_POSTGRES_READ_URL", primary)
    [found_primary] = [one for one in examine(os.environ) if one.name == "replica"]
    assert (found_primary.ok, "found a server that takes writes" in found_primary.detail) == (False, True)


def hold_until(standby: psycopg.Connection, watermark: int) -> None:
    wait(lambda: standby.execute("select raw.newest_watermark() >= %s", (watermark,)).fetchone() == (True,))


def wait(condition: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(1_200):
        if condition():
            return
        ended.wait(0.05)
    raise AssertionError("the replica did not get there within a minute")
