"""The analyst over HTTP, against the daily feature, the head and the news asked directly."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from feature_store.news_scoring import active_scorers
from feature_store.vectors import Judged
from trading.sentiment.embeddings import WordLlamaEmbeddings

pytestmark = pytest.mark.engines

TEXTS = ["Apple sold a record number of phones.", "Apple was sued over a patent."]


def moment(day: Any) -> datetime:
    return datetime.fromisoformat(f"{day}T21:15:00+00:00")


def test_the_daily_window_gives_the_features_own_number_and_its_items(analyst: Any, stage: Any) -> None:
    store = stage.store
    service = store.newest_service("trader-daily")
    for day in stage.days[-6:]:
        row = store.row(service, "AAPL", moment(day))
        answer = analyst.answer(
            "/sentiment",
            {
                "symbol": "AAPL",
                "as_of": moment(day).isoformat(),
                "window_sessions": 5,
                "scorer_version": service.scorer_version,
            },
        )
        assert answer["score"] == row.sentiment, "the same bits"
        assert len(answer["items"]) == row.sentiment_items
    assert [item["news_id"] for item in answer["items"]] == ["phone", "suit"]
    assert answer["items"][0]["headline"] == TEXTS[0]
    assert answer["items"][0]["url"] == "https://news.example/phone"
    assert (answer["scorer"], answer["scorer_version"]) == ("head", service.scorer_version)


def test_the_daily_value_of_a_later_moment_is_that_of_the_newest_row(analyst: Any, stage: Any) -> None:
    later = moment(stage.days[-1]) + timedelta(days=40)
    asked = {"symbol": "AAPL", "window_sessions": 5}
    assert (
        analyst.answer("/sentiment", {**asked, "as_of": later.isoformat()})["score"]
        == analyst.answer("/sentiment", {**asked, "as_of": moment(stage.days[-1]).isoformat()})["score"]
        != 0.0
    )


def test_the_newest_items_of_the_window_make_the_score(analyst: Any, stage: Any) -> None:
    asked = {"symbol": "AAPL", "as_of": moment(stage.days[-1]).isoformat()}
    answer = analyst.answer("/sentiment", asked)
    assert [item["news_id"] for item in answer["items"]] == ["suit"]
    wider = analyst.answer("/sentiment", {**asked, "window_hours": 24 * 30})
    assert [item["news_id"] for item in wider["items"]] == ["suit", "phone", "old"]
    head = stage.head(1)
    expected = head.scores([TEXTS[1]], WordLlamaEmbeddings().embed_documents([TEXTS[1]]))
    assert answer["score"] == expected[0]
    assert wider["score"] == sum(item["score"] for item in wider["items"]) / 3


def test_a_query_brings_the_nearest_items(analyst: Any, stage: Any) -> None:
    asked = {"symbol": "AAPL", "as_of": moment(stage.days[-1]).isoformat(), "window_hours": 720, "k": 1}
    assert [i["news_id"] for i in analyst.answer("/sentiment", {**asked, "query": "patent lawsuit"})["items"]] == [
        "suit"
    ]
    assert [i["news_id"] for i in analyst.answer("/sentiment", {**asked, "query": "phone sales"})["items"]] == ["phone"]


def test_nothing_later_than_asked_is_known(analyst: Any, stage: Any) -> None:
    before_publication = moment(stage.days[-1]) - timedelta(hours=5, microseconds=1)
    asked = {"symbol": "AAPL", "as_of": before_publication.isoformat(), "window_hours": 720}
    assert "suit" not in [item["news_id"] for item in analyst.answer("/sentiment", asked)["items"]]
    assert analyst.answer("/sentiment", {**asked, "watermark": 0})["items"] == []


def test_no_items_are_a_valid_answer(analyst: Any) -> None:
    answer = analyst.answer("/sentiment", {"symbol": "ZZZZ"})
    assert (answer["score"], answer["items"]) == (0.0, [])


def test_texts_are_scored_like_the_head_scores_them(analyst: Any, stage: Any) -> None:
    head = stage.head(1)
    vectors = WordLlamaEmbeddings().embed_documents(TEXTS)
    answer = analyst.answer("/score", {"texts": TEXTS})
    assert answer["scores"] == head.scores(TEXTS, vectors)
    assert answer["labels"] == head.labels(TEXTS, vectors)


def test_a_pinned_version_scores_what_has_no_score_of_it(analyst: Any, stage: Any) -> None:
    other = stage.register_head(2)
    asked = {"symbol": "AAPL", "as_of": moment(stage.days[-1]).isoformat(), "scorer_version": other}
    answer = analyst.answer("/sentiment", asked)
    vectors = WordLlamaEmbeddings().embed_documents([TEXTS[1]])
    assert answer["score"] == stage.head(2).scores([TEXTS[1]], vectors)[0]
    assert answer["scorer_version"] == other
    daily = analyst.answer("/sentiment", {**asked, "window_sessions": 5})
    assert (daily["score"], daily["items"]) == (0.0, []), "the feature of that version has no scores yet"
    response = analyst.post("/score", {"texts": TEXTS, "scorer_version": "999"})
    assert response.status_code == 404
    assert "sentiment-head" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/score", {"texts": []}, "at least 1 item"),
        ("/score", {"texts": ["good", "  "]}, "expected some text"),
        ("/score", {"texts": [""]}, "expected some text"),
        ("/score", {"texts": "good"}, "valid array"),
        ("/score", {"texts": [1]}, "valid string"),
        ("/score", {}, "Field required"),
        ("/sentiment", {}, "Field required"),
        ("/sentiment", {"symbol": ""}, "at least 1 character"),
        ("/sentiment", {"symbol": "A\x00"}, "no character zero, found one at place 2"),
        ("/sentiment", {"symbol": "AAPL", "query": "\x00"}, "no character zero"),
        ("/sentiment", {"symbol": "AAPL", "k": 0}, "greater than or equal to 1"),
        ("/sentiment", {"symbol": "AAPL", "window_hours": 0}, "greater than 0"),
        ("/sentiment", '{"symbol": "AAPL", "window_hours": NaN}', "window_hours"),
        ("/sentiment", {"symbol": "AAPL", "as_of": "2012-01-20T00:00:00"}, "timezone info"),
        ("/sentiment", {"symbol": "AAPL", "window_sessions": 4}, "Input should be 5"),
        ("/sentiment", {"symbol": "AAPL", "window_sessions": 5, "query": "x"}, "which has no query"),
        ("/sentiment", {"symbol": "AAPL", "since": 5}, "Extra inputs"),
    ],
)
def test_a_bad_question_is_a_400_with_the_reason(analyst: Any, path: str, body: object, reason: str) -> None:
    response = analyst.post(path, body)
    assert response.status_code == 400
    assert reason in response.text


def test_it_says_what_it_serves_and_counts(analyst: Any, stage: Any) -> None:
    version = analyst.client.get("/version").json()
    assert version["head_version"] == stage.registry.alias("sentiment-head", "champion")
    assert version["head_sha256"] == stage.head(1).sha256
    assert "tradeloom_analyst_texts_total" in analyst.client.get("/metrics").text


def test_the_scorers_that_definitions_read_are_known(stage: Any) -> None:
    version = stage.registry.alias("sentiment-head", "champion")
    assert Judged("head", version) in active_scorers(stage.url)


def test_what_is_answered_outside_sessions_is_recorded_as_the_whole_request(analyst: Any, stage: Any) -> None:
    asked = {"symbol": "AAPL", "window_hours": 2400, "k": 2, "as_of": "2012-04-26T21:15:00Z"}
    with psycopg.connect(stage.url, autocommit=True) as conn:
        (last,) = conn.execute("select coalesce(max(served_id), 0) from trading.served_sentiments").fetchone() or (0,)
        analyst.answer("/sentiment", {**asked, "kept_by_caller": True})
        answer = analyst.answer("/sentiment", asked)
        rows = conn.execute(
            "select asked, score, items, scorer_version, watermark = raw.newest_watermark()"
            " from trading.served_sentiments where served_id > %s",
            (last,),
        ).fetchall()
    ((whole, score, items, version, is_newest),) = rows
    assert answer["items"]
    assert (score, items, version, is_newest) == (answer["score"], answer["items"], answer["scorer_version"], True)
    assert whole == {
        **dict.fromkeys(("query", "window_sessions", "decision_at", "source")),
        **asked,
        **{name: answer[name] for name in ("watermark", "scorer", "scorer_version")},
    }
    assert analyst.answer("/sentiment", whole) == answer
