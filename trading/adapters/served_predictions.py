"""`trading.served_predictions`: what the oracle's /predict was asked and answered, so that parity covers it too.

The row and its identity, and the writing of it. Reading back what is computed again lives in serving/explanation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trading.adapters.served_models import Connect, ServedModel, ServedModelIds
from trading.identity import row_hash

# One statement says too that its commit does not wait for the disk: each word more to the server costs as much as a row.
_INSERT = """
with quick as materialized (select set_config('synchronous_commit', 'off', true))

insert into trading.served_predictions (served_model_id, state, action, confidence, trace_id, served_at, row_hash)
select v.* from quick, (values {}) as v
"""
_ROW = "(%s::integer, %s::double precision[], %s::smallint, %s::double precision, %s::text, %s::timestamptz, %s::bytea)"
_AT_ONCE = 500  # of at most 65,535 parameters


@dataclass(frozen=True)
class ServedPrediction:
    """One answer: `state` as it was sent, five or six numbers in raw units.

    `trace_id` and `served_at` are for people and no part of the identity.
    """

    model: ServedModel
    state: Sequence[float]
    action: int
    confidence: float
    trace_id: str
    served_at: datetime

    @property
    def row_hash(self) -> bytes:
        """The identity of this answer."""
        return row_hash([self.model.row_hash, len(self.state), *self.state, self.action, self.confidence])


@dataclass(frozen=True)
class PredictionLog:
    """Writes answers to one warehouse; a block of `connect` need not be more than one statement."""

    connect: Connect
    ids: ServedModelIds

    def write(self, served: Sequence[ServedPrediction]) -> None:
        """Write answers by statements that do not wait for the disk, mostly by one (docs/decisions/0125).

        Raises:
            EngineUnavailableError: the warehouse does not answer; what is not written may be written again.
        """
        rows = [_values(one, self.ids.of(one.model)) for one in served]
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            with self.connect() as conn:
                conn.execute(_INSERT.format(", ".join([_ROW] * len(some))), [value for row in some for value in row])


def _values(one: ServedPrediction, model_id: int) -> tuple[object, ...]:
    state = [float(value) for value in one.state]
    return (model_id, state, one.action, one.confidence, one.trace_id, one.served_at, one.row_hash)
