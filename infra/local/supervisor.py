"""`tradeloom up` and `down`: one process that starts the services, starts again what dies, and stops what it started.

Run detached as `python -m infra.local.supervisor [SERVICE...]`; it writes "ready" to the descriptor given by --ready
when all is healthy.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.errors import EngineStartError, PlatformError
from infra.local.home import CHECKOUT, Home
from infra.local.platform import Platform, Tell, remove_remains
from infra.local.processes import (
    Identity,
    Record,
    end,
    end_marked,
    last_line,
    read_record,
    reap,
    this_process,
    wait_until_gone,
)
from infra.local.services import NAMES, mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = "supervisor"
MOST_RESTARTS = 5  # within the window; then the service stays down and `status` says so
WINDOW_SECONDS = 600.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STOP_SECONDS = 150.0


@dataclass
class Restarts:
    """When a service was started again, and when it may be next."""

    at: list[float] = field(default_factory=list)
    due: float | None = None

    def plan(self, now: float) -> float | None:
        """Return the pause before the next start; None if there were too many lately."""
        self.at = [moment for moment in self.at if now - moment < WINDOW_SECONDS]
        if len(self.at) >= MOST_RESTARTS:
            return None
        pause = min(FIRST_PAUSE_SECONDS * float(2 ** len(self.at)), LONGEST_PAUSE_SECONDS)
        self.at.append(now)
        self.due = now + pause
        return pause


@dataclass
class Supervisor:
    """Keeps a platform up until told to stop."""

    platform: Platform
    tell: Tell
    restarts: dict[str, Restarts] = field(default_factory=dict)

    def watch_once(self, now: float) -> None:
        """Look at every service: plan a start for one that died, carry out one that is due."""
        for name in self.platform.take_over():
            self.tell(f"{name}: its starter has ended; started here")
        for name, started in list(self.platform.ours.items()):
            plan = self.restarts.setdefault(name, Restarts())
            reap(started.process)
            if plan.due is not None and now >= plan.due:
                plan.due = None
                self.platform.launch(name, started.url)
                self.tell(f"{name}: started again")
            elif plan.due is None and not started.process.alive():
                self._plan(name, plan, now)

    def _plan(self, name: str, plan: Restarts, now: float) -> None:
        end_marked(mark_of(self.platform.home, name))  # workers of the dead one may still hold its port
        pause = plan.plan(now)
        if pause is not None:
            self.tell(f"{name}: ended; starting it again in {pause:.0f} s ({len(plan.at)} of {MOST_RESTARTS})")
        elif plan.due != float("inf"):
            plan.due = float("inf")
            log = self.platform.home.logs / f"{name}.log"
            self.tell(
                f"{name}: ended {MOST_RESTARTS} times in {WINDOW_SECONDS / 60:.0f} minutes and stays down; see {log}"
            )


def supervise(environ: Mapping[str, str], names: frozenset[str], tell: Tell, when_ready: Tell) -> None:
    """Start the services and keep them up until SIGINT, SIGTERM or SIGHUP; then stop what was started.

    Raises:
        PlatformError: Another supervisor keeps this state folder up, or a service did not come up.
    """
    home = Home.resolve(environ)
    home.create()
    _refuse_a_second(home)
    mine = this_process()
    Record(RECORD, mine, mine, "", "").write(home.run)
    platform = Platform(home, environ, names, tell)
    try:
        with _signals_interrupt():
            try:
                platform.start()
                when_ready("ready")
                supervisor = Supervisor(platform, tell)
                while True:
                    supervisor.watch_once(time.monotonic())
                    time.sleep(0.5)
            except KeyboardInterrupt:
                tell("stopping")
    finally:
        platform.stop()
        (home.run / f"{RECORD}.json").unlink(missing_ok=True)


def running_supervisor(home: Home) -> Identity | None:
    """Return the supervisor that keeps this state folder up; None if there is none."""
    record = read_record(home.run / f"{RECORD}.json")
    return record.process if record and record.process.alive() else None


def _refuse_a_second(home: Home) -> None:
    other = running_supervisor(home)
    if other is not None:
        raise PlatformError(
            f"expected nobody to keep {home.path} up, found process {other.pid}; stop it with `tradeloom down`"
        )


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let every request to end be a KeyboardInterrupt, once; while stopping, more of them change nothing."""

    def interrupt(_number: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    yield


def start_detached(environ: Mapping[str, str], names: frozenset[str]) -> int:
    """Start a supervisor that outlives us; return its pid when all services are healthy.

    Raises:
        PlatformError: One keeps this state folder up already, or a service did not come up.
    """
    home = Home.resolve(environ)
    home.create()
    _refuse_a_second(home)
    log = home.logs / "supervisor.log"
    reading, writing = os.pipe()
    with open(reading, "rb") as ready, log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.local.supervisor", "--ready", str(writing), *sorted(names)],
            env={**environ, "TRADELOOM_HOME": str(home.path)},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        try:
            answer = ready.read()  # ends when it says so or is gone
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise
    if answer != b"ready":
        child.wait()
        raise EngineStartError(last_line(log))
    child.returncode = 0  # it lives on without us
    return child.pid


def take_down(environ: Mapping[str, str]) -> list[str]:
    """Stop the supervisor of this state folder and everything it started; return what was ended.

    What another process started for itself, such as a demo that runs right now, is left alone.
    """
    home = Home.resolve(environ)
    if not home.run.is_dir():
        return []
    ended = []
    supervisor = running_supervisor(home)
    if supervisor is not None:
        os.kill(supervisor.pid, signal.SIGTERM)
        if not wait_until_gone(supervisor, STOP_SECONDS):
            end(supervisor, patience=1)
        ended.append(RECORD)
    with home.locked("start"):
        return ended + [name for name in remove_remains(home) if name != RECORD]


def main() -> int:
    """Run detached: no terminal, all words go to the log."""
    parser = argparse.ArgumentParser(prog="infra.local.supervisor")
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("services", nargs="*", default=list(NAMES))
    arguments = parser.parse_args()

    def write(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def ready(word: str) -> None:
        os.write(arguments.ready, word.encode())
        os.close(arguments.ready)

    try:
        supervise(os.environ, frozenset(arguments.services), write, ready)
    except PlatformError as error:
        write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
