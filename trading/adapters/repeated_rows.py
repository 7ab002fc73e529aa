"""Rows of keys that come more than once in a delivery, on disk: all rows of one key in one share, each read once."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

from trading.ingestion.candidates import Candidate


class RepeatedRows:
    """Rows in files of a folder, each found by its key."""

    def __init__(self, folder: Path, keys: int, rows_at_once: int) -> None:
        """Begin with none; `keys` of two rows or more will come, and about `rows_at_once` of them shall be held at once."""
        self._files = [folder / f"repeated-{share}" for share in range(keys * 2 // rows_at_once + 1)]
        for file in self._files:
            file.write_bytes(b"")

    def put(self, candidates: Sequence[Candidate], hashes: Sequence[int]) -> None:
        """Put rows away, each by the hash of its key."""
        shares: dict[int, list[Candidate]] = {}
        for candidate, key in zip(candidates, hashes, strict=True):
            shares.setdefault(key % len(self._files), []).append(candidate)
        for share, rows in shares.items():
            with self._files[share].open("ab") as file:
                pickle.dump(rows, file)

    def __iter__(self) -> Iterator[list[Candidate]]:
        """Yield what was put away, a share at a time, in the order in which it came."""
        for held in self._files:
            found: list[Candidate] = []
            with held.open("rb") as file:
                while file.peek(1):
                    found += pickle.load(file)
            if found:
                yield found
