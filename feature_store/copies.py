"""Local copies of a definition's rows, for joins of many questions: Parquet chunks that are never changed.

A chunk holds the rows of one range of publications (after, upto] of one definition and says so in its name, together
with the moment of its last publication and the sha256 of its bytes. Rows are append-only and watermarks are in the
order of commits, so a chunk is right for ever, two processes that make the same one do no harm, and the newest rows are
one more chunk. A chunk of another database (or of this one before a restore) has another moment and is not read; one
whose bytes are not those of its name is made again.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from feature_store.fixed_rows import Name, read_rows
from feature_store.joining import Versions
from feature_store.online import Series

if TYPE_CHECKING:
    from polars import DataFrame

MOST_CHUNKS = 8  # then they become one
_NAME = re.compile(r"(\d+)-(\d+)-(\d+)-([0-9a-f]{32})\.parquet")
_KEYS = ("series", "timestamp", "known_at", "watermark", "row_id")
_SEEN: set[tuple[str, int, int]] = set()  # files whose hash this process has checked: path, size, time


@dataclass(frozen=True, order=True)
class Chunk:
    """A file of a copy. `published_at`: when the last publication was recorded, in microseconds."""

    after: int
    upto: int
    published_at: int
    digest: str
    path: Path

    @classmethod
    def of(cls, path: Path) -> Chunk | None:
        """Return what a file's name says; None if it is no chunk."""
        found = _NAME.fullmatch(path.name)
        if found is None:
            return None
        after, upto, published_at = (int(number) for number in found.groups()[:3])
        return cls(after, upto, published_at, found[4], path)

    def is_whole(self) -> bool:
        """Return whether the bytes are there and those of the name; asked once per process and file."""
        try:
            return self._is_as_named()
        except FileNotFoundError:  # another process made one chunk of several
            return False

    def _is_as_named(self) -> bool:
        state = self.path.stat()
        seen = (str(self.path), state.st_size, state.st_mtime_ns)
        if seen not in _SEEN:
            with self.path.open("rb") as content:
                if file_digest(content, "sha256").hexdigest()[:32] != self.digest:
                    return False
            _SEEN.add(seen)
        return True


@dataclass(frozen=True)
class Copy:
    """A definition's rows up to a watermark, on disk."""

    chunks: tuple[Chunk, ...]
    upto: int

    def versions(self) -> Versions:
        """Return what a join needs of every row; the places are those that `column` counts."""
        import numpy as np
        import polars as pl

        numbers: dict[Name, int] = {}
        parts = []
        for chunk in self.chunks:
            keys = pl.read_parquet(chunk.path, columns=list(_KEYS))
            local = [numbers.setdefault(name, len(numbers)) for name in _names(chunk)]
            parts.append((np.array(local, dtype=np.int64)[keys["series"].to_numpy()], keys))
        empty = np.array([], dtype=np.int64)
        series = np.concatenate([series for series, _ in parts]) if parts else empty
        columns = {
            name: np.concatenate([keys[name].to_numpy() for _, keys in parts]) if parts else empty for name in _KEYS[1:]
        }
        return Versions(list(numbers), series, is_ordered=len(parts) == 1, **columns)

    def rows(self, names: Sequence[str]) -> DataFrame:
        """Return columns of every row, in the places of `versions`."""
        import polars as pl

        return pl.concat([pl.read_parquet(chunk.path, columns=list(names)) for chunk in self.chunks], rechunk=False)


class Copies:
    """The copies in one folder, of any number of databases and definitions.

    Args:
        folder: Made at first use, for its owner alone; what lies in it can be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows_missing(self, conn: psycopg.Connection, of: Series) -> int:
        """Return about how many rows `refreshed` would have to fetch now."""
        covered = self._cover(conn, of)[-1:]
        found = conn.execute(
            "select coalesce(sum(row_count), 0) from features.advances where definition = %s and watermark > %s",
            (of.definition, covered[0].upto if covered else 0),
        ).fetchone()
        return int(found[0]) if found else 0

    def refreshed(self, conn: psycopg.Connection, of: Series) -> Copy:
        """Return the copy with every row that is published now; what is new is fetched and kept.

        Raises:
            OSError: the folder cannot be written.
        """
        with conn.transaction():
            conn.execute("set transaction isolation level repeatable read")
            chunks = self._cover(conn, of)
            newest, published_at = _newest(conn, of.definition)
            after = chunks[-1].upto if chunks else 0
            if newest > after:
                names, rows = read_rows(conn, of.view, of.definition, of.interval, of.columns, after, newest)
                chunks.append(self._keep(self._of(conn, of), after, newest, published_at, names, rows))
        if len(chunks) > MOST_CHUNKS:
            chunks = [self._merged(chunks)]
        return Copy(tuple(chunks), max(newest, after))

    def _cover(self, conn: psycopg.Connection, of: Series) -> list[Chunk]:
        """Return chunks that follow each other without a gap from the first publication on, the longest first."""
        there = [chunk for path in self._of(conn, of).glob("*.parquet") if (chunk := Chunk.of(path)) is not None]
        moments = _published_at(conn, [chunk.upto for chunk in there])
        cover: list[Chunk] = []
        after = 0
        for chunk in sorted(there, key=lambda one: (one.after, -one.upto, one.digest)):
            if chunk.after == after and moments.get(chunk.upto) == chunk.published_at and chunk.is_whole():
                cover.append(chunk)
                after = chunk.upto
        return cover

    def _of(self, conn: psycopg.Connection, of: Series) -> Path:
        """A compaction takes versions away, so what was copied before it is another copy."""
        found = conn.execute(
            "select current_database(), (select min(recorded_at) from raw.watermarks),"
            " (select max(compaction_id) from features.compactions where definition = %s)",
            (of.definition,),
        ).fetchone()
        named = sha256(repr((found, of.view, of.definition, of.interval)).encode()).hexdigest()[:32]
        return self._folder / named

    def _keep(
        self, folder: Path, after: int, upto: int, published_at: int, names: Sequence[Name], rows: DataFrame
    ) -> Chunk:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            rows.write_parquet(part, compression="zstd", compression_level=1, metadata={"series": json.dumps(names)})
            with part.open("rb") as content:
                digest = file_digest(content, "sha256").hexdigest()[:32]
                os.fsync(content.fileno())
            path = folder / f"{after}-{upto}-{published_at}-{digest}.parquet"
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        return Chunk(after, upto, published_at, digest, path)

    def _merged(self, chunks: Sequence[Chunk]) -> Chunk:
        """Make one chunk of many. Who reads the old ones goes on: an open file stays, and a lost one is made again."""
        import polars as pl

        numbers: dict[Name, int] = {}
        parts = []
        for chunk in chunks:
            local = [numbers.setdefault(name, len(numbers)) for name in _names(chunk)]
            parts.append(
                pl.read_parquet(chunk.path).with_columns(
                    pl.col("series").replace_strict(list(range(len(local))), local, return_dtype=pl.Int32)
                )
            )
        rows = pl.concat(parts).sort("series", "known_at", "watermark", "row_id")
        last = chunks[-1]
        made = self._keep(last.path.parent, 0, last.upto, last.published_at, list(numbers), rows)
        for chunk in chunks:
            chunk.path.unlink(missing_ok=True)
        return made


def _names(chunk: Chunk) -> list[Name]:
    import polars as pl

    return [(source, symbol) for source, symbol in json.loads(pl.read_parquet_metadata(chunk.path)["series"])]


def _newest(conn: psycopg.Connection, definition: str) -> tuple[int, int]:
    found = conn.execute(
        "select a.watermark, (extract(epoch from w.recorded_at) * 1000000)::bigint"
        " from features.advances as a join raw.watermarks as w using (watermark)"
        " where a.definition = %s order by a.watermark desc limit 1",
        (definition,),
    ).fetchone()
    return (0, 0) if found is None else (found[0], found[1])


def _published_at(conn: psycopg.Connection, watermarks: Sequence[int]) -> Mapping[int, int]:
    found: Any = conn.execute(
        "select watermark, (extract(epoch from recorded_at) * 1000000)::bigint from raw.watermarks"
        " where watermark = any(%s)",
        (list(watermarks),),
    ).fetchall()
    return dict(found)
