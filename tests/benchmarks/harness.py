"""What a benchmark case is, and what it is given: databases, a folder, peers.

Ours and the peer take turns in one run, so that a machine that slows down slows both; medians of at least five
rounds. What runs the cases lives in run.py, what a peer process speaks in peers/speaking.py. Written in README.md.
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from infra.local.home import Home
from infra.local.object_store import ObjectStore
from infra.local.ports import choose
from infra.local.postgres import PostgresServer, database_url
from infra.local.processes import end
from infra.postgres.migrate import migrate

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
VENVS = {"bench": CHECKOUT / ".venv-bench", "feast": CHECKOUT / ".venv-bench" / "feast"}
LEAST_ROUNDS = 5
SCALES = {"s": 1, "ms": 1000, "MB": 1}  # from what a side returns to what the page shows


class PeerMissingError(Exception):
    """The peer cannot run here: the row says `not run` and this reason."""


@dataclass(frozen=True)
class Sides:
    """One prepared comparison: each call does one round and returns what it measured.

    Attributes:
        ours, peer: Seconds of one round (megabytes with the unit MB); None: the harness times the call itself.
        notes: Facts to print below the table, read after the rounds; a case may go on filling it while it runs.
    """

    ours: Callable[[], float | None]
    peer: Callable[[], float | None] | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One row of docs/benchmarks.md.

    Attributes:
        name: What is measured; size: of what; against: the peer in a few words.
        prepare: Builds everything and yields the two sides; what it does is not timed.
        goal: Greatest allowed ours / peer ("10x faster" is 0.1); None: reported only.
        unit: How the page shows it: `s`, `ms` or `MB`.
    """

    name: str
    size: str
    against: str
    prepare: Callable[[Bench], AbstractContextManager[Sides]]
    goal: float | None = None
    unit: str = "s"
    rounds: int = LEAST_ROUNDS
    warm_up: int = 1


@dataclass(frozen=True)
class Outcome:
    """A case as it came out; `not run` carries its reason in `notes`."""

    case: Case
    ours: float | None
    peer: float | None
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        return None if self.ours is None or not self.peer else self.ours / self.peer

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return "not run" if self.ours is None or self.case.goal is not None else "reported"
        if self.case.goal is None:
            return "reported"
        return "met" if self.ratio <= self.case.goal else "not met"


class Peer:
    """A child process in the peers' environment, asked in JSON lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the peer's answer to one question.

        Raises:
            PeerMissingError: it ended, or says that it cannot.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerMissingError(f"the peer ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerMissingError(str(answer["error"]))
        return answer

    def seconds(self, **question: Any) -> float:
        """Return the seconds that the peer took for one question, as it measured them itself."""
        return float(self.ask(**question)["seconds"])


class Bench:
    """What a case is given. One PostgreSQL and one object store for the whole run, made when first asked for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._home = Home(folder / "home")
        self._home.create()
        self._server: PostgresServer | None = None
        self._shared: dict[str, Any] = {}

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a fresh migrated database, dropped afterwards. The server keeps its durable defaults."""
        server = self._postgres()
        name = f"bench_{secrets.token_hex(4)}"
        self._administer(server, sql.SQL("create database {}").format(sql.Identifier(name)))
        url = database_url(server.url(), name)
        migrate(url)
        try:
            yield url
        finally:
            self._administer(server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    @contextmanager
    def peer(self, script: str, *arguments: str, venv: str = "bench") -> Iterator[Peer]:
        """Yield a running `peers/<script>.py` of the peers' environment `bench` or `feast`."""
        python = VENVS[venv] / "bin" / "python"
        if not python.exists():
            raise PeerMissingError(f"expected the peers' environment at {python.parent.parent.name}; run `make bench`")
        environment = {**os.environ, "PYTHONPATH": str(HERE / "peers")}
        process = subprocess.Popen(
            [str(python), "-W", "ignore", str(HERE / "peers" / f"{script}.py"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=self.folder,
        )  # fmt: skip
        try:
            yield Peer(process)
        finally:
            process.kill()
            process.communicate()

    @contextmanager
    def object_store(self) -> Iterator[ObjectStore]:
        """Yield a running S3 server with its bucket."""
        store = ObjectStore(self._home, choose(self._home, "s3", spread=True))
        process = store.start("bench/s3")
        try:
            yield store
        finally:
            end(process, patience=1)

    def shared(self, name: str, make: Callable[[], AbstractContextManager[Any]]) -> Any:
        """Return what `make` yields, made once for all cases of the run and ended with it."""
        if name not in self._shared:
            self._shared[name] = self._stack.enter_context(make())
        return self._shared[name]

    def scratch(self) -> Path:
        """Return a new empty folder, removed at the end of the run."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def _postgres(self) -> PostgresServer:
        if self._server is None:
            self._server = PostgresServer(self._home)
            process = self._server.start("bench/postgres")
            self._stack.callback(self._server.stop, process)
        return self._server

    @staticmethod
    def _administer(server: PostgresServer, statement: sql.Composed) -> None:
        with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
            conn.execute(statement)


def measure(case: Case, bench: Bench) -> Outcome:
    """Run a case: warm up, let the sides take turns, and return the medians."""
    try:
        with case.prepare(bench) as sides:
            ours, theirs = _rounds(case, sides)
            return Outcome(case, _median(ours), _median(theirs), tuple(sides.notes))
    except PeerMissingError as missing:
        return Outcome(case, None, None, (f"not run: {missing}",))


def _rounds(case: Case, sides: Sides) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(-case.warm_up, max(case.rounds, LEAST_ROUNDS)):
        turns = [(sides.ours, ours), (sides.peer, theirs)]
        for side, found in turns if number % 2 else reversed(turns):  # who goes first changes
            if side is not None:
                value = _one(side, case.unit)
                if number >= 0:
                    found.append(value)
    return ours, theirs


def _one(side: Callable[[], float | None], unit: str) -> float:
    begun = time.perf_counter()
    found = side()
    passed = time.perf_counter() - begun
    return (passed if found is None else found) * SCALES[unit]


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def facts(of: Mapping[str, Any]) -> str:
    """Return `name value` pairs as one line, for a note."""
    return ", ".join(f"{name} {value}" for name, value in of.items())
