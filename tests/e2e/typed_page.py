"""A page of the documentation as somebody follows it: its blocks by heading, and a terminal into which they are typed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DONE = "block-typed-and-done"


def blocks(page: str, language: str) -> dict[str, str]:
    """Return the fenced blocks of one language by the heading that they stand under; one at most under each."""
    found = {}
    for heading, text in re.findall(r"^#+ (.+?)\n(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL):
        inside = [block for name, block in BLOCK.findall(text) if name == language]
        assert len(inside) <= 1, f"expected one block under {heading!r}, found {len(inside)}"
        if inside:
            found[heading] = inside[0]
    return found


class Terminal:
    """One bash that stops at the first command that fails; use it as a context manager."""

    def __init__(self, folder: Path, environment: dict[str, str], log: Path) -> None:
        """Open it in a folder; what it shows goes into `log` too."""
        self._log = log
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, block: str, seconds: float) -> str:
        """Type a block and return what it showed; fails where a command does, or when `seconds` are over."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{block}\necho {_DONE}\n")
        self._bash.stdin.flush()
        watch = threading.Timer(seconds, os.killpg, (self._bash.pid, signal.SIGKILL))
        watch.start()
        shown = ""
        try:
            with self._log.open("a") as log:
                for line in self._bash.stdout:
                    if line.strip() == _DONE:
                        return shown
                    shown += line
                    log.write(line)
                    log.flush()
        finally:
            watch.cancel()
        raise AssertionError(f"expected every command to succeed within {seconds} s, found:\n{block}\n{shown[-4000:]}")

    def __enter__(self) -> Terminal:
        """Open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and end what still runs in it."""
        with self._bash:  # closes what we write to and read from, and waits
            if error is not None:
                os.killpg(self._bash.pid, signal.SIGKILL)
