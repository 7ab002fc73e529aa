"""A managed PostgreSQL: a role with no more rights than a cloud gives, over TLS only, on few connections."""

from __future__ import annotations

import json
import os
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from infra.errors import EngineStartError, MigrationError
from infra.local import services
from infra.local.endpoints import Endpoints
from infra.local.postgres import database_url, ensure_databases
from infra.local.services import prepare
from orchestration.cli import tradeloom

pytestmark = pytest.mark.engines

CONNECTIONS = 8
HOLIDAYS = (date(2024, 1, 15), date(2024, 2, 19))


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "managed")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    signed = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    (folder / "server.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return folder / "server.crt", folder / "server.key"


class TlsDoor:
    """TLS before the embedded server, whose build has none: what comes over TLS goes on to its socket."""

    def __init__(self, folder: Path, target: str) -> None:
        self.certificate, key = certificate(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._context.set_alpn_protocols(["postgresql"])
        self._listening, self._target = socket.create_server(("127.0.0.1", 0)), target
        self.port, self.served = self._listening.getsockname()[1], 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                break
            threads.append(threading.Thread(target=self._serve, args=(plain,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, plain: socket.socket) -> None:
        try:
            outer = self._context.wrap_socket(plain, server_side=True)
        except (ssl.SSLError, OSError):
            plain.close()
            return
        self.served += 1
        with outer, socket.socket(socket.AF_UNIX) as inner:
            inner.connect(self._target)
            outer.setblocking(False)
            inner.setblocking(False)
            _pump(outer, inner)


def _pump(outer: ssl.SSLSocket, inner: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    import select

    while True:
        if not outer.pending():
            select.select([outer, inner], [], [], 60)
        for source, sink in ((outer, inner), (inner, outer)):
            try:
                arrived = source.recv(65_536)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            except OSError:
                return
            if not arrived:
                return
            sink.setblocking(True)
            with suppress(OSError):
                sink.sendall(arrived)
            sink.setblocking(False)


@dataclass(frozen=True)
class Managed:
    """What a cloud hands out: an address with a certificate, a role, and a database of its own with pgvector in it.

    The databases of MLflow and Dagster are there as well: the server of this session has made them.
    """

    url: str
    plain_url: str
    role: str
    door: TlsDoor


@pytest.fixture
def managed(postgres_url: str, tmp_path: Path) -> Iterator[Managed]:
    role, password = f"app_{secrets.token_hex(4)}", secrets.token_hex(8)
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    door = TlsDoor(tmp_path, f"{parts['host']}/.s.PGSQL.{parts['port']}")
    with psycopg.connect(database_url(postgres_url, "postgres"), autocommit=True) as admin:
        limits = f"login nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit {CONNECTIONS}"
        admin.execute(sql.SQL("create role {} " + limits + " password {}").format(sql.Identifier(role), password))
        admin.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(role), sql.Identifier(role)))
        with psycopg.connect(database_url(postgres_url, role), autocommit=True) as there:
            there.execute("create extension vector")
        address = f"postgresql://{role}:{password}@127.0.0.1:{door.port}/{role}"
        verified = f"?sslmode=verify-full&sslrootcert={door.certificate}&sslnegotiation=direct"
        yield Managed(address + verified, address + "?sslmode=disable", role, door)
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (role,))
        door.close()
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(role)))
        admin.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def bars(first: date, count: int) -> str:
    days = [first + timedelta(days=n) for n in range(count)]
    rows = [
        f"{name},{day},100.5,103,99,10{day.day % 3},1000"
        for name in ("AAA", "BBB")
        for day in days
        if day.weekday() < 5 and day not in HOLIDAYS
    ]
    return "\n".join(["symbol,date,open,high,low,close,volume", *rows, ""])


@pytest.mark.long
def test_the_platform_works_as_a_role_without_any_privilege_over_tls(
    managed: Managed, object_store_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = object_store_settings
    values = {
        "HOME": str(tmp_path / "home"), "POSTGRES_URL": managed.url, "S3_ENDPOINT": s3.endpoint, "S3_BUCKET": s3.bucket,
        "S3_ACCESS_KEY": s3.access_key, "S3_SECRET_KEY": s3.secret_key,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(managed.plain_url).close()
    assert managed.door.served == 0, "nobody is let in without TLS"

    endpoints = Endpoints.resolve(os.environ)
    applied = [done for done in prepare("postgres", endpoints, embedded=False) if done.startswith("migration ")]
    assert len(applied) == len(list((Path(__file__).parents[3] / "infra/postgres/migrations").glob("*.sql")))
    with psycopg.connect(managed.url) as conn:
        assert conn.execute("select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = user").fetchone() == (
            False, False, False,
        )  # fmt: skip

    (tmp_path / "history.csv").write_text(bars(date(2024, 1, 2), 60))
    (tmp_path / "drop.csv").write_text(bars(date(2024, 3, 4), 1))
    assert asked("ingest prices --source files --history", f"--file={tmp_path / 'history.csv'}")["rows_published"] == 84
    live = ("--live", "--delivered-at=2024-03-04T21:30:00Z", f"--file={tmp_path / 'drop.csv'}")
    assert asked("ingest prices --source files", *live)["rows_published"] == 2
    rows = asked("features --symbols AAA,BBB --as-of 2024-03-04T22:00:00Z")["rows"]
    assert [(row["symbol"], row["timestamp"][:10]) for row in rows] == [("AAA", "2024-03-04"), ("BBB", "2024-03-04")]
    assert all(row["rsi_14"] is not None for row in rows)
    assert len(asked("features bars --symbols AAA")["series"][0]["bars"]) == 43
    assert asked("features export --view raw.price_bars")["rows"] == 86
    asked("charts add range 1 --source files --symbols AAA --from 1d")
    assert asked("features compact --older-than 1 --dry-run")
    assert [one["ok"] for one in asked("doctor")["checks"] if one["name"] == "migrations"] == [True]


def asked(command: str, *more: str) -> Any:
    done = CliRunner().invoke(tradeloom, [*command.split(), *more, "--json"], catch_exceptions=False)
    return json.loads(done.stdout)


def test_what_the_provider_must_make_first_is_said(
    managed: Managed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres_url: str
) -> None:
    endpoints = Endpoints.resolve({"TRADELOOM_HOME": str(tmp_path), "TRADELOOM_POSTGRES_URL": managed.url})
    with psycopg.connect(database_url(postgres_url, managed.role), autocommit=True) as there:
        there.execute("drop extension vector")
    with pytest.raises(
        MigrationError, match=r'0001_time\.sql failed .*: permission denied to create extension "vector"'
    ):
        prepare("postgres", endpoints, embedded=False)
    monkeypatch.setattr(services, "ensure_databases", partial(ensure_databases, names=("not_there",)))
    with pytest.raises(EngineStartError, match="could not make them: permission denied to create database; make them"):
        prepare("postgres", endpoints, embedded=False)
