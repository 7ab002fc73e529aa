"""Ports on loopback: the preferred one, another if it is taken, and the same again at the next start."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from infra.errors import EngineStartError, HomeError
from infra.local.home import Home, write_private

PREFERRED = {"s3": 8333, "mlflow": 5000, "dagster": 3000, "oracle": 3001, "analyst": 3002}
WIDTH = {"s3": 4}  # SeaweedFS: S3, master, volume and filer side by side
GRPC_OFFSET = 10_000  # SeaweedFS opens each port + 10000 too
# Below Linux's ephemeral ports (32768 on), gRPC's included: there any outgoing connection may hold a port for a moment.
HIGHEST = {"s3": 22_000}
HIGHEST_OF_OTHERS = 32_000
SPREAD = 12_000

# What this process has promised to its own services: until the server has bound a port, another start may look too.
_promised: dict[tuple[str, str], list[int]] = {}  # open descriptors, each with its lock


def is_free(port: int) -> bool:
    """True if nobody holds this port on loopback, nor on all addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier server may still linger
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(home: Home, name: str, *, spread: bool = False) -> int:
    """Return the port of a service: the remembered one if free, else the preferred one, else the next free after it.

    It stays promised to this process until `release`.

    Args:
        spread: Begin at a place that depends on the state folder; tests that run side by side then rarely meet.

    Raises:
        EngineStartError: No free port in the whole range.
    """
    release(home, name)
    with home.locked("ports"):
        remembered = _remembered(home)
        first = PREFERRED[name] + (1_000 + int(home.digest, 16) % SPREAD if spread else 0)
        highest = HIGHEST.get(name, HIGHEST_OF_OTHERS)
        taken = {port for other, base in remembered.items() if other != name for port in _block(other, base)}
        candidates: list[int] = [remembered.get(name, first), *range(first, highest, WIDTH.get(name, 1))]
        for base in candidates:
            block = _block(name, base)
            if not taken & set(block) and _promise(home, name, block):
                write_private(home.path / "ports.json", json.dumps({**remembered, name: base}))
                return base
    raise EngineStartError(f"expected a free port for {name} from {first} to {highest}, found none; end who holds them")


def release(home: Home, name: str) -> None:
    """Give up what `choose` promised."""
    for lock in _promised.pop((home.digest, name), []):
        os.close(lock)


def _promise(home: Home, name: str, block: list[int]) -> bool:
    locks: list[int] = []
    try:
        for port in block:
            locks.append(os.open(_locks() / str(port), os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        kept = False
    else:
        kept = all(is_free(port) and not _foreign_sockets(port) for port in block)
    if kept:
        _promised[home.digest, name] = locks
    else:
        for lock in locks:
            os.close(lock)
    return kept


def own_sockets(port: int) -> list[Path]:
    """Return the unix sockets that our SeaweedFS left under /tmp for a port; their place is not ours to choose."""
    return [path for path, owner in _sockets(port) if owner == os.geteuid()]


def _foreign_sockets(port: int) -> bool:
    """True if another user's SeaweedFS has, or left, its socket for this port: ours could then neither bind nor trust it."""
    return any(owner != os.geteuid() for _path, owner in _sockets(port))


def _sockets(port: int) -> list[tuple[Path, int]]:
    return [(path, path.lstat().st_uid) for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def _locks() -> Path:
    """Return the folder of this user's port locks, shared by all of the user's state folders."""
    folder = Path("/tmp") / f"tradeloom-{os.geteuid()}-ports"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise HomeError(f"expected {folder} to be a folder of ours, found another's; remove it")
    return folder


def _block(name: str, base: int) -> list[int]:
    if name != "s3":
        return [base]
    ports = list(range(base, base + WIDTH[name]))
    return ports + [port + GRPC_OFFSET for port in ports]


def _remembered(home: Home) -> Mapping[str, int]:
    try:
        found = json.loads((home.path / "ports.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: int(port) for name, port in found.items() if name in PREFERRED}
