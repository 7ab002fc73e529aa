"""PostgreSQL 18 with pgvector from a wheel: made, started, watched and stopped by ourselves.

Scram passwords on a unix socket in a private folder; no TCP port at all. `PostgresServer(home).start()` returns when
the server answers a query, crash recovery included. Why not the wheel's own `get_server`:
docs/decisions/0010-embedded-engines.md.
"""

from __future__ import annotations

import contextlib
import os
import secrets as random_secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from infra.errors import EngineStartError
from infra.local import postgres_files as files
from infra.local.home import Home
from infra.local.processes import MARK, Identity, RunAs, end, identity, last_line, reap, spawn

SUPERUSER = "tradeloom"
DATABASES = ("tradeloom", "mlflow", "dagster")
STARTUP_SECONDS = 300.0  # crash recovery of a large write-ahead log takes its time


def database_url(url: str, database: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def sqlalchemy_url(url: str, database: str) -> str:
    """Return the URL as MLflow and dagster-postgres need it: the driver named, or SQLAlchemy 2.1 takes another."""
    return urlunsplit(urlsplit(database_url(url, database))._replace(scheme="postgresql+psycopg2"))


@dataclass(frozen=True)
class PostgresServer:
    """The embedded server of one state folder.

    Attributes:
        durable: False only in tests: no fsync, so a power cut (not a kill -9) could lose commits.
    """

    home: Home
    durable: bool = True

    @property
    def log(self) -> Path:
        return self.home.logs / "postgres.log"

    @property
    def public_url(self) -> str:
        """The URL without the password, for people."""
        folder = files.socket_folder(self.home, files.engine_user())
        return f"postgresql://{SUPERUSER}@/tradeloom?host={quote(str(folder), safe='/')}&port=5432"

    def url(self, database: str = "tradeloom") -> str:
        """Return the libpq URL, password included; keep it out of logs and command lines."""
        folder = files.socket_folder(self.home, files.engine_user())
        password = quote(self.home.secrets().postgres_password, safe="")
        return f"postgresql://{SUPERUSER}:{password}@/{database}?host={quote(str(folder), safe='/')}&port=5432"

    def start(self, mark: str) -> Identity:
        """Make the cluster if there is none, start the server, and wait until it answers; return its process.

        Raises:
            EngineStartError: initdb failed, or the server ended or did not answer in time.
        """
        process = self.launch(mark)
        self.wait_until_ready(process)
        return process

    def launch(self, mark: str) -> Identity:
        """Start the server without waiting for it. Call it from a thread that lives as long as the server shall."""
        who = files.engine_user()
        folder = files.cluster_folder(self.home, who)
        data = self._initialised(folder, who)
        sockets = files.socket_folder(self.home, who)
        _remove_stale_locks(data, sockets)
        command = [str(files.programs(who) / "postgres"), "-D", str(data), *self._options(sockets)]
        # SIGINT is PostgreSQL's fast shutdown: roll back, checkpoint, end.
        return spawn(
            command, environment={"LANG": "C", MARK: mark}, log=self.log, run_as=who, on_parent_death=signal.SIGINT
        )

    def wait_until_ready(self, process: Identity, seconds: float = STARTUP_SECONDS) -> None:
        """Wait until a query is answered, then see that our databases exist.

        Raises:
            EngineStartError: The server ended, or time ran out.
        """
        deadline = time.monotonic() + seconds
        while True:
            reap(process)
            if not process.alive():
                raise EngineStartError(f"PostgreSQL ended before it was ready: {last_line(self.log)}; see {self.log}")
            problem = self.problem("postgres")
            if problem is None:
                ensure_databases(self.url("postgres"))
                return
            if time.monotonic() > deadline:
                raise EngineStartError(f"PostgreSQL did not answer within {seconds:.0f} s: {problem}; see {self.log}")
            time.sleep(0.05)

    def problem(self, database: str = "tradeloom") -> str | None:
        """Return why the server does not answer a query; None if it does."""
        return query_problem(self.url(database))

    def stop(self, process: Identity) -> None:
        """End the server: fast shutdown, nothing committed is lost, clients are disconnected."""
        end(process, gently=signal.SIGINT, patience=60)

    def _options(self, sockets: Path) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "max_connections": "200",
            "shared_buffers": "256MB" if self.durable else "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_wal_size": "2GB",
            "wal_level": "replica",
            # One machine may give /dev/shm only 64 MB, which parallel queries outgrow.
            "dynamic_shared_memory_type": "posix" if _shared_memory_is_ample() else "mmap",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _initialised(self, folder: Path, who: RunAs) -> Path:
        """Return the data folder; initdb makes it under another name, so that half a cluster is never taken for one."""
        data = folder / "data"
        if data.exists():
            return data
        unfinished = folder / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        password = folder / f"password-{random_secrets.token_hex(4)}"
        password.touch(mode=0o600)
        try:
            os.chown(password, who.uid, who.gid)
            password.write_text(self.home.secrets().postgres_password)
            self._initdb(unfinished, password, who)
        finally:
            password.unlink()
        unfinished.rename(data)
        return data

    def _initdb(self, data: Path, password: Path, who: RunAs) -> None:
        command = [str(files.programs(who) / "initdb"), "-D", str(data), "-U", SUPERUSER, f"--pwfile={password}"]
        # A builtin collation: the order of texts then depends on no library of the machine.
        command += ["--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", *([] if self.durable else ["--no-sync"])]
        done = run_program(command, who)
        if done.returncode != 0:
            reason = _reason(done.stderr or done.stdout)
            raise EngineStartError(
                f"initdb could not make a cluster in {data.parent}: {reason}; mend that and run again"
            )


def run_program(command: list[str], who: RunAs, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as the engine's user and return what it said."""
    user = {"user": who.uid, "group": who.gid, "extra_groups": []} if who.is_other else {}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, cwd="/", env={"LANG": "C", **environment}, capture_output=True, text=True, check=False, **user
    )


def _reason(output: str) -> str:
    """Return the line of a program's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "fatal" in line.lower() or "cannot" in line.lower()]
    return (wrong or lines or ["no message"])[0][:300]


def query_problem(url: str) -> str | None:
    """Return why this PostgreSQL does not answer a query; None if it does."""
    try:
        with psycopg.connect(url, connect_timeout=3, autocommit=True) as conn:
            conn.execute("select 1")
    except psycopg.Error as error:
        return (str(error).strip() or type(error).__name__).splitlines()[-1]
    return None


def ensure_databases(url: str, names: tuple[str, ...] = DATABASES) -> None:
    """Create the databases that are not there yet; `url` names any database of the server."""
    with psycopg.connect(url, connect_timeout=10, autocommit=True) as conn:
        there = {name for (name,) in conn.execute("select datname from pg_database")}
        for name in names:
            if name not in there:
                with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                    conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def _remove_stale_locks(data: Path, sockets: Path) -> None:
    """Remove the lock files of a killed server: its pid may be another process by now, and PostgreSQL would refuse."""
    for lock in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(lock.read_text().splitlines()[0])
            if not _is_server_of(pid, data):
                lock.unlink()


def _is_server_of(pid: int, data: Path) -> bool:
    try:
        return str(data) in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return identity(pid) is not None and not Path("/proc/self").exists()


def _shared_memory_is_ample() -> bool:
    try:
        return shutil.disk_usage("/dev/shm").total >= 1 << 30
    except OSError:
        return False
