"""A language model that answers by what it answered before, and asks nobody: parity needs neither network nor key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feature_store.llm_calls import WarehouseCalls
from trading.errors import ModelError
from trading.sentiment.llm import CallKey, CallStore, LlmScorer, LlmSettings

PREFIX = "llm:"


@dataclass(frozen=True)
class OnlyKept:
    """A `trading.sentiment.llm.CallStore` that has an answer or refuses."""

    calls: CallStore

    def find(self, key: CallKey) -> Mapping[str, Any]:
        """Return the kept answer.

        Raises:
            ModelError: there is none.
        """
        found = self.calls.find(key)
        if found is None:
            raise ModelError(f"expected the kept answer of {key.model} to this text, found none")
        return found

    def keep(self, key: CallKey, request: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep nothing: `find` has given an answer or has said that there is none."""
        return answer


def kept_llm(name: str, database_url: str) -> LlmScorer:
    """Return the scorer `llm:MODEL` over the answers that the warehouse keeps."""
    return LlmScorer(LlmSettings(name.removeprefix(PREFIX)), OnlyKept(WarehouseCalls(database_url)))
