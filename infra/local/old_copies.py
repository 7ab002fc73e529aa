"""The cache of the state folder: copies of feature rows for large joins, which can be deleted at any time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from infra.local.disk import used_bytes


@dataclass(frozen=True)
class OldCopy:
    """A folder of the cache that was not added to for a while: of a definition or a database that is no longer asked."""

    path: Path
    bytes: int


def old_copies(home: Path, before: datetime) -> list[OldCopy]:
    """Return the folders of the cache whose newest file was written before a moment."""
    root = home / "cache" / "features"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [OldCopy(folder, used_bytes(folder)) for folder in folders if _newest(folder) < before.timestamp()]


def remove_copy(copy: OldCopy) -> None:
    """Delete a folder; who reads from it makes it anew."""
    shutil.rmtree(copy.path)


def _newest(folder: Path) -> float:
    return max((path.stat().st_mtime for path in (folder, *folder.iterdir())), default=0.0)
