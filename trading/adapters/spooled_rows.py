"""A delivery on its way to the gate, held on disk: blocks of rows as columns, so that memory does not grow with them.

What a rule needs of all rows at once is found here by passing over the blocks, a few columns at a time. What the columns
are, the spools of each kind say: bar_spool.py, trade_spool.py.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from trading.ingestion.blocks import Block, blocks
from trading.ingestion.candidates import NAIVE, Candidate, Defect, all_naive
from trading.ingestion.gaps import Part
from trading.ingestion.reader import Reader

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# So many keys' hashes are sorted at once: 16 MB, however many rows there are.
_HASHES_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Survey:
    """What the rows of a delivery have together.

    Attributes:
        repeated: The hashes of the keys that come more than once.
        ends: Of each interval of bars, the first and the last time, in UTC without a zone.
    """

    symbols: set[str]
    repeated: np.ndarray[Any, Any]
    ends: tuple[tuple[str, datetime, datetime], ...] = ()


class Spool(ABC):
    """The rows of one payload, block by block, in a folder of its own."""

    key: ClassVar[tuple[str, ...]]
    """The columns that identify a row within its source."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        """Begin with none."""
        self._folder = folder
        self.reader = reader
        self.blocks = 0
        self.rows_in = 0
        self.unreadable = Defects(folder / "unreadable")

    @abstractmethod
    def _read(self, block: Block) -> tuple[pl.DataFrame, list[Defect]]:
        """Return the rows of a block as columns, and those that cannot be read."""

    @abstractmethod
    def _values(self, row: dict[str, Any]) -> Mapping[str, Any]:
        """Return a row of the columns as the reader of single rows gives it."""

    def fill(self, stream: IO[bytes]) -> None:
        """Read the whole payload.

        Raises:
            NoRowsError, UnreadablePayloadError, MissingColumnError, NaiveTimeError: it cannot be read as a whole.
        """
        candidates = 0
        for block in blocks(stream, self.reader):
            frame, defects = self._read(block)
            frame.write_ipc(self._file("rows", self.blocks))
            self._file("cells", self.blocks).write_bytes(pickle.dumps(block, protocol=5))
            self.unreadable.add(defects)
            self.blocks += 1
            candidates += len(frame)
        self.rows_in = candidates + self.unreadable.count
        if self.unreadable.rules.keys() == {NAIVE} and not candidates:
            raise all_naive(next(iter(self.unreadable)))

    def frame(self, number: int, parts: Sequence[Part], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a block's rows, each under the name of the part of its symbol that it belongs to."""
        import polars as pl

        found = pl.read_ipc(self._file("rows", number), columns=list(columns) if columns else None)
        return found.with_columns(symbol=named(parts, pl.col("timestamp").dt.date())) if parts else found

    def candidates(self, number: int, frame: pl.DataFrame) -> list[Candidate]:
        """Return rows of a block as single rows, with the vendor's own words."""
        if frame.is_empty():
            return []
        block: Block = pickle.loads(self._file("cells", number).read_bytes())
        return [
            Candidate(row["number"], dict(self._values(row)), _content(block, row["number"] - block.first))
            for row in frame.iter_rows(named=True)
        ]

    def survey(self, parts: Sequence[Part]) -> Survey:
        """Return what all rows have together."""
        return self._surveyed(parts, self.key, lambda frame: None)

    def hashes(self, frame: pl.DataFrame) -> np.ndarray[Any, Any]:
        """Return a hash of each row's key: two of one key have one, and two of one hash have nearly always one key."""
        return hashes_of(frame, self.key)

    def _surveyed(self, parts: Sequence[Part], columns: Sequence[str], see: Callable[[pl.DataFrame], None]) -> Survey:
        """Pass over all blocks; `see` is shown those columns of each."""
        symbols: set[str] = set()
        file = self._folder / "keys"
        with file.open("wb") as keys:
            for number in range(self.blocks):
                frame = self.frame(number, parts, columns)
                symbols |= set(frame["symbol"].drop_nulls().unique().to_list())
                see(frame)
                keys.write(self.hashes(frame).tobytes())
        return Survey(symbols, repeated_hashes(file))

    def _file(self, what: str, number: int) -> Path:
        return self._folder / f"{what}-{number}"


class Defects:
    """Defects on disk, in the order in which they came, with a count of rows by rule."""

    def __init__(self, file: Path) -> None:
        """Begin with none."""
        self._file = file
        file.write_bytes(b"")
        self.rules: dict[str, int] = {}

    def add(self, defects: Sequence[Defect]) -> None:
        """Put defects behind those that are there."""
        for defect in defects:
            self.rules[defect.rule] = self.rules.get(defect.rule, 0) + 1
        if defects:
            with self._file.open("ab") as file:
                pickle.dump(list(defects), file)

    @property
    def count(self) -> int:
        """The number of defects."""
        return sum(self.rules.values())

    def __iter__(self) -> Iterator[Defect]:
        """Yield them in their order."""
        with self._file.open("rb") as file:
            while file.peek(1):
                yield from pickle.load(file)


def hashes_of(frame: pl.DataFrame, columns: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return a hash (uint64) of each row's values in these columns, the same in every frame."""
    return frame.select(columns).hash_rows(0).to_numpy()


def repeated_hashes(file: Path) -> np.ndarray[Any, Any]:
    """Return the hashes (uint64) that the file has more than once, sorting a share of them at a time."""
    import numpy as np

    shares = file.stat().st_size // 8 // _HASHES_AT_ONCE + 1
    found = []
    for share in range(shares):
        ordered = np.sort(np.concatenate([part[part % shares == share] for part in _parts(file)]))
        found.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    return np.concatenate(found)


def named(parts: Sequence[Part], day: pl.Expr) -> pl.Expr:
    """The rule of `gaps.name_of` for columns: the last part of the symbol that has begun, else the symbol itself."""
    import polars as pl

    found = pl.col("symbol")
    for part in sorted(parts):
        is_of_part = (pl.col("symbol") == part.symbol) & (day >= part.first)
        found = pl.when(is_of_part).then(pl.lit(part.name)).otherwise(found)
    return found


def _parts(file: Path) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the hashes in a file, some at a time; at least one part, perhaps of none."""
    import numpy as np

    with file.open("rb") as held:
        while True:
            part = np.fromfile(held, "uint64", _HASHES_AT_ONCE)
            yield part
            if len(part) < _HASHES_AT_ONCE:
                return


def _content(block: Block, place: int) -> dict[str, str]:
    return {name: str(cell) for name, cell in block.record(place).cells.items() if cell is not None}
