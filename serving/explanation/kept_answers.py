"""The answers of /predict and /score as they are kept: read in blocks of bounded size, in the order of their numbers.

There may be millions, so they are never all in memory, and how they came out is kept as spans (spans.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import psycopg
from psycopg.rows import dict_row

from trading.adapters.served_models import ServedModel
from trading.adapters.served_predictions import ServedPrediction
from trading.adapters.served_scores import ServedScores

PREDICTIONS_AT_ONCE = 20_000
TEXT_BYTES_AT_ONCE = 8_000_000

RowT = TypeVar("RowT", ServedPrediction, ServedScores)
AnswerKind = Literal["prediction", "score"]
Connect = Callable[[], AbstractContextManager[psycopg.Connection]]

TABLES: Mapping[AnswerKind, str] = {"prediction": "trading.served_predictions", "score": "trading.served_scores"}

# An answer whose model's row is gone is read all the same: its hash cannot be right then.
_READ = """
select
    a.*, a.row_hash as recorded, coalesce(m.model_name, '') as model_name, coalesce(m.model_version, '') as model_version,
    m.weights_sha256, coalesce(m.environment, '{{}}') as environment
from {table} as a
left join trading.served_models as m on a.served_model_id = m.served_model_id
where a.served_id between %s and %s
order by a.served_id
"""


@dataclass(frozen=True)
class KeptAnswer(Generic[RowT]):
    """One recorded answer; not `is_intact`: its record was changed."""

    kind: AnswerKind
    served_id: int
    row: RowT
    is_intact: bool
    symbol: None = None

    @property
    def subject_id(self) -> str:
        """Its number."""
        return str(self.served_id)

    @property
    def as_of(self) -> datetime:
        """When it was asked."""
        return self.row.served_at


def predictions_in(connect: Connect, first_id: int, last_id: int) -> Iterator[list[KeptAnswer[ServedPrediction]]]:
    """Yield blocks of the answers of /predict with these numbers."""
    return _blocks(connect, first_id, last_id, _read_predictions)


def scores_in(connect: Connect, first_id: int, last_id: int) -> Iterator[list[KeptAnswer[ServedScores]]]:
    """Yield blocks of the answers of /score with these numbers."""
    return _blocks(connect, first_id, last_id, _read_scores)


def _blocks(
    connect: Connect, first_id: int, last_id: int, read: Callable[..., list[KeptAnswer[RowT]]]
) -> Iterator[list[KeptAnswer[RowT]]]:
    while True:
        with connect() as conn:  # no transaction is open while the models are asked
            block = read(conn, first_id, last_id)
        if not block:
            return
        yield block
        first_id = block[-1].served_id + 1


def _read_predictions(conn: psycopg.Connection, first_id: int, last_id: int) -> list[KeptAnswer[ServedPrediction]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        query = _READ.format(table=TABLES["prediction"]) + "limit %s"
        found = cursor.execute(query, (first_id, last_id, PREDICTIONS_AT_ONCE)).fetchall()
    columns = ("state", "action", "confidence", "trace_id", "served_at")
    return [
        _kept("prediction", row, ServedPrediction(_model(row), **{name: row[name] for name in columns}))
        for row in found
    ]


def _read_scores(conn: psycopg.Connection, first_id: int, last_id: int) -> list[KeptAnswer[ServedScores]]:
    """One request may be twenty megabytes: what is read at once ends after so many bytes, not after so many rows."""
    columns = ("scorer", "texts", "scores", "labels", "trace_id", "served_at")
    block, size = [], 0
    with conn.cursor(name="scores", row_factory=dict_row) as cursor:
        cursor.itersize = 4
        for row in cursor.execute(_READ.format(table=TABLES["score"]), (first_id, last_id)):
            block.append(_kept("score", row, ServedScores(_model(row), **{name: row[name] for name in columns})))
            size += sum(map(len, row["texts"]))
            if size >= TEXT_BYTES_AT_ONCE:
                break
    return block


def _model(row: Mapping[str, Any]) -> ServedModel:
    return ServedModel(row["model_name"], row["model_version"], row["weights_sha256"], row["environment"])


def _kept(kind: AnswerKind, found: Mapping[str, Any], row: RowT) -> KeptAnswer[RowT]:
    return KeptAnswer(kind, found["served_id"], row, row.row_hash == bytes(found["recorded"]))
