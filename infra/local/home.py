"""The state folder: where each thing lies, who may read it, and the secrets made at its first use.

.tradeloom/            0700 (0711 when root starts PostgreSQL as another user, who must pass through)
  secrets.json         0600  passwords and keys, generated once
  ports.json           0600  the ports chosen, so that URLs stay the same over restarts
  run/                 0700  one record per running process, the lock, the supervisor's state
  logs/                0700  one file per service
  postgres/ objects/ dagster/ bentoml/
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from infra.errors import HomeError

CHECKOUT = Path(__file__).resolve().parents[2]
LONGEST_SOCKET_PATH = 100  # bytes; the kernel's sockaddr_un holds 108 with its end, libpq and others want a little less


@dataclass(frozen=True)
class Secrets:
    """What this state folder's engines ask for. Generated once, never printed, never put on a command line."""

    postgres_password: str
    s3_access_key: str
    s3_secret_key: str


@dataclass(frozen=True)
class Home:
    """One state folder, created on first use."""

    path: Path

    @classmethod
    def resolve(cls, environ: Mapping[str, str]) -> Home:
        """Return the folder that TRADELOOM_HOME names, or `.tradeloom/` in the checkout."""
        return cls(Path(environ.get("TRADELOOM_HOME") or CHECKOUT / ".tradeloom").expanduser().resolve())

    @property
    def digest(self) -> str:
        """Sixteen hex digits that stand for this folder where its path would be too long."""
        return sha256(os.fsencode(self.path)).hexdigest()[:16]

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        return self.path / "run"

    def create(self) -> None:
        """Make the folder and its private parts.

        Raises:
            HomeError: It cannot be made or is not ours.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.run.is_dir():
                self._take_over()
            for part in (self.run, self.logs):
                part.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"expected a writable state folder at {self.path}, found: {error.strerror}; "
                "set TRADELOOM_HOME to a folder of yours"
            ) from error

    def _take_over(self) -> None:
        """Make an empty folder ours; a folder that holds other things stays as it is."""
        if any(self.path.iterdir()):
            raise HomeError(
                f"expected an empty folder or a state folder at {self.path}, found other files; name another folder"
            )
        # Root hands PostgreSQL to another user, who must be able to pass through but not to list.
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def socket_folder(self, name: str, longest_name: int) -> Path:
        """Return a folder for unix sockets whose names have at most `longest_name` bytes.

        It lies in the state folder, or, where that path is too long for a socket, under the system's temporary folder.
        """
        inside = self.path / name
        if len(os.fsencode(inside)) + 1 + longest_name <= LONGEST_SOCKET_PATH:
            return inside
        return self.short_folder(name)

    def short_folder(self, name: str) -> Path:
        """The same folder's place under /tmp: short, and different for each user and state folder."""
        return Path("/tmp") / f"tradeloom-{os.geteuid()}-{self.digest}-{name}"

    def secrets(self) -> Secrets:
        """Return the secrets, generating them at the first call.

        Raises:
            HomeError: The file is there but is not ours.
        """
        file = self.path / "secrets.json"
        with self.locked("secrets"):
            if not file.exists():
                write_private(file, json.dumps(_generated(), indent=1))
        try:
            return Secrets(**json.loads(file.read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise HomeError(
                f"expected the secrets of this state folder in {file}, found: {error}; restore the file from a backup"
            ) from error

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a short lock between processes; it goes with the process that holds it."""
        import fcntl

        with (self.run / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _generated() -> dict[str, str]:
    return {
        "postgres_password": secrets.token_urlsafe(24),
        "s3_access_key": secrets.token_hex(12),
        "s3_secret_key": secrets.token_urlsafe(32),
    }


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all, also if the machine stops."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # mkstemp gives mode 0600
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
