"""`trading.served_sentiments`: what the analyst's /sentiment answered outside sessions, so that parity covers it too.

The row and its identity, and the writing of it. Asking the same again lives in serving/explanation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from trading.adapters.event_chain import canonical_json
from trading.identity import row_hash

Json = Mapping[str, Any]


@dataclass(frozen=True)
class ServedSentiment:
    """One answer: `asked` is the whole request, so that it can be sent again; `items` are those that made the score.

    `trace_id` and `served_at` are for people and no part of the identity.
    """

    symbol: str
    as_of: datetime
    watermark: int
    scorer: str
    scorer_version: str
    asked: Json
    score: float
    items: Sequence[Json]
    environment: Json
    trace_id: str
    served_at: datetime

    @property
    def row_hash(self) -> bytes:
        """The identity of this answer."""
        plain = (self.symbol, self.as_of, self.watermark, self.scorer, self.scorer_version, self.score)
        documents = (dict(self.asked), list(self.items), dict(self.environment))
        return row_hash([*plain, *map(canonical_json, documents)])


COLUMNS = tuple(one.name for one in fields(ServedSentiment))
_DOCUMENTS = ("asked", "items", "environment")

_INSERT = sql.SQL("insert into trading.served_sentiments ({}, row_hash) values ({})").format(
    sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), sql.SQL(", ").join([sql.Placeholder()] * (len(COLUMNS) + 1))
)


def record_sentiment(conn: psycopg.Connection, served: ServedSentiment) -> None:
    """Write an answer in the caller's transaction, which does not wait for the disk (docs/decisions/0087)."""
    values = {name: getattr(served, name) for name in COLUMNS}
    conn.execute("set local synchronous_commit = off")
    conn.execute(
        _INSERT,
        [*(Jsonb(value) if name in _DOCUMENTS else value for name, value in values.items()), served.row_hash],
    )
