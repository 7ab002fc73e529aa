"""What ingestion asks of the outside: a source of data (one module per vendor) and a place where payloads stay.

A source that has its data at hand delivers it whole (`Source`). A vendor behind a network is asked for a range (`Ask`)
and answers in pages (`Page`), each of which becomes a batch (`trading.adapters.fetching`; docs/sources.md); where it
does not give a part of it, it says so (`Hole`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from trading.errors import InputError
from trading.ingestion.reader import NEWEST_PARSER, Adjustment, Gap, Kind, Mode, Reader


@dataclass(frozen=True)
class Delivery:
    """What a vendor handed over, untouched, and how to read it.

    Attributes:
        held: Its bytes; or, of what may not fit into memory, the file that has them.
        name: The file or endpoint that it came from, for people.
    """

    held: bytes | Path
    name: str
    reader: Reader

    @property
    def payload(self) -> bytes:
        """The bytes, whole.

        Raises:
            InputError: the file cannot be read.
        """
        if isinstance(self.held, bytes):
            return self.held
        try:
            return self.held.read_bytes()
        except OSError as error:
            raise InputError(f"expected a file to read at {self.held}, found: {error.strerror}") from error


@dataclass(frozen=True)
class Ask:
    """What a vendor is asked for.

    Attributes:
        symbols: In the order in which they are fetched.
        interval: The length of the bars, such as `1d`; of no meaning for actions and news.
        start: The first moment, UTC, included.
        end: The last moment, UTC, excluded.
        calendar: The exchange calendar of symbols that are not known yet.
        gap: What bars after a long gap of their symbol are (`Reader.gap`).
    """

    kind: Kind
    symbols: tuple[str, ...]
    interval: str
    start: datetime
    end: datetime
    calendar: str = "XNYS"
    gap: Gap = "refuse"

    def reader(self, format_: str, adjustment: Adjustment = "raw", **details: str) -> Reader:
        """Return how a page of this ask is read; `details` say what the bytes do not, such as `symbol="AAPL"`."""
        return Reader(
            self.kind,
            format_,
            interval=self.interval,
            adjustment=adjustment,
            calendar=self.calendar,
            parser=NEWEST_PARSER[self.kind],
            gap=self.gap,
            details=details,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the ask as JSON values: what tells one fetch from another."""
        return {
            **asdict(self),
            "symbols": list(self.symbols),
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
        }


@dataclass(frozen=True)
class Page:
    """One answer of a vendor, untouched, and how to read it.

    Attributes:
        payload: The body as it came: no credentials, nothing added.
        name: What it is, for people, such as `chart AAPL 1d 2010-01-01`; no credentials either.
        cursor: From where the vendor goes on after this page, in the vendor's own words.
    """

    payload: bytes
    name: str
    reader: Reader
    cursor: str


@dataclass(frozen=True)
class Hole:
    """What was asked for and does not come, while the rest does: told at the end, and never taken for "there is nothing".

    Attributes:
        what: What is missing, for people, such as `bars BTC/USD 1d 2010-01-01 to 2024-12-03`; no credentials.
        why: Why, and what can be done, in one line.
    """

    what: str
    why: str

    def sentence(self) -> str:
        """Return the hole in one line."""
        return f"{self.what}: {self.why}"


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

    def put_file(self, key: str, path: Path) -> None:
        """Keep the file under the key of its content unless it is kept already, without holding it whole."""
        ...

    def get(self, key: str, sha256: str) -> bytes:
        """Return the payload under `key`; refuse one that does not hash to `sha256`."""
        ...
