"""A delivery of prices on its way to the gate, held on disk: blocks of bars, so that memory does not grow with the rows.

What a rule needs of all rows at once is found here by passing over the blocks, a few columns at a time: which days each
symbol has, which symbols there are, and which keys come more than once.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from trading.ingestion.bar_columns import Bars, Times, read_bars
from trading.ingestion.blocks import Block, blocks
from trading.ingestion.candidates import NAIVE, Candidate, Defect, all_naive
from trading.ingestion.gaps import LONGEST, Part
from trading.ingestion.reader import Reader

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# So many keys' hashes are sorted at once: 16 MB, however many rows there are.
_HASHES_AT_ONCE = 2_000_000
_KEY = ("symbol", "interval", "timestamp")


class Spool:
    """The rows of one payload, block by block, in a folder of its own."""

    def __init__(self, folder: Path, reader: Reader) -> None:
        """Begin with none."""
        self._folder = folder
        self.reader = reader
        self.blocks = 0
        self.rows_in = 0
        self.unreadable = Defects(folder / "unreadable")

    def fill(self, stream: IO[bytes]) -> None:
        """Read the whole payload.

        Raises:
            NoRowsError, UnreadablePayloadError, MissingColumnError, NaiveTimeError: it cannot be read as a whole.
        """
        candidates, times_read = 0, Times()
        for block in blocks(stream, self.reader):
            bars = read_bars(block, self.reader, times_read)
            self._keep(block, bars)
            candidates += len(bars.frame)
        self.rows_in = candidates + self.unreadable.count
        if self.unreadable.rules.keys() == {NAIVE} and not candidates:
            raise all_naive(next(iter(self.unreadable)))

    def frame(self, number: int, parts: Sequence[Part], columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a block's bars, each under the name of the part that it belongs to."""
        import polars as pl

        found = pl.read_ipc(self._file("bars", number), columns=list(columns) if columns else None)
        return found.with_columns(symbol=_named(parts, pl.col("timestamp").dt.date()))

    def candidates(self, number: int, rows: Sequence[Mapping[str, Any]]) -> list[Candidate]:
        """Return single rows of a block with the vendor's own words; `rows` have a `number` and their values."""
        block: Block = pickle.loads(self._file("cells", number).read_bytes())
        return [
            Candidate(row["number"], dict(row["values"]), _content(block, row["number"] - block.first)) for row in rows
        ]

    def days(self, parts: Sequence[Part]) -> dict[str, set[date]]:
        """Return days of each symbol's bars, as published: not all, but its stretches and gaps are those of all.

        Of each 250 days the first and the last are kept. So no kept day is farther from the next one than they were, or
        than a gap may be, and the ends of every longer gap are there.
        """
        import polars as pl

        kept = pl.DataFrame(schema={"symbol": pl.String, "day": pl.Date})
        for number in range(self.blocks):
            found = pl.read_ipc(self._file("days", number))
            found = pl.concat([kept, found.with_columns(symbol=_named(parts, pl.col("day")))])
            ends = found.group_by("symbol", pl.col("day").to_physical().floordiv(LONGEST).alias("place")).agg(
                pl.col("day").min().alias("first"), pl.col("day").max().alias("last")
            )
            both = [ends.select("symbol", day=pl.col(name)) for name in ("first", "last")]
            kept = pl.concat(both).unique()
        return {symbol: set(days) for symbol, days in kept.group_by("symbol").agg("day").iter_rows()}

    def survey(self, parts: Sequence[Part]) -> Survey:
        """Return what all bars have together."""

        symbols: set[str] = set()
        ends: dict[str, tuple[datetime, datetime]] = {}
        file = self._folder / "keys"
        with file.open("wb") as keys:
            for number in range(self.blocks):
                frame = self.frame(number, parts, _KEY)
                symbols |= set(frame["symbol"].drop_nulls().unique().to_list())
                for interval, first, last in _ends(frame).iter_rows():
                    known = ends.get(interval, (first, last))
                    ends[interval] = min(known[0], first), max(known[1], last)
                keys.write(key_hashes(frame).tobytes())
        return Survey(symbols, tuple((interval, *both) for interval, both in ends.items()), repeated_hashes(file))

    def _keep(self, block: Block, bars: Bars) -> None:
        bars.frame.write_ipc(self._file("bars", self.blocks))
        bars.days.write_ipc(self._file("days", self.blocks))
        self._file("cells", self.blocks).write_bytes(pickle.dumps(block, protocol=5))
        self.unreadable.add(bars.defects)
        self.blocks += 1

    def _file(self, what: str, number: int) -> Path:
        return self._folder / f"{what}-{number}"


@dataclass(frozen=True)
class Survey:
    """What the bars of a delivery have together.

    Attributes:
        ends: Of each interval, the first and the last time, in UTC without a zone.
        repeated: The hashes of the keys that come more than once.
    """

    symbols: set[str]
    ends: tuple[tuple[str, datetime, datetime], ...]
    repeated: np.ndarray[Any, Any]


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


def key_hashes(frame: pl.DataFrame) -> np.ndarray[Any, Any]:
    """Return a hash of each bar's key: two of one key have one, and two of one hash have nearly always one key."""
    return frame.select(_KEY).hash_rows(0).to_numpy()


def _ends(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return (
        frame.drop_nulls("timestamp")
        .group_by("interval")
        .agg(pl.col("timestamp").min().alias("first"), pl.col("timestamp").max().alias("last"))
    )


def repeated_hashes(file: Path) -> np.ndarray[Any, Any]:
    """Return the hashes (uint64) that the file has more than once, sorting a share of them at a time."""
    import numpy as np

    shares = file.stat().st_size // 8 // _HASHES_AT_ONCE + 1
    found = []
    for share in range(shares):
        ordered = np.sort(np.concatenate([part[part % shares == share] for part in _parts(file)]))
        found.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    return np.concatenate(found)


def _parts(file: Path) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the hashes in a file, some at a time; at least one part, perhaps of none."""
    import numpy as np

    with file.open("rb") as held:
        while True:
            part = np.fromfile(held, "uint64", _HASHES_AT_ONCE)
            yield part
            if len(part) < _HASHES_AT_ONCE:
                return


def _named(parts: Sequence[Part], day: pl.Expr) -> pl.Expr:
    """The rule of `gaps.name_of` for columns: the last part of the symbol that has begun, else the symbol itself."""
    import polars as pl

    named = pl.col("symbol")
    for part in sorted(parts):
        is_of_part = (pl.col("symbol") == part.symbol) & (day >= part.first)
        named = pl.when(is_of_part).then(pl.lit(part.name)).otherwise(named)
    return named


def _content(block: Block, place: int) -> dict[str, str]:
    return {name: str(cell) for name, cell in block.record(place).cells.items() if cell is not None}
