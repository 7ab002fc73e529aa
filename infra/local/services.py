"""What can run here: each service's needs, command, and how to see that it is well.

`healthy` means that it does its work for a caller; `ready` that it can answer the question it is there for: an oracle
without a model is healthy and not ready.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from infra.errors import EngineStartError
from infra.local import dagster, mlflow, ports
from infra.local.endpoints import Endpoints
from infra.local.home import CHECKOUT, Home
from infra.local.http import http_problem
from infra.local.object_store import ObjectStore, read_problem, write_problem
from infra.local.postgres import DATABASES, PostgresServer, database_url, ensure_databases, query_problem
from infra.local.processes import MARK, Identity, spawn
from infra.postgres.migrate import migrate
from infra.postgres.partitions import make_ahead

NEEDS: Mapping[str, frozenset[str]] = {
    "postgres": frozenset(),
    "s3": frozenset(),
    "mlflow": frozenset({"postgres", "s3"}),
    "dagster": frozenset({"postgres"}),
    "dagster-daemon": frozenset({"postgres", "dagster"}),  # the webserver makes the tables; two makers at once collide
    "oracle": frozenset({"postgres", "mlflow"}),
    "analyst": frozenset({"postgres", "mlflow"}),
}
NAMES = tuple(NEEDS)
LISTEN = "TRADELOOM_LISTEN"  # in a container the services are asked from outside; anywhere else only on loopback
NO_URL = "none"  # the daemon listens nowhere
STOP_SIGNAL = {"postgres": signal.SIGINT, "dagster-daemon": signal.SIGINT}
PATIENCE_SECONDS = {"postgres": 60.0, "s3": 1.0}


def with_needs(names: frozenset[str]) -> frozenset[str]:
    """Return the services together with everything that they need."""
    wanted = names
    while True:
        wider = wanted.union(*(NEEDS[name] for name in wanted))
        if wider == wanted:
            return wanted
        wanted = wider


def mark_of(home: Home, name: str) -> str:
    """Return the mark that every process of a service of this state folder carries."""
    return f"{home.digest}/{name}"


def public_url(home: Home, name: str) -> str:
    """Return the address of an embedded service, without any secret; ports are chosen here."""
    if name == "postgres":
        return PostgresServer(home).public_url
    if name == "dagster-daemon":
        return NO_URL
    return f"http://127.0.0.1:{ports.choose(home, name)}"


@dataclass(frozen=True)
class Launcher:
    """Starts the services of one state folder."""

    home: Home
    environ: Mapping[str, str]
    endpoints: Endpoints

    def launch(self, name: str, url: str) -> Identity:
        """Start a service; call it from a thread that lives as long as the service shall."""
        mark = mark_of(self.home, name)
        if name == "postgres":
            return PostgresServer(self.home).launch(mark)
        port = int(url.rsplit(":", 1)[1]) if name != "dagster-daemon" else 0
        if name == "s3":
            return ObjectStore(self.home, port).launch(mark)
        command, extra = self._python_service(name, port)
        environment = {**self.environ, **self.endpoints.environment(), **extra, MARK: mark}
        return spawn(command, environment=environment, log=self.log(name), cwd=CHECKOUT)

    def log(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    @property
    def _host(self) -> str:
        return self.environ.get(LISTEN) or "127.0.0.1"

    def _python_service(self, name: str, port: int) -> tuple[list[str], dict[str, str]]:
        found: Callable[[int], tuple[list[str], dict[str, str]]] = {
            "mlflow": self._mlflow,
            "dagster": self._dagster,
            "dagster-daemon": self._daemon,
            "oracle": lambda on: self._bento("oracle", "serving.oracle.service:Oracle", on),
            "analyst": lambda on: self._bento("analyst", "serving.analyst.service:Analyst", on),
        }[name]
        return found(port)

    def _mlflow(self, port: int) -> tuple[list[str], dict[str, str]]:
        return mlflow.command(port, self._host), {
            **mlflow.environment(self.endpoints.postgres_url, self.endpoints.object_store),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        }

    def _dagster(self, port: int) -> tuple[list[str], dict[str, str]]:
        dagster.write_instance(self.home)
        return dagster.webserver_command(port, self._host), {}

    def _daemon(self, _port: int) -> tuple[list[str], dict[str, str]]:
        dagster.write_instance(self.home)
        return dagster.daemon_command(), {}

    def _bento(self, name: str, service: str, port: int) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "bentoml", "serve", service, "--host", self._host, "--port", str(port)]
        # A folder each: a starting service empties the metrics that lie there.
        folder = self.home.path / "bentoml" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return command, {
            "BENTOML_HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }


def problem(name: str, endpoints: Endpoints, *, started: float = 0.0) -> str | None:
    """Return why a service does not do its work; None if it does. Changes nothing.

    Args:
        started: When this process of it started, seconds since 1970; only the daemon's report is judged by it.
    """
    if name == "postgres":
        return query_problem(endpoints.postgres_url)
    if name == "s3":
        return read_problem(endpoints.object_store)
    if name == "dagster-daemon":
        return dagster.daemon_problem(endpoints.postgres_url, started)
    url = {
        "mlflow": lambda: f"{endpoints.mlflow_url}/health",
        "dagster": lambda: f"{endpoints.dagster_url}/server_info",
        "oracle": lambda: f"{endpoints.oracle_url}/livez",
        "analyst": lambda: f"{endpoints.analyst_url}/livez",
    }[name]()
    return http_problem(url)


def not_ready(name: str, endpoints: Endpoints) -> str | None:
    """Return why a healthy service cannot answer its question yet; None if it can."""
    if name not in ("oracle", "analyst"):
        return None
    base = endpoints.oracle_url if name == "oracle" else endpoints.analyst_url
    return http_problem(f"{base.rstrip('/')}/readyz")


def start_problem(name: str, endpoints: Endpoints, started: float) -> str | None:
    """As `problem`, but what an embedded service must do at its start: its database or bucket may not be there yet."""
    if name == "s3":
        return write_problem(endpoints.object_store)
    if name == "postgres":
        return query_problem(database_url(endpoints.postgres_url, "postgres"))
    return problem(name, endpoints, started=started)


def prepare(name: str, endpoints: Endpoints, *, embedded: bool) -> list[str]:
    """Bring a service that answers to the state that the rest expects; return what was done. Repeating it does nothing.

    Raises:
        MigrationError: A migration failed.
        EngineStartError: The databases of MLflow and Dagster are missing and cannot be made.
    """
    if name != "postgres":
        return []
    url = endpoints.postgres_url
    try:
        ensure_databases(database_url(url, "postgres") if embedded else url)
    except psycopg.Error as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineStartError(
            f"expected databases {', '.join(DATABASES)}, could not make them: {reason}; make them"
        ) from error
    done = [f"migration {version}" for version in migrate(url)]
    return done + [f"partition {name}" for name in make_ahead(url)]
