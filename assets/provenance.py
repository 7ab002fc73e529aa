"""Which code made a model: the revision that a version carries."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("assets", "feature_store", "trading")


@cache
def code_revision() -> str:
    """Return the git revision of the checkout, marked if files differ from it; outside one, the hash of the sources."""
    try:
        revision = _git("rev-parse", "HEAD")
        return f"{revision}-modified" if _git("status", "--porcelain") else revision
    except (OSError, subprocess.CalledProcessError):
        return f"sources:{_sources_hash()}"


def _git(*words: str) -> str:
    command = ["git", "-C", str(_ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _sources_hash() -> str:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
