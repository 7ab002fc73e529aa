"""Bringing services up together, and taking down exactly what was brought up.

`running_platform({"postgres", "s3"})` is the door for the demo and for tests: what runs already is used and left
running, what is missing is started and stopped again. `supervisor.py` keeps a platform up.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGTERM

from infra.errors import EngineStartError, PlatformError
from infra.local import ports
from infra.local.endpoints import VARIABLES, Endpoints, outside, settings_of
from infra.local.home import Home
from infra.local.object_store import ObjectStore
from infra.local.processes import (
    Identity,
    Record,
    end,
    end_marked,
    last_line,
    read_record,
    reap,
    records,
    this_process,
)
from infra.local.services import (
    NAMES,
    NEEDS,
    PATIENCE_SECONDS,
    STOP_SIGNAL,
    Launcher,
    mark_of,
    prepare,
    problem,
    public_url,
    start_problem,
    with_needs,
)

START_SECONDS = 300.0
OUTSIDE_SECONDS = 20.0  # what is set from outside should be there; nobody here can start it
ENGINES = frozenset({"postgres", "s3"})
Tell = Callable[[str], None]


def silently(_line: str) -> None:
    """Tell nobody."""


@dataclass
class Started:
    """A service that this process started and shall stop."""

    name: str
    url: str
    process: Identity
    at: float


@dataclass
class Platform:
    """The services of one state folder, as this process uses them.

    Attributes:
        migrating: Make databases and apply migrations; a backup takes things as they are.
        ours: What this process started, in the order of starting.
    """

    home: Home
    environ: Mapping[str, str]
    names: frozenset[str]
    tell: Tell = silently
    migrating: bool = True
    ours: dict[str, Started] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    _urls: dict[str, str] = field(default_factory=dict, init=False)
    _giving_up: bool = field(default=False, init=False)

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.home.path, self.settings)

    def start(self) -> None:
        """Start what is missing, each as soon as what it needs is ready, and wait until all is healthy.

        Call it from a thread that stays as long as the platform shall: the kernel ends the services with it.

        Raises:
            PlatformError: A service did not come up; what was started is stopped again.
        """
        self.home.create()
        with self.home.locked("start"):
            remove_remains(self.home)
            try:
                self._bring_up(self._sort_out())
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop what this process started: first the services, side by side, then the engines that they work on."""
        for layer in (frozenset(NAMES) - ENGINES, ENGINES):
            ending = [started for started in self.ours.values() if started.name in layer]
            with ThreadPoolExecutor(max_workers=len(NAMES)) as pool:
                list(pool.map(lambda started: stop_service(self.home, started.name, started.process), ending))
            for started in ending:
                ports.release(self.home, started.name)
                del self.ours[started.name]

    def take_over(self) -> list[str]:
        """Start what another process had started for us and has stopped since, such as a demo that came to its end."""
        taken = []
        for name in sorted(with_needs(self.names) - self.ours.keys(), key=NAMES.index):
            record = read_record(self.home.run / f"{name}.json")
            if VARIABLES.get(name) not in outside(self.environ) and (record is None or not record.owner.alive()):
                with self.home.locked("start"):
                    remove_remains(self.home)
                    self.launch(name, self._urls[name])
                taken.append(name)
        return taken

    def launch(self, name: str, url: str) -> Started:
        """Start one service and write its record."""
        launched_at = time.time()
        process = Launcher(self.home, self.environ, self.endpoints).launch(name, url)
        record = Record(name, process, this_process(), mark_of(self.home, name), url)
        self.ours[name] = Started(name, url, process, launched_at)
        record.write(self.home.run)
        return self.ours[name]

    def _sort_out(self) -> dict[str, str]:
        """Fill in every address and return the names and addresses of what must be started here."""
        self.settings = outside(self.environ)
        missing = {}
        for name in sorted(with_needs(self.names), key=NAMES.index):
            if VARIABLES.get(name) in self.settings:
                continue
            record = read_record(self.home.run / f"{name}.json")
            url = self._urls[name] = record.url if record else public_url(self.home, name)
            if record is None:
                missing[name] = url
            self.settings |= {
                key: value for key, value in settings_of(self.home, name, url).items() if key not in self.settings
            }
        return missing

    def _bring_up(self, missing: Mapping[str, str]) -> None:
        wanted = sorted(with_needs(self.names), key=NAMES.index)
        waiting: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(max_workers=len(wanted) or 1, thread_name_prefix="ready") as pool:
            try:
                while not all(name in waiting and waiting[name].done() for name in wanted):
                    for name in wanted:
                        if name not in waiting and all(
                            need in waiting and _succeeded(waiting[need]) for need in NEEDS[name]
                        ):
                            started = self.launch(name, missing[name]) if name in missing else None
                            waiting[name] = pool.submit(self._wait, name, started)
                    for future in waiting.values():
                        _succeeded(future)
                    time.sleep(0.05)
            except BaseException:
                self._giving_up = True
                raise
        for future in waiting.values():
            future.result()

    def _wait(self, name: str, started: Started | None) -> None:
        """Wait until a service works, then prepare it."""
        is_outside = VARIABLES.get(name) in outside(self.environ)
        patience = OUTSIDE_SECONDS if is_outside else START_SECONDS
        deadline = time.monotonic() + patience
        while (found := self._problem(name, started)) is not None:
            if started and not started.process.alive():
                log = self.home.logs / f"{name}.log"
                raise EngineStartError(f"{name} ended before it was ready: {last_line(log)}; see {log}")
            if time.monotonic() > deadline or self._giving_up:
                where = f"check {VARIABLES[name]}" if is_outside else f"see {self.home.logs}"
                raise EngineStartError(f"{name} was not ready within {patience:.0f} s: {found}; {where}")
            time.sleep(0.1)
        if self.migrating:
            for done in prepare(name, self.endpoints, embedded=not is_outside):
                self.tell(f"{name}: {done}")
        self.tell(f"{name}: healthy")

    def _problem(self, name: str, started: Started | None) -> str | None:
        if started is None:
            return problem(name, self.endpoints)
        reap(started.process)
        return start_problem(name, self.endpoints, started.at) if started.process.alive() else "it ended"


def _succeeded(future: Future[None]) -> bool:
    """True if the service is ready, False if it is on its way; raises what went wrong."""
    if not future.done():
        return False
    future.result()
    return True


def stop_service(home: Home, name: str, process: Identity) -> None:
    """End a service, its workers included, and forget its record."""
    end(process, gently=STOP_SIGNAL.get(name, SIGTERM), patience=PATIENCE_SECONDS.get(name, 15.0))
    end_marked(mark_of(home, name))
    record = read_record(home.run / f"{name}.json")
    if name == "s3" and record is not None:
        ObjectStore(home, int(record.url.rsplit(":", 1)[1])).remove_sockets()
    if name == "postgres":  # where the state folder's path was too long, its sockets lay elsewhere
        with contextlib.suppress(OSError):
            home.short_folder("postgres-socket").rmdir()
    (home.run / f"{name}.json").unlink(missing_ok=True)


def remove_remains(home: Home) -> list[str]:
    """End what a killed owner left running in this state folder; return the names. Others' are not touched."""
    found = {record.name: record for record in records(home.run)}
    remains = [record for record in found.values() if not record.owner.alive()]
    for record in sorted(remains, key=lambda record: record.name == "postgres"):
        if record.name in NAMES:
            stop_service(home, record.name, record.process)
        (home.run / f"{record.name}.json").unlink(missing_ok=True)
    for name in NAMES:
        if name not in found:  # killed between the start and the record
            end_marked(mark_of(home, name))
    return [record.name for record in remains]


@contextmanager
def running_platform(
    services: frozenset[str] | set[str], environ: Mapping[str, str], *, tell: Tell = silently, migrating: bool = True
) -> Iterator[Endpoints]:
    """Yield the endpoints of these services; start those that neither run nor are set from outside, and their needs.

    Only what was started here is stopped at the end.

    Raises:
        PlatformError: A service is unknown or did not come up.
    """
    unknown = set(services) - set(NAMES)
    if unknown:
        raise PlatformError(f"expected services among {', '.join(NAMES)}, found {', '.join(sorted(unknown))}")
    platform = Platform(Home.resolve(environ), environ, frozenset(services), tell, migrating)
    platform.start()
    try:
        yield platform.endpoints
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            platform.stop()
