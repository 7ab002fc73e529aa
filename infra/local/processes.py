"""Child processes that never outlive us unseen, and records that say which process is ours.

A pid alone says nothing: numbers are used again. A record holds the pid, the moment the kernel started it and the
boot it belongs to. Every child carries a mark in its environment that its own children inherit, so that workers of a
killed server are found too. Starting sets PR_SET_PDEATHSIG: the kernel ends the child when the thread that started it
ends, so start from a thread that stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from infra.errors import EngineStartError
from infra.local.home import write_private

MARK = "TRADELOOM_PROCESS"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Identity:
    """One process, for ever: the pid with the boot and the kernel tick at which it started."""

    pid: int
    started: str

    def alive(self) -> bool:
        """True while this very process runs (a zombie is dead)."""
        return identity(self.pid) == self


@dataclass(frozen=True)
class Record:
    """What `run/<name>.json` says of a running service."""

    name: str
    process: Identity
    owner: Identity
    mark: str
    url: str

    def write(self, folder: Path) -> None:
        write_private(folder / f"{self.name}.json", json.dumps(asdict(self)))


def identity(pid: int) -> Identity | None:
    """Return the identity of the process that has this pid now; None if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self").exists() else _identity_without_proc(pid)
    return None if fields[0] in "ZX" else Identity(pid, f"{_boot()}:{fields[19]}")


def _identity_without_proc(pid: int) -> Identity | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Identity(pid, f"{process.create_time():.2f}")
    except psutil.NoSuchProcess:
        return None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def this_process() -> Identity:
    """Return our own identity."""
    found = identity(os.getpid())
    assert found is not None
    return found


def read_record(file: Path) -> Record | None:
    """Return the record in a file; None if it is gone or was never finished."""
    try:
        content = json.loads(file.read_text())
        return Record(
            content["name"],
            Identity(**content["process"]),
            Identity(**content["owner"]),
            content["mark"],
            content["url"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def records(folder: Path) -> list[Record]:
    """Return every record of a `run` folder, by name."""
    found = (read_record(file) for file in sorted(folder.glob("*.json")))
    return [record for record in found if record is not None]


@dataclass(frozen=True)
class RunAs:
    """The user that an engine runs as; only root needs another than itself."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path = Path("/"),
    run_as: RunAs | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
) -> Identity:
    """Start a child in a session of its own, its output appended to `log`, ended by the kernel if this thread ends.

    Raises:
        EngineStartError: It ended at once.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl if os.uname().sysname == "Linux" else None
    parent = os.getpid()

    def follow_the_parent() -> None:
        # After setuid, which would clear it. Nothing here may take a lock: other threads were cut off by fork.
        # A signal that whoever started us ignores or blocks (nohup, a test runner) would be so in the child too.
        if on_parent_death != signal.SIGKILL:  # which nobody can ignore or block
            signal.signal(on_parent_death, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [on_parent_death])
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(on_parent_death), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    user = {"user": run_as.uid, "group": run_as.gid, "extra_groups": []} if run_as and run_as.is_other else {}
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=follow_the_parent,
            **user,  # type: ignore[call-overload]
        )
    child.returncode = 0  # we watch and reap by Identity; without this Popen would warn that nobody waits
    found = identity(child.pid)
    if found is None:
        raise EngineStartError(f"{Path(command[0]).name} ended at once: {last_line(log)}; see {log}")
    return found


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yield every live process that carries this mark, children's children included."""
    for process in psutil.process_iter():
        # Another user's process, or one that has just ended, is none of ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                yield process


def end_marked(mark: str) -> int:
    """Kill whatever still carries a mark; return how many there were."""
    count = 0
    for _ in range(10):  # a process may be forking while we look
        found = list(marked(mark))
        if not found:
            return count
        count += len(found)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=2)
    return count


def end(process: Identity, *, gently: signal.Signals = signal.SIGTERM, patience: float = 20.0) -> None:
    """Ask one process to end, wait, then kill it. Does nothing if it is not the process that was recorded."""
    for sign, wait in ((gently, patience), (signal.SIGKILL, 10.0)):
        if not process.alive():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, sign)
        wait_until_gone(process, wait)


def wait_until_gone(process: Identity, seconds: float) -> bool:
    """Wait for a process to end; reap it if it is our own child. Return whether it is gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not process.alive():
            reap(process)
            return True
        time.sleep(0.02)
    return not process.alive()


def reap(process: Identity) -> None:
    """Let the kernel forget an ended child of ours; anything else stays untouched."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def last_line(log: Path) -> str:
    """Return the last line of a log that says anything, shortened to what fits one line of an error."""
    if not log.exists():
        return "nothing in its log"
    lines = [line.strip() for line in log.read_text(errors="replace")[-8000:].splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "nothing in its log"


def fatal_line(log: Path) -> str:
    """Return the last line of a Go program's log that says why it gave up; what follows it are only stack traces."""
    if not log.exists():
        return "nothing in its log"
    fatal = [line for line in log.read_text(errors="replace").splitlines() if re.match(r"F\d{4} |panic: ", line)]
    return fatal[-1].strip()[:300] if fatal else last_line(log)
