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
from trading.scope_terms import ScopeTerms

if TYPE_CHECKING:
    from pandas import DataFrame

_INSERT = """
insert into features.snapshots
    (snapshot_id, object_key, sha256, view, definition, source, symbols, first_timestamp, last_timestamp, row_count, watermark,
    universe, asked_symbols, interval, adjustment)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (snapshot_id, sha256, universe) do nothing
"""


def record_snapshot(
    conn: psycopg.Connection,
    snapshot: Snapshot,
    service: FeatureService,
    terms: ScopeTerms,
    *,
    symbols: Sequence[str],
    first: datetime,
    last: datetime,
    watermark: int,
) -> None:
    """Note that a training set was frozen; the same rows again under the same universe are the snapshot that is known.

    Args:
        terms: What was asked for; under its universe a row is one of a member, as known at the row's `known_at`.
        symbols: Those that were read.
        first, last: The window that was asked for, both included (bar timestamps, UTC).
        watermark: The publication up to which it was read.
    """
    conn.execute(
        _INSERT,
        (
            *(snapshot.snapshot_id, snapshot.key, snapshot.sha256, service.view, service.definition, terms.source),
            *(sorted(symbols), first, last, snapshot.rows, watermark),
            *(terms.universe, list(terms.symbols), terms.interval, terms.adjustment),
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
