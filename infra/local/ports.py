"""Ports on loopback: the preferred one, another if it is taken, and the same again at the next start."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping

from infra.errors import EngineStartError
from infra.local.home import Home, write_private

PREFERRED = {"s3": 8333, "mlflow": 5000, "dagster": 3000, "oracle": 3001, "analyst": 3002}
WIDTH = {"s3": 4}  # SeaweedFS: S3, master, volume and filer side by side
GRPC_OFFSET = 10_000  # SeaweedFS opens each port + 10000 too
HIGHEST = 55_000


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

    Args:
        spread: Begin at a place that depends on the state folder; tests that run side by side then rarely meet.

    Raises:
        EngineStartError: No free port in the whole range.
    """
    with home.locked("ports"):
        remembered = _remembered(home)
        first = PREFERRED[name] + (10_000 + int(home.digest, 16) % 20_000 if spread else 0)
        taken = {port for other, base in remembered.items() if other != name for port in _block(other, base)}
        for base in (remembered.get(name, first), *range(first, HIGHEST, WIDTH.get(name, 1))):
            block = _block(name, base)
            if not taken & set(block) and all(is_free(port) for port in block):
                write_private(home.path / "ports.json", json.dumps({**remembered, name: base}))
                return base
    raise EngineStartError(
        f"expected a free port for {name} from {first} to {HIGHEST}, found none; end what holds them"
    )


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
