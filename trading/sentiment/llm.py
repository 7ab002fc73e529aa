"""A language model as a scorer: one structured question per text, and its answer kept for ever.

Works with OpenAI, Ollama and any endpoint that speaks OpenAI's `/v1/chat/completions`. An answer is taken only if it
is JSON of the asked form with a score in [-1, 1]; anything else is refused with what was found. Every answer is kept
by (model, prompt hash, item ids), and what is kept is not asked again, so a replay needs no network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trading.errors import EngineUnavailableError, ModelAnswerError
from trading.sentiment.scorers import LABELS, Text, Verdict

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable

INSTRUCTIONS = (
    "You judge what one piece of financial news means for the company it is about. "
    "Answer with a score between -1 (very bad for its shareholders) and 1 (very good), 0 if it is neither, "
    "and the label positive, neutral or negative. Judge only what the text says."
)
ANSWER_SCHEMA: dict[str, Any] = {
    "title": "sentiment",
    "description": "What the news means for the company.",
    "type": "object",
    "properties": {
        "score": {"type": "number", "minimum": -1, "maximum": 1},
        "label": {"type": "string", "enum": list(LABELS)},
    },
    "required": ["score", "label"],
    "additionalProperties": False,
}
_CALLS_AT_ONCE = 4


@dataclass(frozen=True)
class LlmSettings:
    """Which language model is asked and how.

    Attributes:
        model: The model's name at the provider.
        provider: `openai` also means every endpoint that speaks OpenAI's protocol.
        base_url: The endpoint; None for the provider's own.
        api_key: None where the endpoint asks for none.
        timeout_seconds: How long one try may take.
        max_retries: Further tries after a 429, a 5xx or a lost connection.
    """

    model: str
    provider: Literal["openai", "ollama"] = "openai"
    base_url: str | None = None
    api_key: str | None = None
    timeout_seconds: float = 20.0
    max_retries: int = 2


@dataclass(frozen=True)
class CallKey:
    """What was asked of whom: the identity of one call."""

    model: str
    prompt_hash: bytes
    item_ids: tuple[int, ...]


class CallStore(Protocol):
    """Keeps the answers of language models; the first answer to a question stays the answer."""

    def find(self, key: CallKey) -> Mapping[str, Any] | None:
        """Return the kept answer, None if the question was never answered."""
        ...

    def keep(self, key: CallKey, request: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep an answer unless there is one; return the one that stays."""
        ...


@dataclass(frozen=True)
class LlmScorer:
    """Scores texts by asking a language model, one call per text."""

    settings: LlmSettings
    calls: CallStore

    @property
    def name(self) -> str:
        """Return `llm:<model>`."""
        return f"llm:{self.settings.model}"

    @property
    def version(self) -> str:
        """Return the hash of the instructions and the form of the answer: another prompt is another version."""
        return hashlib.sha256(json.dumps([INSTRUCTIONS, ANSWER_SCHEMA], sort_keys=True).encode()).hexdigest()[:12]

    def score(self, texts: Sequence[Text]) -> list[Verdict]:
        """Return one verdict per text, kept ones without a call.

        Raises:
            EngineUnavailableError: the model does not answer, or refuses for now (429); ask again later.
            ModelAnswerError: the answer is not of the asked form, or its score is out of range.
        """
        # A copy of the context for each call: the trace id travels into the pool's threads.
        contexts = [copy_context() for _ in texts]
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            return list(pool.map(lambda context, text: context.run(self._verdict, text), contexts, texts))

    def _verdict(self, text: Text) -> Verdict:
        messages = [("system", INSTRUCTIONS), ("human", text.text)]
        key = CallKey(self.settings.model, _prompt_hash(messages), () if text.item_id is None else (text.item_id,))
        kept = self.calls.find(key)
        if kept is None:
            request = {"messages": messages, "schema": ANSWER_SCHEMA, "provider": self.settings.provider}
            kept = self.calls.keep(key, request, self._ask(messages))
        return _verdict_of(self.name, kept)

    def _ask(self, messages: list[tuple[str, str]]) -> dict[str, Any]:
        with _as_engine_errors(self.settings):
            reply = self._structured.invoke(messages)
        parsed = reply["parsed"]
        if not isinstance(parsed, dict):
            found = str(reply["raw"].content)[:200]
            raise ModelAnswerError(f"{self.name}: expected JSON with a score and a label, found {found!r}; refused")
        _verdict_of(self.name, parsed)
        return {**parsed, "content": reply["raw"].content, "usage": reply["raw"].usage_metadata}

    @cached_property
    def _structured(self) -> Runnable[Any, Any]:
        return chat_model(self.settings).with_structured_output(ANSWER_SCHEMA, method="json_schema", include_raw=True)


def chat_model(settings: LlmSettings) -> BaseChatModel:
    """Return the LangChain chat model of `settings`; nothing is connected yet."""
    if settings.provider == "ollama":
        from langchain_ollama import ChatOllama

        return ChatOllama(
            model=settings.model,
            base_url=settings.base_url,
            temperature=0,
            seed=7,
            client_kwargs={"timeout": settings.timeout_seconds},
        )
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(
        model=settings.model,
        base_url=settings.base_url,
        # The client refuses to start without a key; endpoints that ask for none ignore it.
        api_key=SecretStr(settings.api_key or "none"),
        timeout=settings.timeout_seconds,
        max_retries=settings.max_retries,
        temperature=0,
        seed=7,
    )


def _verdict_of(scorer: str, answer: Mapping[str, Any]) -> Verdict:
    score, label = answer.get("score"), answer.get("label")
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise ModelAnswerError(f"{scorer}: expected a number as score, found {score!r}; the answer is refused")
    try:
        return Verdict(float(score), label)  # type: ignore[arg-type]  # Verdict refuses what is no label
    except ModelAnswerError as error:
        raise ModelAnswerError(f"{scorer}: {error}") from error


def _prompt_hash(messages: list[tuple[str, str]]) -> bytes:
    return hashlib.sha256(json.dumps([messages, ANSWER_SCHEMA], sort_keys=True).encode()).digest()


@contextmanager
def _as_engine_errors(settings: LlmSettings) -> Iterator[None]:
    import httpx
    import ollama
    import openai

    try:
        yield
    except (openai.APITimeoutError, httpx.TimeoutException) as error:
        found = f"no answer within {settings.timeout_seconds:g} s; ask again"
        raise EngineUnavailableError(f"expected {settings.model} to answer, found {found}") from error
    except (openai.APIStatusError, ollama.ResponseError) as error:
        found = f"status {error.status_code}" + (" (too many requests); wait" if error.status_code == 429 else "")
        raise EngineUnavailableError(f"expected {settings.model} to answer, found {found}: {error}") from error
    except (openai.OpenAIError, httpx.HTTPError, ConnectionError) as error:
        raise EngineUnavailableError(f"expected {settings.model} to answer, found: {error}") from error
