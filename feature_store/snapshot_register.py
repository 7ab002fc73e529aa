"""The register of frozen training sets: which rows, read up to which publication, lie in which object.

The object store knows bytes only; whoever asks which training sets saw a row asks here (feature_store/blast_radius.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from feature_store.services import FeatureService
from feature_store.snapshots import Snapshot
from trading.adapters.recalls import OpenRecall, open_recalls

if TYPE_CHECKING:
    from pandas import DataFrame

_INSERT = """
insert into features.snapshots
    (snapshot_id, object_key, sha256, view, definition, source, symbols, first_timestamp, last_timestamp, row_count, watermark)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (snapshot_id, sha256) do nothing
"""


def record_snapshot(
    conn: psycopg.Connection,
    snapshot: Snapshot,
    service: FeatureService,
    *,
    source: str,
    symbols: Sequence[str],
    first: datetime,
    last: datetime,
    watermark: int,
) -> None:
    """Note that a training set was frozen; the same rows again are the snapshot that is known.

    Args:
        symbols: Those that were asked for.
        first, last: The window that was asked for, both included (bar timestamps, UTC).
        watermark: The publication up to which it was read.
    """
    conn.execute(
        _INSERT,
        (
            *(snapshot.snapshot_id, snapshot.key, snapshot.sha256, service.view, service.definition, source),
            *(sorted(symbols), first, last, snapshot.rows, watermark),
        ),
    )


def resting_on_recalls(conn: psycopg.Connection, rows: DataFrame, source: str, interval: str) -> list[OpenRecall]:
    """Return the recalls in force that `rows` (symbol, timestamp, known_at) rest on.

    A row rests on every bar of its series up to its own that was known when the row was: a correction that came after
    a row's decision is no part of it, and may be recalled without harm to the row.
    """
    if rows.empty:
        return []
    symbols, last = sorted(rows["symbol"].unique()), rows["timestamp"].max().to_pydatetime()
    found = open_recalls(conn, source, symbols, interval, last)
    return [one for one in found if _rests(rows[rows["symbol"] == one.symbol], one)]


def _rests(rows: DataFrame, recall: OpenRecall) -> bool:
    after = rows["timestamp"] >= recall.timestamp
    return bool((after & (rows["known_at"] >= recall.bar_known_at)).any())
