"""Migrations: plain SQL files, applied once each, in the order of their names.

Each file is one transaction; `public.schema_migrations` records its sha256. A file that changed after it was applied
is refused: write a new one.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import psycopg

from infra.errors import MigrationError

FOLDER = Path(__file__).with_name("migrations")
_ONE_AT_A_TIME = 5_812_377_301  # advisory lock: two starts migrate one after the other


def migrate(url: str, folder: Path = FOLDER) -> list[str]:
    """Apply what is pending; return the versions applied now, such as "0001_time".

    Raises:
        MigrationError: A file failed (nothing of it stays), or was changed after it was applied.
    """
    with _connected(url) as conn:
        conn.execute("select pg_advisory_lock(%s)", (_ONE_AT_A_TIME,))
        conn.execute(
            "create table if not exists public.schema_migrations ("
            "version text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        waiting = _pending(conn, folder)
        for file in waiting:
            _apply(conn, file)
    return [file.stem for file in waiting]


def pending(url: str, folder: Path = FOLDER) -> list[str]:
    """Return the versions that `migrate` would apply, without touching anything.

    Raises:
        MigrationError: A file was changed after it was applied.
    """
    with _connected(url) as conn:
        return [file.stem for file in _pending(conn, folder)]


def _connected(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name="tradeloom-migrate", options="-c timezone=UTC"
        )
    except psycopg.OperationalError as error:
        reason = (str(error).strip() or "no answer").splitlines()[-1]
        raise MigrationError(f"expected PostgreSQL to answer, found: {reason}; start it with `tradeloom up`") from error


def _pending(conn: psycopg.Connection, folder: Path) -> list[Path]:
    applied = _applied(conn)
    for version in applied.keys() - {file.stem for file in folder.glob("*.sql")}:
        raise MigrationError(f"the database has migration {version}, which this checkout has not; update the checkout")
    waiting = []
    for file in sorted(folder.glob("*.sql")):
        digest = applied.get(file.stem)
        if digest is None:
            waiting.append(file)
        elif digest != sha256(file.read_bytes()).hexdigest():
            raise MigrationError(f"{file.name} was changed after it was applied; put the change into a new file")
    return waiting


def _applied(conn: psycopg.Connection) -> dict[str, str]:
    found = conn.execute("select to_regclass('public.schema_migrations') is not null").fetchone()
    if found is None or not found[0]:
        return {}
    return dict(conn.execute("select version, sha256 from public.schema_migrations").fetchall())


def _apply(conn: psycopg.Connection, file: Path) -> None:
    text = file.read_bytes()
    try:
        with conn.transaction():
            conn.execute(text)
            conn.execute(
                "insert into public.schema_migrations (version, sha256) values (%s, %s)",
                (file.stem, sha256(text).hexdigest()),
            )
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MigrationError(f"migration {file.name} failed and left nothing behind: {reason}") from error
