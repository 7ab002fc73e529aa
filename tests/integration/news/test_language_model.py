"""A language model as scorer, over HTTP, against a server that speaks the real protocol and fails in real ways."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from feature_store.llm_calls import WarehouseCalls
from trading.errors import EngineUnavailableError, ModelError
from trading.sentiment.chain import sentiment_chain
from trading.sentiment.llm import CallKey, LlmScorer, LlmSettings
from trading.sentiment.scorers import Text

_SPEC = importlib.util.spec_from_file_location("chat_server", Path(__file__).with_name("chat_server.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
chat = importlib.util.module_from_spec(_SPEC)
sys.modules["chat_server"] = chat
_SPEC.loader.exec_module(chat)

GOOD = '{"score": 0.6, "label": "positive"}'


class Kept:
    """A CallStore in memory."""

    def __init__(self) -> None:
        self.answers: dict[CallKey, Mapping[str, Any]] = {}

    def find(self, key: CallKey) -> Mapping[str, Any] | None:
        return self.answers.get(key)

    def keep(self, key: CallKey, request: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.answers.setdefault(key, answer)


def server(*replies: Any) -> Any:
    return chat.ChatServer(deque(replies))


def scorer(url: str, calls: Any = None, **settings: Any) -> LlmScorer:
    asked = {"model": "gpt-test", "base_url": url, "api_key": "sk-test", "max_retries": 0, "timeout_seconds": 5.0}
    return LlmScorer(LlmSettings(**{**asked, **settings}), Kept() if calls is None else calls)


def test_a_structured_answer_becomes_a_verdict() -> None:
    with server(chat.Reply(GOOD)) as llm:
        (verdict,) = scorer(llm.url).score([Text("Profit doubled.")])
    assert (verdict.score, verdict.label) == (0.6, "positive")
    (asked,) = llm.asked
    assert asked["path"] == "/v1/chat/completions"
    assert asked["key"] == "Bearer sk-test"
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["schema"]["required"] == ["score", "label"]
    assert asked["messages"][1] == {"role": "user", "content": "Profit doubled."}
    assert asked["temperature"] == 0


@pytest.mark.parametrize(
    "content",
    [
        '{"score": 1.2, "label": "positive"}',
        '{"score": -7, "label": "negative"}',
        '{"score": NaN, "label": "negative"}',
        '{"score": "0.5", "label": "positive"}',
        '{"score": true, "label": "positive"}',
        '{"score": 0.5, "label": "bullish"}',
        '{"label": "positive"}',
        "[0.5]",
        "I think it is good news.",
        '{"score": 0.5, "lab',
        "",
    ],
)
def test_an_answer_of_another_form_or_out_of_range_is_refused_and_not_kept(content: str) -> None:
    calls = Kept()
    with server(chat.Reply(content)) as llm, pytest.raises(ModelError, match=r"llm:gpt-test: .*refused"):
        scorer(llm.url, calls).score([Text("Profit doubled.", 1)])
    assert not calls.answers


def test_too_many_requests_are_tried_again_and_then_said() -> None:
    with server(chat.Reply(status=429), chat.Reply(GOOD)) as llm:
        assert scorer(llm.url, max_retries=2).score([Text("x")])[0].score == 0.6
        assert len(llm.asked) == 2
    with server(chat.Reply(status=429)) as llm, pytest.raises(EngineUnavailableError, match="429"):
        scorer(llm.url, max_retries=1).score([Text("x")])


def test_a_model_that_is_too_slow_or_gone_is_said_in_one_line() -> None:
    with (
        server(chat.Reply(GOOD, delay_seconds=1.0)) as llm,
        pytest.raises(EngineUnavailableError, match=r"gpt-test .*no answer within 0\.2 s"),
    ):
        scorer(llm.url, timeout_seconds=0.2).score([Text("x")])
    with pytest.raises(EngineUnavailableError, match="expected gpt-test to answer"):
        scorer(llm.url).score([Text("x")])


def test_a_server_error_is_an_engine_error() -> None:
    with server(chat.Reply(status=500)) as llm, pytest.raises(EngineUnavailableError, match="gpt-test"):
        scorer(llm.url).score([Text("x")])


def test_ollama_is_asked_in_its_own_protocol() -> None:
    with server(chat.Reply(GOOD)) as llm:
        (verdict,) = scorer(llm.origin, provider="ollama", model="llama-test").score([Text("Profit doubled.")])
    assert verdict.score == 0.6
    assert llm.asked[0]["path"] == "/api/chat"
    assert llm.asked[0]["format"]["required"] == ["score", "label"]
    with server(chat.Reply(status=429)) as llm, pytest.raises(EngineUnavailableError, match="429"):
        scorer(llm.origin, provider="ollama").score([Text("x")])


def test_what_was_answered_once_is_never_asked_again() -> None:
    calls = Kept()
    with server(chat.Reply(GOOD)) as llm:
        first = scorer(llm.url, calls).score([Text("Profit doubled.", 1), Text("Profit doubled.", 2)])
        assert len(llm.asked) == 2
    # the server is gone
    assert scorer(llm.url, calls).score([Text("Profit doubled.", 1), Text("Profit doubled.", 2)]) == first


def test_the_version_is_the_prompts_and_the_name_the_models() -> None:
    one, other = scorer("http://127.0.0.1:9"), scorer("http://127.0.0.1:9", model="other")
    assert (one.name, other.name) == ("llm:gpt-test", "llm:other")
    assert one.version == other.version
    assert len(one.version) == 12


def test_the_chain_scores_what_the_retriever_found_and_keeps_stored_scores() -> None:
    documents = [
        Document("Profit doubled.", metadata={"item_id": 1, "score": None}),
        Document("Sued.", metadata={"item_id": 2, "score": -0.2}),
    ]
    with server(chat.Reply(GOOD)) as llm:
        chain = sentiment_chain(RunnableLambda(lambda _query: documents), scorer(llm.url))
        judged = chain.invoke("profit")
        assert len(llm.asked) == 1
    assert judged.score == (0.6 + -0.2) / 2
    assert [score for _, score in judged.items] == [0.6, -0.2]


def test_the_chain_finds_nothing_to_be_zero() -> None:
    chain = sentiment_chain(RunnableLambda(lambda _query: []), scorer("http://127.0.0.1:9"))
    judged = chain.invoke("")
    assert (judged.score, judged.items) == (0.0, ())


@pytest.mark.engines
def test_the_warehouse_keeps_the_first_answer_for_ever(database_url: str) -> None:
    calls = WarehouseCalls(database_url)
    with server(chat.Reply(GOOD)) as llm:
        scorer(llm.url, calls).score([Text("Profit doubled.", 5)])
    assert scorer(llm.url, calls).score([Text("Profit doubled.", 5)])[0].score == 0.6
    key = CallKey("gpt-test", b"\x01" * 32, (1, 2))
    first = calls.keep(key, {"asked": 1}, json.loads(GOOD))
    assert calls.keep(key, {"asked": 1}, {"score": -1.0, "label": "negative"}) == first
    assert calls.find(CallKey("gpt-test", b"\x01" * 32, (1,))) is None
