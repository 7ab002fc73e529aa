"""`trading.served_scores`: what the analyst's /score was asked and answered, so that parity covers it too.

The row and its identity, and the writing of it. Asking the same again lives in serving/explanation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trading.adapters.served_models import Connect, ServedModel, ServedModelIds
from trading.identity import row_hash

_INSERT = """
insert into trading.served_scores (
    served_model_id, scorer, texts, scores, labels, trace_id, served_at, row_hash
)
values (%s, %s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True)
class ServedScores:
    """One request: a score in [-1, 1] and a label for each text.

    Texts are kept as UTF-8 bytes, because PostgreSQL's text cannot hold the character zero. `trace_id` and `served_at`
    are for people and no part of the identity.
    """

    model: ServedModel
    scorer: str
    texts: Sequence[bytes]
    scores: Sequence[float]
    labels: Sequence[str]
    trace_id: str
    served_at: datetime

    @property
    def row_hash(self) -> bytes:
        """The identity of this answer."""
        answers = [part for answer in zip(self.texts, self.scores, self.labels, strict=True) for part in answer]
        return row_hash([self.model.row_hash, self.scorer, len(self.texts), *answers])


def record_scores(connect: Connect, ids: ServedModelIds, served: ServedScores) -> None:
    """Write an answer in a transaction that does not wait for the disk (docs/decisions/0125).

    Raises:
        EngineUnavailableError: the warehouse does not answer; nothing is written.
    """
    values = (list(served.texts), list(served.scores), list(served.labels), served.trace_id, served.served_at)
    row = (ids.of(served.model), served.scorer, *values, served.row_hash)
    with connect() as conn:
        conn.execute("set local synchronous_commit = off")
        conn.execute(_INSERT, row)
