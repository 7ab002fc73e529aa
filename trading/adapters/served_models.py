"""`trading.served_models`: which model answered /predict or /score, and in which numeric environment; each once.

The answers themselves are many and small: they point here (served_predictions.py, served_scores.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import psycopg
from psycopg.types.json import Jsonb

from trading.adapters.event_chain import canonical_json
from trading.identity import row_hash

Connect = Callable[[], AbstractContextManager[psycopg.Connection]]

_FIND = "select served_model_id from trading.served_models where row_hash = %s"
_INSERT = """
insert into trading.served_models (model_name, model_version, weights_sha256, environment, row_hash)
values (%s, %s, %s, %s, %s)
on conflict (row_hash) do nothing
"""


@dataclass(frozen=True)
class ServedModel:
    """One version in one numeric environment; without `weights_sha256` it is a language model."""

    model_name: str
    model_version: str
    weights_sha256: str | None
    environment: Mapping[str, str]

    @cached_property
    def row_hash(self) -> bytes:
        """The identity of this model, part of that of each answer."""
        plain = (self.model_name, self.model_version, self.weights_sha256)
        return row_hash([*plain, canonical_json(dict(self.environment))])


class ServedModelIds:
    """The number of each model in one warehouse, asked for once; the first time the model is written."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._known: dict[bytes, int] = {}

    def of(self, model: ServedModel) -> int:
        """Return the model's number.

        Raises:
            EngineUnavailableError: the warehouse does not answer.
        """
        found = self._known.get(model.row_hash)
        if found is None:
            with self._connect() as conn:
                found = _recorded(conn, model)
            self._known[model.row_hash] = found  # after the commit: a number that was rolled back is nobody's
        return found


def _recorded(conn: psycopg.Connection, model: ServedModel) -> int:
    found = conn.execute(_FIND, (model.row_hash,)).fetchone()
    if found is None:
        values = (model.model_name, model.model_version, model.weights_sha256, Jsonb(dict(model.environment)))
        conn.execute(_INSERT, (*values, model.row_hash))
        found = conn.execute(_FIND, (model.row_hash,)).fetchone()
    assert found is not None, "it is there now, by us or by another worker"
    return int(found[0])
