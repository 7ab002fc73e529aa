"""`tradeloom up`, `down`, `backup` and `restore` as a user runs them: two state folders, kills, and what listens
where.
"""

from __future__ import annotations

import io
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from infra.errors import PlatformError
from infra.local import platform, ports
from infra.local.endpoints import KEYS, VARIABLES, Endpoints
from infra.local.home import Home
from infra.local.object_store import minio_client
from infra.local.platform import running_platform
from infra.local.processes import identity, marked, wait_until_gone
from infra.local.services import NAMES, mark_of
from infra.local.status import service_states

pytestmark = pytest.mark.engines
OBJECT = "payloads/a b+ü"


def clean_environment(folder: Path) -> dict[str, str]:
    ours = {*VARIABLES.values(), *KEYS}
    return {**{key: value for key, value in os.environ.items() if key not in ours}, "TRADELOOM_HOME": str(folder)}


def tradeloom(environ: Mapping[str, str], *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "orchestration.cli", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def states(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {state.name: vars(state) for state in service_states(environ)}


def pids(home: Home) -> set[int]:
    found = {process.pid: process for name in NAMES for process in marked(mark_of(home, name))}
    return set(found) | {child for process in found.values() for child in _children(process)}


def _children(process: psutil.Process) -> set[int]:
    with suppress(psutil.NoSuchProcess):  # it may end while it is asked
        return {child.pid for child in process.children(recursive=True)}
    return set()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tradeloom-up-")).resolve()
    made.chmod(0o711)  # PostgreSQL's user passes through; else root's data would lie outside and stay there
    yield made / "home"
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[dict[str, str]]:
    """A platform of PostgreSQL and S3, kept up by a detached supervisor."""
    environ = clean_environment(folder)
    with socket.socket() as taken:  # the preferred port is somebody else's, whoever that is
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ports.is_free(ports.PREFERRED["s3"]):
            taken.bind(("127.0.0.1", ports.PREFERRED["s3"]))
            taken.listen()
        tradeloom(environ, "up", "--detach", "postgres", "s3")
    yield environ
    tradeloom(environ, "down")
    assert pids(Home(folder)) == set()


def test_up_returns_when_all_is_healthy_and_status_says_where(up: dict[str, str]):
    found = {state["name"]: state for state in json.loads(tradeloom(up, "status", "--json"))["services"]}
    assert found["postgres"]["healthy"]
    assert found["s3"]["healthy"]
    assert not found["mlflow"]["healthy"]
    assert found["s3"]["url"].startswith("http://127.0.0.1:")
    assert found["s3"]["url"] != f"http://127.0.0.1:{ports.PREFERRED['s3']}"
    assert Endpoints.resolve(up).postgres_url.split("@")[0].split(":")[2] not in json.dumps(found)


def test_only_loopback_is_listened_on(up: dict[str, str], folder: Path):
    ours = pids(Home(folder))
    assert len(ours) > 5
    listening = [
        link for link in psutil.net_connections("inet") if link.pid in ours and link.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {link.laddr.ip for link in listening if not ipaddress.ip_address(link.laddr.ip).is_loopback} == set()


def test_no_command_line_shows_a_secret(up: dict[str, str], folder: Path):
    secrets = set(vars(Home(folder).secrets()).values())
    lines = [" ".join(psutil.Process(pid).cmdline()) for pid in pids(Home(folder))]
    assert not [line for line in lines if any(secret in line for secret in secrets)]


def test_every_file_with_a_secret_is_ours_alone(up: dict[str, str], folder: Path):
    secrets = [secret.encode() for secret in vars(Home(folder).secrets()).values()]
    files = [path for path in folder.rglob("*") if path.is_file() and "postgres/data" not in str(path)]
    holding = [path for path in files if any(secret in path.read_bytes() for secret in secrets)]
    assert {path.name for path in holding} >= {"secrets.json", "s3-identities.json"}
    reachable = [path for path in holding if path.stat().st_mode & 0o077 and path.parent.stat().st_mode & 0o011]
    assert reachable == []


def test_a_second_up_is_refused_and_changes_nothing(up: dict[str, str], folder: Path):
    before = pids(Home(folder))
    assert "tradeloom down" in tradeloom(up, "up", "--detach", "postgres", code=1)
    assert pids(Home(folder)) >= {pid for pid in before if identity(pid)}


def test_a_platform_that_runs_is_used_and_left_running(up: dict[str, str], folder: Path):
    with running_platform({"postgres"}, up) as endpoints, psycopg.connect(endpoints.postgres_url) as conn:
        assert conn.execute("select current_database()").fetchone() == ("tradeloom",)
    assert states(up)["postgres"]["healthy"]


def test_an_engine_that_dies_is_started_again(up: dict[str, str]):
    first = states(up)["postgres"]["pid"]
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not ((state := states(up)["postgres"])["healthy"] and state["pid"] != first):
        assert time.monotonic() < deadline, state
        time.sleep(0.3)


def test_a_killed_supervisor_leaves_no_stray_and_loses_nothing(up: dict[str, str], folder: Path):
    with psycopg.connect(Endpoints.resolve(up).postgres_url) as conn:
        conn.execute("create table kept as select 7 as seven")
    supervisor = identity(json.loads((folder / "run" / "supervisor.json").read_text())["process"]["pid"])
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert wait_until_gone(supervisor, 10)
    tradeloom(up, "up", "--detach", "postgres", "s3")
    running = {record["pid"] for record in states(up).values() if record["pid"]}
    roots = {process.pid for name in NAMES for process in marked(mark_of(Home(folder), name))}
    assert roots == running
    with psycopg.connect(Endpoints.resolve(up).postgres_url) as conn:
        assert conn.execute("select seven from kept").fetchone() == (7,)


def test_doctor_examines_without_touching(up: dict[str, str]):
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "doctor", "--json"],
        env=up,
        capture_output=True,
        text=True,
        check=False,
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == (0 if all(check["ok"] for check in checks.values()) else 1)
    assert checks["migrations"] == {"name": "migrations", "ok": True, "detail": "none pending"}
    assert checks["stray processes"]["ok"]
    assert checks["disk use: postgres"]["detail"].split()[0] != "0"


@pytest.fixture(scope="module")
def saved(up: dict[str, str], folder: Path) -> Path:
    """A backup of a thousand rows and an object with a name, a type and metadata that are easily lost."""
    endpoints = Endpoints.resolve(up)
    minio_client(endpoints.object_store).put_object(
        "tradeloom", OBJECT, io.BytesIO(b"bytes" * 1000), 5000, content_type="text/csv", metadata={"kind": "prices"}
    )
    with psycopg.connect(endpoints.postgres_url) as conn:
        conn.execute("create table saved as select n, md5(n::text) as digest from generate_series(1, 1000) n")
    file = folder.parent / "backup.tar"
    tradeloom(up, "backup", str(file))
    return file


def test_a_backup_is_ours_alone_and_replaces_no_file(up: dict[str, str], saved: Path):
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "found one" in tradeloom(up, "backup", str(saved), code=1)


def test_a_backup_restores_the_same_rows_and_objects_beside_the_first(up: dict[str, str], saved: Path):
    other = clean_environment(saved.parent / "restored")
    tradeloom(other, "restore", str(saved))
    with running_platform({"postgres", "s3"}, other) as restored:
        assert restored.postgres_url != Endpoints.resolve(up).postgres_url
        with psycopg.connect(restored.postgres_url) as conn:
            counted = conn.execute(
                "select count(*), count(*) filter (where digest = md5(n::text)) from saved"
            ).fetchone()
        assert counted == (1000, 1000)
        found = minio_client(restored.object_store).get_object("tradeloom", OBJECT)
        assert found.read() == b"bytes" * 1000
        assert found.headers["content-type"] == "text/csv"
        assert found.headers["x-amz-meta-kind"] == "prices"
        found.close()
        assert states(up)["s3"]["healthy"]  # two state folders, side by side
    assert "found one" in tradeloom(other, "restore", str(saved), code=1)


def test_a_damaged_backup_restores_nothing(up: dict[str, str], saved: Path):
    other, copy = clean_environment(saved.parent / "damaged"), saved.parent / "damaged.tar"
    content = bytearray(saved.read_bytes())
    at = content.index(b"bytesbytesbytes")
    content[at : at + 5] = b"BYTES"
    copy.write_bytes(content)
    assert "differ from the manifest" in tradeloom(other, "restore", str(copy), code=1)
    copy.write_bytes(content[: len(content) // 2])
    assert "expected a whole backup" in tradeloom(other, "restore", str(copy), code=1)
    assert {path.name for path in saved.parent.iterdir()} <= {"backup.tar", "home", "restored", "damaged.tar"}


def test_what_is_set_from_outside_is_used_and_not_started(database_url: str, tmp_path: Path):
    home = tmp_path / "home"
    environ = {**clean_environment(home), "TRADELOOM_POSTGRES_URL": database_url}
    with running_platform({"postgres"}, environ) as endpoints:
        assert endpoints.postgres_url == database_url
        assert pids(Home(home)) == set()


def test_what_is_set_from_outside_and_not_there_is_named_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "OUTSIDE_SECONDS", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://nobody:x@127.0.0.1:{taken.getsockname()[1]}/tradeloom"
        environ = {**clean_environment(tmp_path / "home"), "TRADELOOM_POSTGRES_URL": url}
        with pytest.raises(PlatformError) as caught, running_platform({"postgres"}, environ):
            raise AssertionError("it cannot run")
    assert str(caught.value).startswith("postgres was not ready within 0 s: ")
    assert str(caught.value).endswith("; check TRADELOOM_POSTGRES_URL")
    assert "\n" not in str(caught.value)


def test_a_home_that_the_engine_cannot_reach_still_works(tmp_path: Path):
    deep = tmp_path / ("long" * 20) / "closed"
    deep.mkdir(parents=True)
    deep.chmod(0o700)
    environ = clean_environment(deep / "home")
    with running_platform({"postgres"}, environ) as endpoints, psycopg.connect(endpoints.postgres_url) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
    where = deep / "home" / "postgres.json"
    if where.exists():  # root's cluster lies outside; the test cleans up what it made
        shutil.rmtree(json.loads(where.read_text())["folder"])


def test_an_unknown_service_is_refused(tmp_path: Path):
    with pytest.raises(PlatformError, match="found redis"), running_platform({"redis"}, clean_environment(tmp_path)):
        pass


@pytest.mark.long
def test_all_services_come_up_on_loopback_and_go_with_their_supervisor(folder: Path):
    environ = clean_environment(folder.parent / "whole")
    home = Home(folder.parent / "whole")
    tradeloom(environ, "up", "--detach")
    try:
        assert {name for name, state in states(environ).items() if not state["healthy"]} == set()
        ours = pids(home)
        listening = [link for link in psutil.net_connections("inet") if link.pid in ours and link.status == "LISTEN"]
        assert {link.laddr.ip for link in listening if not ipaddress.ip_address(link.laddr.ip).is_loopback} == set()
        os.kill(json.loads((home.run / "supervisor.json").read_text())["process"]["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 90
        while pids(home):
            assert time.monotonic() < deadline, pids(home)
            time.sleep(0.5)
    finally:
        tradeloom(environ, "down")
    assert pids(home) == set()
