"""What of a batch is new, and since when it is known: the heart of the time model (design, section 3).

The first version of a key is known at its nominal time in a `history` batch, and not before it was received in a `live`
one. Every later version is known when it was received: a correction never reaches back. A version that says what was
already in force at that moment is not written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trading.ingestion.reader import Mode
from trading.ingestion.rows import RawRow, VersionedRow


@dataclass(frozen=True)
class KnownVersion:
    """A version that the warehouse has already."""

    known_at: datetime
    watermark: int
    content: tuple[Any, ...]


def new_versions(
    rows: Iterable[RawRow], known: Mapping[tuple[Any, ...], Sequence[KnownVersion]], mode: Mode, received_at: datetime
) -> list[VersionedRow]:
    """Return the rows that add knowledge, each with its `known_at`; `known` holds the earlier versions by key."""
    decided = (_version(row, known.get(row.key, ()), mode, received_at) for row in rows)
    return [version for version in decided if version is not None]


def known_since(nominal_at: datetime, mode: Mode, received_at: datetime, *, is_first: bool) -> datetime:
    """Return when a version could first be known here; never before its nominal time."""
    if is_first and mode == "history":
        return nominal_at
    return max(nominal_at, received_at)


def _version(row: RawRow, known: Sequence[KnownVersion], mode: Mode, received_at: datetime) -> VersionedRow | None:
    since = known_since(row.nominal_at, mode, received_at, is_first=not known)
    if (in_force := _in_force(known, since)) is not None and in_force.content == row.content:
        return None
    return VersionedRow(row, since)


def _in_force(known: Sequence[KnownVersion], at: datetime) -> KnownVersion | None:
    earlier = [version for version in known if version.known_at <= at]
    return max(earlier, key=lambda version: (version.known_at, version.watermark), default=None)
