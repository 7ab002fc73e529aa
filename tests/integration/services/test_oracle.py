"""The oracle over HTTP, against the model and the feature store asked directly."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from trading.learners.model_card import ModelCard
from trading.strategy import BuyAndHold, MacdCross, state_vector

pytestmark = pytest.mark.engines

RISING = [450.25, 61.0, 3.2, 1.2e7, 0, 0.4]


def moment(day: Any) -> datetime:
    return datetime.fromisoformat(f"{day}T21:15:00+00:00")


def test_predict_gives_the_models_own_answer(oracle: Any) -> None:
    (expected,) = MacdCross().decide(np.array([RISING]))
    assert oracle.answer("/predict", {"state": RISING}) == {
        "action": int(expected.action),
        "confidence": expected.confidence,
    }


def test_sentiment_is_zero_if_left_out(oracle: Any) -> None:
    assert oracle.answer("/predict", {"state": RISING[:5]}) == oracle.answer("/predict", {"state": [*RISING[:5], 0]})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"state": RISING[:4]}, "at least 5 items"),
        ({"state": [*RISING, 1]}, "at most 6 items"),
        ({"state": []}, "at least 5 items"),
        ({"state": ["450", *RISING[1:]]}, "valid number"),
        ({"state": [None, *RISING[1:]]}, "valid number"),
        ({"state": [True, *RISING[1:]]}, "valid number"),
        ('{"state": [NaN, 61, 3.2, 1e7, 0]}', "finite number"),
        ('{"state": [1e999, 61, 3.2, 1e7, 0]}', "finite number"),
        ('{"state": [-Infinity, 61, 3.2, 1e7, 0]}', "finite number"),
        ({"state": [*RISING[:4], 2, 0]}, "position of -1, 0 or 1"),
        ({"state": [*RISING[:4], 0.5, 0]}, "position of -1, 0 or 1"),
        ({"state": "450"}, "valid array"),
        ({}, "Field required"),
        ({"state": RISING, "stat": 1}, "Extra inputs"),
        ({"state": RISING, "model_version": "newest"}, "match pattern"),
        ("{", "Invalid JSON"),
        ("[1]", "should be an object"),
    ],
)
def test_a_bad_state_is_a_400_with_the_reason(oracle: Any, body: object, reason: str) -> None:
    response = oracle.post("/predict", body)
    assert response.status_code == 400
    assert reason in response.text


def test_decide_reads_the_features_itself_and_names_all_it_rests_on(oracle: Any, stage: Any) -> None:
    as_of = moment(stage.days[-1])
    (decision,) = oracle.answer(
        "/decide", {"requests": [{"symbol": "AAPL", "position": 0, "as_of": as_of.isoformat()}]}
    )["decisions"]
    store = stage.store
    row = store.row(store.newest_service("trader-daily"), "AAPL", as_of)
    vector = state_vector([row.values[name] for name in ("close", "rsi_14", "macd", "volume", "sentiment")], 0)
    (expected,) = MacdCross().decide(vector.reshape(1, 6))
    assert decision["vector"] == vector.tolist()
    assert (decision["action"], decision["confidence"]) == (int(expected.action), expected.confidence)
    assert decision["feature_row"]["row_id"] == row.row_id
    assert decision["feature_row"]["row_hash"] == row.row_hash
    assert decision["feature_row"]["definition"] == row.definition
    assert datetime.fromisoformat(decision["feature_row"]["timestamp"]) == row.timestamp
    assert datetime.fromisoformat(decision["feature_row"]["known_at"]) == as_of
    assert decision["feature_row"]["sentiment"] == row.sentiment
    assert decision["feature_row"]["sentiment_items"] == 2
    version = stage.registry.alias("trader-daily", "champion")
    assert decision["model"] == {
        "name": "trader-daily",
        "version": version,
        "weights_sha256": MacdCross().sha256,
        "snapshot_id": None,
    }
    assert decision["environment"]["MKL_CBWR"] == "AVX2"
    assert decision["environment"]["OMP_NUM_THREADS"] == "1"


def test_decide_answers_each_request_alone_as_in_a_batch_and_in_order(oracle: Any, stage: Any) -> None:
    requests = [
        {"symbol": "AAPL", "position": position, "as_of": moment(day).isoformat()}
        for day in stage.days[-12:]
        for position in (0, 1)
    ]
    together = oracle.answer("/decide", {"requests": requests})["decisions"]
    alone = [oracle.answer("/decide", {"requests": [one]})["decisions"][0] for one in requests]
    assert together == alone
    assert {decision["action"] for decision in together} >= {0}
    assert [decision["feature_row"]["timestamp"][:10] for decision in together[::2]] == [
        str(day) for day in stage.days[-12:]
    ]


def test_decide_knows_nothing_later_than_asked(oracle: Any, stage: Any) -> None:
    just_before = moment(stage.days[-1]) - timedelta(microseconds=1)
    asked = {"symbol": "AAPL", "position": 0, "as_of": just_before.isoformat()}
    (decision,) = oracle.answer("/decide", {"requests": [asked]})["decisions"]
    assert decision["feature_row"]["timestamp"][:10] == str(stage.days[-2])
    (nothing,) = oracle.answer("/decide", {"requests": [{**asked, "watermark": 0}]})["decisions"]
    assert (nothing["action"], nothing["feature_row"]) == (None, None)


def test_without_a_usable_row_there_is_no_action_but_a_reason(oracle: Any, stage: Any) -> None:
    early = moment(stage.days[0]).isoformat()
    unknown, warming = oracle.answer(
        "/decide",
        {
            "requests": [
                {"symbol": "ZZZZ", "position": 0},
                {"symbol": "AAPL", "position": 0, "as_of": early},
            ]
        },
    )["decisions"]
    assert (unknown["action"], unknown["confidence"], unknown["vector"]) == (None, None, None)
    assert "no feature row of ZZZZ" in unknown["reason"]
    assert (warming["action"], warming["vector"]) == (None, None)
    assert warming["feature_row"]["values"]["rsi_14"] is None
    assert "rsi_14" in warming["reason"]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"symbol": "AAPL", "position": 2}, "-1, 0 or 1"),
        ({"symbol": "AAPL", "position": 0.5}, "-1, 0 or 1"),
        ({"symbol": "AAPL"}, "Field required"),
        ({"symbol": "", "position": 0}, "at least 1 character"),
        ({"symbol": "A\x00", "position": 0}, "no character zero, found one at place 2"),
        ({"symbol": "AAPL", "position": 0, "source": "\x00"}, "no character zero"),
        ({"symbol": "AAPL", "position": 0, "as_of": "2012-01-20T00:00:00"}, "timezone info"),
        ({"symbol": "AAPL", "position": 0, "as_of": "soon"}, "valid datetime"),
        ({"symbol": "AAPL", "position": 0, "watermark": -1}, "greater than or equal to 0"),
    ],
)
def test_a_bad_request_to_decide_is_a_400_with_the_reason(oracle: Any, item: object, reason: str) -> None:
    response = oracle.post("/decide", {"requests": [item]})
    assert response.status_code == 400
    assert reason in response.text


def test_a_pinned_version_and_another_alias_answer_and_unknown_ones_are_404(oracle: Any, stage: Any) -> None:
    other = stage.register(BuyAndHold())
    stage.registry.set_alias("trader-daily", "challenger", other)
    assert oracle.answer("/predict", {"state": RISING, "model_version": other}) == {"action": 1, "confidence": 1.0}
    assert oracle.answer("/predict", {"state": RISING, "model_version": int(other)})["confidence"] == 1.0
    assert oracle.answer("/predict", {"state": RISING, "alias": "challenger"})["confidence"] == 1.0
    assert oracle.answer("/predict", {"state": RISING})["confidence"] != 1.0
    decided = oracle.answer("/decide", {"requests": [{"symbol": "AAPL", "position": 0}], "model_version": other})
    assert decided["decisions"][0]["model"]["version"] == other
    for unknown in ({"model_version": "999"}, {"alias": "nobody"}):
        response = oracle.post("/predict", {"state": RISING, **unknown})
        assert response.status_code == 404
        assert "trader-daily" in response.json()["error"]


def test_a_promotion_and_a_rollback_are_served_without_a_restart(oracle: Any, stage: Any) -> None:
    first = stage.registry.alias("trader-daily", "champion")
    second = stage.register(BuyAndHold())
    try:
        stage.registry.set_alias("trader-daily", "champion", second)
        oracle.wait_for(lambda c: c.get("/version").json()["model"]["version"] == second)
        assert oracle.answer("/predict", {"state": RISING})["confidence"] == 1.0
    finally:
        stage.registry.set_alias("trader-daily", "champion", first)
    oracle.wait_for(lambda c: c.post("/version").json()["model"]["version"] == first)
    assert oracle.answer("/predict", {"state": RISING})["confidence"] != 1.0


def test_a_version_whose_weights_do_not_match_is_refused_and_never_takes_over(oracle: Any, stage: Any) -> None:
    standing = stage.registry.alias("trader-daily", "champion")
    model = BuyAndHold()
    card = ModelCard(kind=model.kind, weights_sha256=model.sha256, seeds=[99])  # a version of its own
    tampered = stage.registry.register("trader-daily", model, card)
    stage.registry.set_tags("trader-daily", tampered, {"weights_sha256": "0" * 64})
    response = oracle.post("/predict", {"state": RISING, "model_version": tampered})
    assert response.status_code == 503
    assert "0" * 64 in response.json()["error"]
    try:
        stage.registry.set_alias("trader-daily", "champion", tampered)
        oracle.wait_for(lambda c: c.get("/version").json()["problem"] is not None)
        served = oracle.client.get("/version").json()
        assert served["model"]["version"] == standing
        assert "0" * 64 in served["problem"]
        assert oracle.answer("/predict", {"state": RISING})["confidence"] != 1.0
        assert oracle.client.get("/readyz").status_code == 200, "what stood before still decides"
    finally:
        stage.registry.set_alias("trader-daily", "champion", standing)
    oracle.wait_for(lambda c: c.get("/version").json()["problem"] is None)


def test_the_trace_id_of_a_request_comes_back_and_metrics_count(oracle: Any) -> None:
    response = oracle.post("/predict", {"state": RISING}, **{"x-tradeloom-trace-id": "abc123"})
    assert response.headers["x-tradeloom-trace-id"] == "abc123"
    assert 'tradeloom_oracle_decisions_total{action="1"' in oracle.client.get("/metrics").text


def test_the_oracle_comes_back_after_its_connections_were_cut(oracle: Any, stage: Any) -> None:
    asked = {"requests": [{"symbol": "AAPL", "position": 0}]}
    before = oracle.answer("/decide", asked)
    with psycopg.connect(stage.url, autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and pid <> pg_backend_pid()"
        )
    assert oracle.answer("/decide", asked) == before
    assert oracle.client.get("/readyz").status_code == 200


def test_what_is_served_outside_sessions_is_recorded_with_its_whole_moment(oracle: Any, stage: Any) -> None:
    with psycopg.connect(stage.url, autocommit=True) as conn:
        (last,) = conn.execute("select coalesce(max(served_id), 0) from trading.served_vectors").fetchone() or (0,)
        requests = [{"symbol": "AAPL", "position": 1}, {"symbol": "NONE", "position": 0, "watermark": 1}]
        kept = {"requests": requests, "kept_by_caller": True}
        oracle.answer("/decide", kept)
        assert conn.execute("select count(*) from trading.served_vectors where served_id > %s", (last,)).fetchone() == (
            0,
        )
        known, unknown = oracle.answer("/decide", {"requests": requests})["decisions"]
        found = conn.execute(
            "select symbol, position, source, feature_row_id, encode(feature_row_hash, 'hex'), vector, action, confidence,"
            " reason, watermark = raw.newest_watermark(), as_of = served_at, length(trace_id) > 0"
            " from trading.served_vectors where served_id > %s order by served_id",
            (last,),
        ).fetchall()
    row = known["feature_row"]
    assert found == [
        ("AAPL", 1, "sample", row["row_id"], row["row_hash"], known["vector"], known["action"], known["confidence"],
         None, True, True, True),
        ("NONE", 0, None, None, None, None, None, None, unknown["reason"], False, True, True),
    ]  # fmt: skip


def test_no_state_is_answered_that_cannot_be_recorded(oracle: Any, stage: Any) -> None:
    def recorded() -> int:
        with psycopg.connect(stage.url) as conn:
            (count,) = conn.execute("select count(*) from trading.served_predictions").fetchone() or (0,)
        return int(count)

    before = recorded()
    name = psycopg.conninfo.conninfo_to_dict(stage.url)["dbname"]
    with psycopg.connect(psycopg.conninfo.make_conninfo(stage.url, dbname="postgres"), autocommit=True) as conn:
        try:
            conn.execute(f'alter database "{name}" allow_connections false')
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
            refused = oracle.post("/predict", {"state": RISING})
        finally:
            conn.execute(f'alter database "{name}" allow_connections true')
    assert refused.status_code == 503
    assert "expected PostgreSQL to answer" in refused.json()["error"]
    oracle.answer("/predict", {"state": RISING})
    assert recorded() == before + 1
