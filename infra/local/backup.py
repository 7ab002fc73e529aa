"""`tradeloom backup`: the state folder in one file that restores elsewhere.

A tar with PostgreSQL's base backup, every object as S3 gave it, the secrets and the other files, and `manifest.json`
with the sha256 of each. PostgreSQL goes first: objects are put before the row that names them and never deleted, so
every object that the backed up rows name is there when the objects are listed afterwards. Engines may be running;
stopped ones are run for the length of the backup.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from infra.errors import BackupError
from infra.local import postgres_files as files
from infra.local.endpoints import KEYS, VARIABLES, Endpoints
from infra.local.home import Home
from infra.local.object_store import minio_client
from infra.local.platform import running_platform

FORMAT = 1
MANIFEST = "manifest.json"
POSTGRES, OBJECTS, FILES = "postgres/", "objects/", "files/"
# Made anew wherever the folder is used, or taken through the engines instead.
LEFT_OUT = frozenset(
    {
        "run",
        "cache",
        "logs",
        "postgres",
        "postgres.json",
        "postgres-socket",
        "objects",
        "bentoml",
        "s3-identities.json",
        "ports.json",
    }
)


@dataclass
class Archive:
    """A tar being written, and its table of contents."""

    tar: tarfile.TarFile
    entries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, file: Path, name: str, **more: Any) -> None:
        """Add one file under `name`, with its hash and whatever else restoring it needs."""
        with file.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        info = self.tar.gettarinfo(file, name)
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        with file.open("rb") as stream:
            self.tar.addfile(info, stream)
        self.entries.append({"name": name, "sha256": digest, "bytes": info.size, **more})


def backup(environ: Mapping[str, str], target: Path) -> dict[str, Any]:
    """Write a backup of the state folder into `target` (0600: it holds the secrets); return what it contains.

    Raises:
        BackupError: There is nothing to back up, the file exists, or PostgreSQL could not be copied.
    """
    home = Home.resolve(environ)
    target = target.expanduser().absolute()
    _check(home, target)
    ours = {name: value for name, value in environ.items() if name not in (*VARIABLES.values(), *KEYS)}
    with (
        running_platform({"postgres", "s3"}, ours, migrating=False) as endpoints,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as work,
    ):
        unfinished = Path(work) / target.name
        with _opened(unfinished) as tar:
            archive = Archive(tar)
            directories = _add_postgres(archive, endpoints, Path(work) / "data")
            _add_objects(archive, endpoints, Path(work) / "object")
            for file in sorted(_other_files(home)):
                archive.add(file, FILES + str(file.relative_to(home.path)))
            manifest = _manifest(archive.entries, directories)
            (Path(work) / MANIFEST).write_text(json.dumps(manifest))
            tar.add(Path(work) / MANIFEST, MANIFEST)
        with unfinished.open("rb") as stream:
            os.fsync(stream.fileno())
        os.link(unfinished, target)  # unlike a rename it never replaces a file
    return {"file": str(target), "bytes": target.stat().st_size, **_counts(archive.entries)}


def _check(home: Home, target: Path) -> None:
    if not (home.path / "secrets.json").exists():
        raise BackupError(f"expected a state folder at {home.path}, found none; name it by TRADELOOM_HOME")
    if target.exists():
        raise BackupError(f"expected no file at {target}, found one; name another or remove it")
    if not target.parent.is_dir():
        raise BackupError(f"expected the folder {target.parent}, found none; make it")
    if target.is_relative_to(home.path):
        raise BackupError(f"expected a file outside {home.path}, found {target}; a backup inside would be lost with it")


def _opened(file: Path) -> tarfile.TarFile:
    file.touch(mode=0o600)
    return tarfile.open(file, "w:gz", compresslevel=1) if file.suffix in (".gz", ".tgz") else tarfile.open(file, "w")


def _add_postgres(archive: Archive, endpoints: Endpoints, folder: Path) -> list[str]:
    """Add a base backup; return its folders, some of which are empty and must be there."""
    program = files.programs(files.engine_user()) / "pg_basebackup"
    # The URL goes through the environment: it holds the password.
    password, where = _without_password(endpoints.postgres_url)
    done = subprocess.run(
        [str(program), "-d", where, "-D", str(folder), "-X", "stream", "--checkpoint=fast", "--no-sync"],
        env={"PGPASSWORD": password, "LANG": "C"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        raise BackupError(f"PostgreSQL could not be copied: {reason}; nothing was written")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        archive.add(file, POSTGRES + str(file.relative_to(folder)))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir())


def _without_password(url: str) -> tuple[str, str]:
    from urllib.parse import unquote, urlsplit, urlunsplit

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return unquote(parts.password or ""), urlunsplit(parts._replace(netloc=f"{parts.username}@{host}"))


def _add_objects(archive: Archive, endpoints: Endpoints, scratch: Path) -> None:
    client = minio_client(endpoints.object_store)
    number = 0
    for bucket in client.list_buckets():
        for found in client.list_objects(bucket.name, recursive=True):
            if found.is_dir:
                continue
            held = client.fget_object(bucket.name, found.object_name, str(scratch))
            metadata = {
                key: value for key, value in (held.metadata or {}).items() if key.lower().startswith("x-amz-meta-")
            }
            archive.add(
                scratch,
                f"{OBJECTS}{number}",
                bucket=bucket.name,
                key=found.object_name,
                content_type=held.content_type or "application/octet-stream",
                metadata=metadata,
            )
            number += 1


def _other_files(home: Home) -> Iterator[Path]:
    for part in home.path.iterdir():
        if part.name in LEFT_OUT or part.is_symlink():
            continue
        yield from (
            path for path in (part.rglob("*") if part.is_dir() else [part]) if path.is_file() and not path.is_symlink()
        )


def _manifest(entries: list[dict[str, Any]], directories: list[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "created_at": datetime.now(UTC).isoformat(),
        "postgres": files.VERSION,
        "postgres_directories": directories,
        "entries": entries,
    }


def _counts(entries: list[dict[str, Any]]) -> dict[str, int]:
    return {
        part.rstrip("/"): sum(entry["name"].startswith(part) for entry in entries)
        for part in (POSTGRES, OBJECTS, FILES)
    }
