"""The analyst with a language model for a scorer: asked once per item, and answering without it ever after."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from serving.explanation.analyst_answering import ask_analyst
from serving.explanation.score_answering import AskedScores, Scored, ask_scores

pytestmark = pytest.mark.engines

_SPEC = importlib.util.spec_from_file_location("chat_server", Path(__file__).parents[1] / "news" / "chat_server.py")
assert _SPEC is not None
assert _SPEC.loader is not None
chat = importlib.util.module_from_spec(_SPEC)
sys.modules["chat_server"] = chat
_SPEC.loader.exec_module(chat)


def test_a_model_is_asked_once_per_item_and_a_replay_needs_no_network(
    stage: Any, settings: dict[str, str], run_service: Any, tmp_path: Path
) -> None:
    as_of = datetime.fromisoformat(f"{stage.days[-1]}T21:15:00+00:00").isoformat()
    asked = {"symbol": "AAPL", "as_of": as_of, "window_hours": 720}
    replies = deque([chat.Reply('{"score": 0.5, "label": "positive"}')])
    with chat.ChatServer(replies) as llm:
        own = {**settings, "TRADELOOM_LLM_MODEL": "gpt-test", "TRADELOOM_LLM_URL": llm.url}
        with run_service("analyst", tmp_path, **own) as analyst:
            analyst.wait_for(lambda c: c.get("/readyz").status_code == 200)
            first = analyst.answer("/sentiment", asked)
            assert (first["score"], first["scorer"], len(first["items"])) == (0.5, "llm:gpt-test", 3)
            scored = analyst.answer("/score", {"texts": ["Profit doubled."]})
            assert scored["labels"] == ["positive"]
            llm.replies.append(chat.Reply('{"score": 3, "label": "positive"}'))
            llm.replies.popleft()
            assert analyst.answer("/sentiment", asked) == first
            assert len(llm.asked) == 4
            out_of_range = analyst.post("/score", {"texts": ["Another text."]})
            assert out_of_range.status_code == 502
            assert "[-1, 1]" in out_of_range.json()["error"]
            assert analyst.post("/sentiment", {**asked, "scorer_version": "other"}).status_code == 404
    with run_service("analyst", tmp_path, **own) as analyst:
        analyst.wait_for(lambda c: c.get("/readyz").status_code == 200)
        assert analyst.answer("/sentiment", asked) == first
        gone = analyst.post("/score", {"texts": ["A third text."]})
        assert gone.status_code == 503
        assert "gpt-test" in gone.json()["error"]
    version = scored["scorer_version"]
    again, other_text, other_prompt = ask_scores(
        [
            AskedScores("llm:gpt-test", "llm:gpt-test", version, ["Profit doubled."]),
            AskedScores("llm:gpt-test", "llm:gpt-test", version, ["A third text."]),
            AskedScores("llm:gpt-test", "llm:gpt-test", "other", ["Profit doubled."]),
        ],
        settings,
    ).answers
    assert again == Scored(scored["scores"], scored["labels"], None), "by its kept answer, whoever is configured"
    assert other_text == "expected the kept answer of gpt-test to this text, found none"
    assert str(other_prompt).endswith("found version other recorded")
    moment = {name: first[name] for name in ("scorer", "scorer_version", "watermark")}
    (sentiment,) = ask_analyst([{**asked, **moment}], settings).answers
    assert sentiment == (first["score"], [(item["item_id"], item["score"]) for item in first["items"]])
