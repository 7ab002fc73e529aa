"""`tradeloom restore`: a state folder from a backup, whole or not at all.

Everything is unpacked beside the new state folder, checked against the manifest and brought into place by one rename.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from infra.errors import BackupError, PlatformError
from infra.local import ports
from infra.local import postgres_files as files
from infra.local.backup import FILES, FORMAT, MANIFEST, OBJECTS, POSTGRES
from infra.local.home import Home
from infra.local.object_store import ObjectStore, minio_client
from infra.local.processes import RunAs


def restore(environ: Mapping[str, str], source: Path) -> dict[str, Any]:
    """Make the state folder from a backup; return what was restored.

    Raises:
        BackupError: The state folder holds something, or the file is no backup or differs from its manifest.
    """
    home = Home.resolve(environ)
    if home.path.exists() and (not home.path.is_dir() or any(home.path.iterdir())):
        raise BackupError(f"expected no state folder at {home.path}, found one; name a new one by TRADELOOM_HOME")
    home.path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Home(home.path.with_name(f"{home.path.name[:40]}.restoring-{secrets.token_hex(3)}"))
    unfinished.create()
    try:
        with tempfile.TemporaryDirectory(dir=home.path.parent, prefix=".restore-") as work:
            entries = _restore_into(unfinished, _unpacked(source.expanduser(), Path(work)), Path(work))
        os.sync()
        _take_place(unfinished, home)
    except BaseException:
        _remove(unfinished)
        raise
    return {"home": str(home.path), "entries": entries}


def _unpacked(source: Path, work: Path) -> dict[str, Any]:
    """Unpack a backup and return its manifest, with which every file agrees."""
    try:
        with tarfile.open(source) as tar:
            tar.extractall(work, filter="data")
        manifest = json.loads((work / MANIFEST).read_text())
        named = {entry["name"]: entry["sha256"] for entry in manifest["entries"]}
    except (OSError, tarfile.TarError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        reason = str(error) or type(error).__name__
        raise BackupError(f"expected a whole backup in {source}, found: {reason}; take another copy") from error
    if manifest.get("format") != FORMAT or manifest["postgres"].split(".")[0] != files.VERSION.split(".")[0]:
        raise BackupError(
            f"expected a backup of format {FORMAT} and PostgreSQL {files.VERSION}, found another; use its own release"
        )
    there = {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()} - {MANIFEST}
    odd = sorted(there ^ named.keys()) + sorted(
        name for name in there & named.keys() if _sha256(work / name) != named[name]
    )
    if odd:
        raise BackupError(
            f"{source}: {len(odd)} files differ from the manifest, the first is {odd[0]}; take another copy"
        )
    return dict(manifest)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _restore_into(home: Home, manifest: Mapping[str, Any], work: Path) -> int:
    for entry in manifest["entries"]:
        if entry["name"].startswith(FILES):
            place = home.path / entry["name"].removeprefix(FILES)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.move(work / entry["name"], place)
            place.chmod(0o600)
    _place_cluster(home, manifest["postgres_directories"], work / POSTGRES)
    objects = [entry for entry in manifest["entries"] if entry["name"].startswith(OBJECTS)]
    if objects:
        _put_objects(home, objects, work)
    return len(manifest["entries"])


def _place_cluster(home: Home, directories: list[str], unpacked: Path) -> None:
    who = files.engine_user()
    data = files.cluster_folder(home, who) / "data"
    for folder in directories:
        (unpacked / folder).mkdir(parents=True, exist_ok=True)
    shutil.move(unpacked, data)
    for path in (data, *data.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        _give(path, who)


def _give(path: Path, who: RunAs) -> None:
    if who.is_other:
        os.chown(path, who.uid, who.gid)


def _put_objects(home: Home, objects: list[dict[str, Any]], work: Path) -> None:
    """Run the object store of the new folder for as long as it takes to fill it."""
    store = ObjectStore(home, ports.choose(home, "s3"))
    process = store.start(f"{home.digest}/s3")
    try:
        client = minio_client(store.settings)
        for bucket in {entry["bucket"] for entry in objects}:
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)
        for entry in objects:
            client.fput_object(
                entry["bucket"],
                entry["key"],
                str(work / entry["name"]),
                content_type=entry["content_type"],
                metadata=entry["metadata"],
            )
    finally:
        store.stop(process)
        ports.release(home, "s3")
        (home.path / "ports.json").unlink(missing_ok=True)


def _take_place(unfinished: Home, home: Home) -> None:
    if home.path.exists():
        home.path.rmdir()  # it was empty; if it no longer is, this fails and nothing happened
    try:
        unfinished.path.rename(home.path)
    except OSError as error:
        raise PlatformError(f"expected to rename {unfinished.path} to {home.path}, found: {error.strerror}") from error
    elsewhere = files.recorded_folder(home)
    if elsewhere is not None:
        (elsewhere / "home").write_text(str(home.path))


def _remove(unfinished: Home) -> None:
    elsewhere = files.recorded_folder(unfinished) if unfinished.path.exists() else None
    for folder in (elsewhere, unfinished.path):
        if folder is not None and folder.exists():
            shutil.rmtree(folder)
