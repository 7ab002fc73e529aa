"""What files occupy, and sizes in words."""

from __future__ import annotations

import os
from pathlib import Path


def used_bytes(folder: Path) -> int:
    """Return what the files below a folder occupy; files that vanish meanwhile count nothing."""
    total = 0
    for root, _folders, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def in_words(count: float) -> str:
    """Return a number of bytes as people read it, such as `17 MB`."""
    if count < 0:
        return f"-{in_words(-count)}"
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"
