"""The payload of one delivery while it is taken in: the bytes as they came, or a copy of a file that nobody changes.

A file is copied, hashed on the way, before anything is read from it: its owner may write to it meanwhile, and the hash,
the rows and what the store keeps must be of the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from trading.adapters.object_store import payload_key
from trading.errors import DiskFullError, InputError
from trading.ingestion.ports import Delivery, PayloadStore

_PART = 1 << 20


@dataclass(frozen=True)
class Payload:
    """What was delivered, and its sha256 in hex."""

    held: bytes | Path
    sha256: str

    @property
    def key(self) -> str:
        """Where the store keeps it."""
        return payload_key(self.sha256)

    def open(self) -> IO[bytes]:
        """Return a new stream of it."""
        return self.held.open("rb") if isinstance(self.held, Path) else io.BytesIO(self.held)

    def read(self) -> bytes:
        """Return it whole."""
        return self.held.read_bytes() if isinstance(self.held, Path) else self.held

    def keep(self, store: PayloadStore) -> None:
        """Have the store keep it."""
        if isinstance(self.held, Path):
            store.put_file(self.key, self.held)
        else:
            store.put(self.held)


@contextmanager
def payload_of(delivery: Delivery) -> Iterator[Payload]:
    """Yield a delivery's payload.

    Raises:
        InputError: its file cannot be read.
        DiskFullError: there is no space for a copy of it.
    """
    if isinstance(delivery.held, bytes):
        yield Payload(delivery.held, hashlib.sha256(delivery.held).hexdigest())
        return
    with TemporaryDirectory(prefix="tradeloom-payload-") as folder:
        copy = Path(folder) / "payload"
        yield Payload(copy, _copied(delivery.held, copy))


def _copied(file: Path, copy: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as source, copy.open("wb") as target:
            while part := source.read(_PART):
                digest.update(part)
                target.write(part)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(
                f"the folder for temporary files has no space left for a copy of {file}; free some and run again"
            ) from error
        raise InputError(f"expected a file to read at {file}, found: {error.strerror}") from error
    return digest.hexdigest()
