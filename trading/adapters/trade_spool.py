"""A delivery of trades on its way to the gate, held on disk as single rows, so that memory does not grow with them.

What concerns all rows at once is found by passing over them: the place of a nameless trade among those of its moment,
and which trades come more than once.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from trading.adapters.bar_spool import Defects, repeated_hashes
from trading.ingestion import trades
from trading.ingestion.blocks import blocks
from trading.ingestion.candidates import NAIVE, Candidate, Parsed, all_naive, read_into
from trading.ingestion.reader import Reader

if TYPE_CHECKING:
    import numpy as np

ROWS_AT_ONCE = 25_000
"""Rows held at once: 40 MB of them."""
_MOMENTS_AT_ONCE = 200_000
_Moment = tuple[str, datetime]


class TradeSpool:
    """The rows of one payload, part by part, in a folder of its own."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        """Begin with none."""
        self._folder, self._reader = folder, reader
        self.parts = 0
        self.rows_in = 0
        self.symbols: set[str] = set()
        self.unreadable = Defects(folder / "unreadable")

    def fill(self, stream: IO[bytes]) -> None:
        """Read the whole payload, and name the trades that have no name.

        Raises:
            NoRowsError, UnreadablePayloadError, MissingColumnError, NaiveTimeError: it cannot be read as a whole.
        """
        candidates = 0
        for block in blocks(stream, self._reader):
            for start in range(0, len(block), ROWS_AT_ONCE):
                parsed = Parsed()
                for record in block.records(start, min(start + ROWS_AT_ONCE, len(block))):
                    read_into(parsed, record, self._reader)
                self._keep(parsed)
                candidates += len(parsed.candidates)
        self.rows_in = candidates + self.unreadable.count
        if self.unreadable.rules.keys() == {NAIVE} and not candidates:
            raise all_naive(next(iter(self.unreadable)))
        self._name_nameless()

    def part(self, number: int) -> list[Candidate]:
        """Return the rows of a part."""
        found: list[Candidate] = pickle.loads(self._file(number).read_bytes())
        return found

    def repeated(self) -> np.ndarray[Any, Any]:
        """Return the hashes of the keys that come more than once."""
        return self._repeated(lambda candidate: trades.key(candidate.values))

    def _keep(self, parsed: Parsed) -> None:
        self.unreadable.add(parsed.defects)
        self.symbols |= {one.values["symbol"] for one in parsed.candidates} - {None}
        self._write(self.parts, parsed.candidates)
        self.parts += 1

    def _name_nameless(self) -> None:
        """Some of the moments that several trades share are counted at a time; the others number their trade 1."""
        shared = self._repeated(lambda candidate: _moment(candidate.values))
        shares = len(shared) // _MOMENTS_AT_ONCE + 1
        for share in range(shares):
            seen: Counter[_Moment] = Counter()
            of_share = set(shared[shared % shares == share].tolist())
            for number in range(self.parts):
                candidates = self.part(number)
                nameless = [one.values for one in candidates if _moment(one.values) is not None]
                trades.name_nameless((values for values in nameless if hash_of(_moment(values)) in of_share), seen)
                if share == shares - 1:
                    trades.name_nameless(values for values in nameless if values["trade_id"] is None)
                if nameless:
                    self._write(number, candidates)

    def _repeated(self, about: Callable[[Candidate], Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        file = self._folder / "hashes"
        with file.open("wb") as hashes:
            for number in range(self.parts):
                asked = (about(candidate) for candidate in self.part(number))
                found = [hash_of(one) for one in asked if one is not None]
                hashes.write(np.array(found, dtype="uint64").tobytes())
        return repeated_hashes(file)

    def _write(self, number: int, candidates: list[Candidate]) -> None:
        self._file(number).write_bytes(pickle.dumps(candidates, protocol=5))

    def _file(self, number: int) -> Path:
        return self._folder / f"rows-{number}"


def _moment(values: dict[str, Any]) -> _Moment | None:
    """Return the moment that a trade shall be called by; None: it has a name, or nothing to be called by."""
    symbol, timestamp = values["symbol"], values["timestamp"]
    return (symbol, timestamp) if values["trade_id"] is None and symbol and timestamp else None


def hash_of(value: Any) -> int:
    """Return a hash of 64 bits, the same for the life of this process."""
    return hash(value) & (2**64 - 1)
