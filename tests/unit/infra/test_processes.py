"""Which process is ours, and that none of ours outlives us."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.errors import EngineStartError
from infra.local.processes import (
    MARK,
    Identity,
    Record,
    end,
    end_marked,
    identity,
    marked,
    read_record,
    spawn,
    this_process,
    wait_until_gone,
)

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return identity(pid) is None


def test_a_pid_that_was_used_again_is_another_process():
    mine = this_process()
    assert mine.alive()
    assert not Identity(mine.pid, "an earlier start").alive()


def test_ending_a_recorded_process_never_touches_its_successor(tmp_path: Path):
    child = spawn(SLEEPER, environment={}, log=tmp_path / "log")
    end(Identity(child.pid, "an earlier start"))
    assert child.alive()
    end(child)
    assert not child.alive()


def test_one_that_ends_soon_leaves_its_last_words(tmp_path: Path):
    child = spawn(["/bin/sh", "-c", "sleep 0.3; echo no such file >&2; exit 3"], environment={}, log=tmp_path / "log")
    assert wait_until_gone(child, 5)
    assert (tmp_path / "log").read_text() == "no such file\n"


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises((FileNotFoundError, EngineStartError)):
        spawn([str(tmp_path / "none")], environment={}, log=tmp_path / "log")


@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"], ids=["default", "ignored"])
def test_a_child_ends_with_its_killed_parent(tmp_path: Path, before: str):
    """Also where whoever started the parent ignores the signal by which it ends, which children inherit."""
    script = (
        f"import signal, time; from pathlib import Path; from infra.local.processes import spawn; {before}\n"
        f"child = spawn({SLEEPER!r}, environment={{}}, log=Path({str(tmp_path / 'log')!r}))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert identity(child) is not None
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(child, 30)  # a machine under load takes its time


def test_workers_of_a_killed_server_are_found_by_their_mark(tmp_path: Path):
    mark = f"test/{os.getpid()}"
    script = f"import subprocess, time; subprocess.Popen({SLEEPER!r}, start_new_session=True); time.sleep(60)"
    server = spawn([sys.executable, "-S", "-c", script], environment={MARK: mark}, log=tmp_path / "log")
    deadline = time.monotonic() + 10
    while len(list(marked(mark))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until_gone(server, 5)
    assert [process.pid for process in marked(mark)] != []
    assert end_marked(mark) == 1
    assert list(marked(mark)) == []


def test_a_mark_names_one_service_and_no_other(tmp_path: Path):
    other = spawn(SLEEPER, environment={MARK: "test/other/10"}, log=tmp_path / "log")
    assert end_marked("test/other/1") == 0
    assert psutil.pid_exists(other.pid)
    end(other)


def test_a_record_survives_writing_and_a_torn_one_counts_as_none(tmp_path: Path):
    record = Record("s3", Identity(1, "a"), Identity(2, "b"), "mark", "http://127.0.0.1:1")
    record.write(tmp_path)
    assert read_record(tmp_path / "s3.json") == record
    assert (tmp_path / "s3.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "s3.json").write_text('{"name": "s3"')
    assert read_record(tmp_path / "s3.json") is None
