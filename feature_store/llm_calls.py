"""The answers of language models, kept in `features.llm_calls` so that a replay needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from trading.adapters.postgres import connection
from trading.sentiment.llm import CallKey
from trading.telemetry import current_trace_id

_FIND = "select answer from features.llm_calls where model = %s and prompt_hash = %s and item_ids = %s::bigint[]"


@dataclass(frozen=True)
class WarehouseCalls:
    """A `trading.sentiment.llm.CallStore` over the warehouse."""

    database_url: str

    def find(self, key: CallKey) -> Mapping[str, Any] | None:
        """Return the kept answer, None if the question was never answered."""
        with connection(self.database_url, application="tradeloom-llm-calls") as conn:
            row = conn.execute(_FIND, (key.model, key.prompt_hash, list(key.item_ids))).fetchone()
        return None if row is None else row[0]

    def keep(self, key: CallKey, request: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep an answer unless there is one; return the one that stays."""
        with connection(self.database_url, application="tradeloom-llm-calls") as conn:
            conn.execute(
                """insert into features.llm_calls (model, prompt_hash, item_ids, request, answer, trace_id)
                values (%s, %s, %s::bigint[], %s, %s, %s) on conflict do nothing""",
                (
                    key.model,
                    key.prompt_hash,
                    list(key.item_ids),
                    Jsonb(dict(request)),
                    Jsonb(dict(answer)),
                    current_trace_id(),
                ),
            )
            row = conn.execute(_FIND, (key.model, key.prompt_hash, list(key.item_ids))).fetchone()
        assert row is not None, "an answer that was just kept can be read"
        kept: Mapping[str, Any] = row[0]
        return kept
