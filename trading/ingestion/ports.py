"""What ingestion asks of the outside: a source of data (one module per vendor) and a place where payloads stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trading.ingestion.reader import Kind, Mode, Reader


@dataclass(frozen=True)
class Delivery:
    """What a vendor handed over, untouched, and how to read it."""

    payload: bytes
    name: str  # the file or endpoint that it came from, for people
    reader: Reader


class Source(Protocol):
    """A vendor: it delivers payloads of the kinds that it has and reads nothing into them."""

    @property
    def name(self) -> str:
        """The value of the column `source`."""
        ...

    @property
    def default_mode(self) -> Mode:
        """`history` or `live`, where the caller does not say."""
        ...

    def deliver(self, kind: Kind, partition: str | None) -> Delivery:
        """Return the payload that holds `kind` for `partition` (a month, a range of months, or everything).

        Raises:
            InputError: the source has no such kind, or what it should read is not there.
        """
        ...


class PayloadStore(Protocol):
    """Where payloads stay, by their content."""

    def put(self, payload: bytes) -> str:
        """Keep the payload unless it is kept already; return its key."""
        ...

    def get(self, key: str, sha256: str) -> bytes:
        """Return the payload under `key`; refuse one that does not hash to `sha256`."""
        ...
