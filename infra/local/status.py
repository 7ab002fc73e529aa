"""How each service is, asked of the service itself."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from infra.local.endpoints import VARIABLES, Endpoints, outside
from infra.local.home import Home
from infra.local.processes import Record, read_record
from infra.local.services import NAMES, NO_URL, not_ready, problem


@dataclass(frozen=True)
class ServiceState:
    """One line of `tradeloom status`.

    Attributes:
        url: Where it is, without any password; None if it has no address or is neither running nor set from outside.
        healthy: It did just now what a caller would ask of it.
        ready: It can answer the question it is there for (an oracle without a model is healthy and not ready).
        external: Set from outside: used as it is, never started or stopped here.
        detail: What is wrong, in a few words.
    """

    name: str
    url: str | None
    healthy: bool
    ready: bool
    external: bool
    pid: int | None
    detail: str | None


def service_states(environ: Mapping[str, str]) -> list[ServiceState]:
    """Ask all services at once."""
    home = Home.resolve(environ)
    endpoints = Endpoints.resolve(environ)
    with ThreadPoolExecutor(max_workers=len(NAMES)) as pool:
        return list(pool.map(lambda name: _state(home, endpoints, environ, name), NAMES))


def _state(home: Home, endpoints: Endpoints, environ: Mapping[str, str], name: str) -> ServiceState:
    external = VARIABLES.get(name) in outside(environ)
    record = None if external else read_record(home.run / f"{name}.json")
    if not external and record is None:
        return ServiceState(name, None, False, False, False, None, "not running")
    url = _without_password(environ[VARIABLES[name]]) if external else record.url if record else None
    url = None if url == NO_URL else url
    pid = record.process.pid if record and record.process.alive() else None
    state = ServiceState(name, url, False, False, external, pid, None)
    if not external and pid is None:
        return replace(state, detail="ended; `tradeloom up` starts it again")
    return _probed(state, home, endpoints, record)


def _probed(state: ServiceState, home: Home, endpoints: Endpoints, record: Record | None) -> ServiceState:
    file = home.run / f"{state.name}.json"
    trouble = problem(state.name, endpoints, started=file.stat().st_mtime if record and file.exists() else 0.0)
    if trouble is not None:
        return replace(state, detail=trouble)
    waiting = not_ready(state.name, endpoints)
    return replace(state, healthy=True, ready=waiting is None, detail=waiting)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}"))
