"""Every fill explains itself and every decision replays; what was tampered with is found, at its level.

Parity says the same of all that was served, with the cause.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import psycopg
import pytest

from orchestration.parity_meter import OfflineParity
from serving.explanation.newest import newest_decision, newest_fill
from serving.explanation.stored import read_decisions
from trading.adapters.postgres import Warehouse

pytestmark = pytest.mark.engines


@contextmanager
def tampered(desk, change: str, undo: str) -> Iterator[None]:
    """Edit the tables behind their own back, as only the database's owner can; put it right again after."""

    def run(statement: str) -> None:
        with psycopg.connect(desk.url) as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute(statement)

    run(change)
    try:
        yield
    finally:
        run(undo)


@pytest.fixture
def fill(desk):
    """One fill with its order, decision, feature row and bar."""
    (row,) = desk.rows(
        "select f.fill_id, d.decision_id, d.feature_row_id, f.bar_id, d.session_id, d.bar_id from trading.fills as f"
        " join trading.order_intents as i using (client_order_id) join trading.decisions as d using (decision_id)"
        " order by f.timestamp, f.symbol limit 1"
    )
    return row


def test_all_fills_verify(desk):
    found = desk.explained("fill", "--all")
    assert len(found) >= 5
    assert [one["fill_id"] for one in found if not one["verified"]] == []
    assert all("checks out" in one["text"] for one in found)


def test_the_newest_fill_and_decision_are_those_of_the_last_bars(desk):
    fills = desk.rows("select fill_id, timestamp from trading.fills order by 1")
    decisions = desk.rows("select decision_id, timestamp from trading.decisions order by 1")
    with desk.sources() as sources:
        assert newest_fill(sources) == max(fills, key=lambda row: row[1])[0]
        assert newest_decision(sources) == max(decisions, key=lambda row: row[1])[0]


def test_all_decisions_verify_and_replay_identically(desk):
    (count,) = desk.rows("select count(*) from trading.decisions")[0]
    explained = desk.explained("decision", "--all")
    replayed = desk.replayed("decision", "--all")
    assert len(explained) == len(replayed) == count
    assert [one for one in explained if not one["verified"]] == []
    assert [one for one in replayed if not one["identical"]] == []
    assert {one["environment"] for one in replayed} == {"same"}


def test_sentiment_of_the_model_came_from_scored_news(desk):
    found = [one for one in desk.explained("decision", "--all") if one["chain"]["news"]]
    assert found
    item = found[0]["chain"]["news"][0]
    assert item["verified"]
    assert item["scorer"] == "head"


def test_explanation_of_no_order_says_why(desk):
    (decision_id,) = desk.rows("select decision_id from trading.decisions where outcome = 'held' limit 1")[0]
    (found,) = desk.explained("decision", decision_id)
    assert "HOLD" in found["text"]


def test_changed_fill_is_not_verified(desk, fill):
    change = f"update trading.fills set quantity = quantity {{}} 1 where fill_id = '{fill[0]}'"
    with tampered(desk, change.format("+"), change.format("-")):
        (found,) = desk.explained("fill", fill[0], code=1)
    assert not found["verified"]
    assert any("fill was changed" in problem for problem in found["problems"])


def test_changed_decision_differs_at_the_model_level(desk, fill):
    change = f"update trading.decisions set confidence = confidence - 0.0001 where decision_id = '{fill[1]}'"
    keep = desk.rows("select confidence from trading.decisions where decision_id = %s", fill[1])[0][0]
    undo = f"update trading.decisions set confidence = '{keep!r}' where decision_id = '{fill[1]}'"
    with tampered(desk, change, undo):
        (found,) = desk.replayed("decision", fill[1], code=1)
    assert found["levels"] == {"model": False, "features": True, "data": True}


def test_changed_feature_row_differs_at_the_features_level(desk, fill):
    keep = desk.rows("select rsi_14 from features.daily where row_id = %s", fill[2])[0][0]
    change = f"update features.daily set rsi_14 = rsi_14 + 0.001 where row_id = {fill[2]}"
    undo = f"update features.daily set rsi_14 = '{keep!r}' where row_id = {fill[2]}"
    with tampered(desk, change, undo):
        (found,) = desk.replayed("decision", fill[1], code=1)
        (explained,) = desk.explained("fill", fill[0], code=1)
    assert found["levels"] == {"model": True, "features": False, "data": True}
    assert not explained["chain"]["feature_row"]["verified"]


def test_changed_bar_differs_at_the_data_level(desk, fill):
    change = f"update raw.price_bars set volume = volume {{}} 1 where bar_id = {fill[5]}"
    with tampered(desk, change.format("+"), change.format("-")):
        (found,) = desk.replayed("decision", fill[1], code=1)
    assert found["levels"]["model"]
    assert not found["levels"]["data"]


def test_rewritten_chain_does_not_meet_its_anchor(desk, fill):
    """Whoever rewrites the last event and all hashes with it still cannot rewrite the anchor in S3."""
    session = fill[4]
    keep = desk.rows(
        "select payload, hash, sequence from trading.events where session_id = %s order by 3 desc", session
    )[0]
    where = f"session_id = '{session}' and sequence = {keep[2]}"

    def rewrite(payload: str) -> str:
        hashed = f"trading.event_hash(session_id, sequence, kind, occurred_at, '{payload}', previous_hash)"
        return f"update trading.events set payload = '{payload}', hash = {hashed} where {where}"

    with tampered(desk, rewrite('{"last_timestamp":"2999"}'), rewrite(keep[0])):
        (found,) = desk.explained("fill", fill[0], code=1)
    assert any("anchored" in problem for problem in found["problems"])


def test_deleted_fill_is_named_although_no_row_is_left_of_it(desk, fill):
    copy = "create table public.kept as select * from trading.fills where fill_id = '{0}'; "
    delete = "delete from trading.fills where fill_id = '{0}'"
    undo = "insert into trading.fills select * from public.kept; drop table public.kept"
    with tampered(desk, (copy + delete).format(fill[0]), undo):
        found = {one["fill_id"]: one for one in desk.explained("fill", "--all", code=1)}
    assert not found[fill[0]]["verified"]
    assert [name for name, one in found.items() if not one["verified"]] == [fill[0]]


def test_deleted_decision_is_named_by_replay(desk, fill):
    copy = "create table public.kept as select * from trading.decisions where decision_id = '{0}'; "
    delete = "delete from trading.decisions where decision_id = '{0}'"
    undo = "insert into trading.decisions select * from public.kept; drop table public.kept"
    with tampered(desk, (copy + delete).format(fill[1]), undo):
        found = {one["decision_id"]: one for one in desk.replayed("decision", "--all", code=1)}
    assert [name for name, one in found.items() if not one["identical"]] == [fill[1]]


def test_decision_rewritten_with_its_hash_is_not_identical(desk, fill):
    """The outcome is nothing that a model or a feature computes again: the chain alone knows it."""
    with desk.sources() as sources:
        (stored,) = read_decisions(sources.conn, [fill[1]])
    forged = replace(stored.row, reason_code="forged").row_hash.hex()
    where = f"where decision_id = '{fill[1]}'"
    change = f"update trading.decisions set reason_code = 'forged', row_hash = '\\x{forged}' {where}"
    undo = f"update trading.decisions set reason_code = null, row_hash = '\\x{stored.row_hash.hex()}' {where}"
    with tampered(desk, change, undo):
        (found,) = desk.replayed("decision", fill[1], code=1)
    assert found["levels"] == {"model": True, "features": True, "data": True}
    assert any("does not hold" in difference for difference in found["differences"])


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        (
            "update trading.orders set broker = 'other' where client_order_id = '{order}'",
            "update trading.orders set broker = 'paper' where client_order_id = '{order}'",
            "the broker's word",
        ),
        (
            "update trading.sessions set risk = risk || '{{\"max_feature_age_sessions\": 9}}' where session_id = '{session}'",
            "update trading.sessions set risk = risk || '{{\"max_feature_age_sessions\": 0}}' where session_id = '{session}'",
            "the terms of",
        ),
        (
            "update trading.sessions set feature_service = feature_service || '{{\"name\": \"x\"}}' where session_id = '{session}'",
            'update trading.sessions set feature_service = feature_service || \'{{"name": "trader-daily"}}\''
            " where session_id = '{session}'",
            "feature service",
        ),
        (
            "update trading.postings set account = 'expense:other' where transaction_id = '{fill}' and account = 'expense:commission'",
            "update trading.postings set account = 'expense:commission' where transaction_id = '{fill}' and account = 'expense:other'",
            "did not move by what the fill says",
        ),
        (
            "update features.news_scores set score = -score where score_id = {score}",
            "update features.news_scores set score = -score where score_id = {score}",
            "score of item",
        ),
        (
            "update raw.news_items set headline = headline || '!' where item_id = {item}",
            "update raw.news_items set headline = rtrim(headline, '!') where item_id = {item}",
            "news item",
        ),
    ],
)
def test_whatever_is_changed_behind_a_fill_it_no_longer_verifies(desk, change, undo, told):
    (found,) = desk.rows(
        "select f.fill_id, f.client_order_id, f.session_id, (d.sentiment_items -> 0 ->> 'item_id')::bigint, z.score_id"
        " from trading.fills as f join trading.order_intents as i using (client_order_id)"
        " join trading.decisions as d using (decision_id)"
        " join features.news_scores as z on z.item_id = (d.sentiment_items -> 0 ->> 'item_id')::bigint"
        " where z.score <> 0 order by f.timestamp, f.symbol limit 1"
    )
    names = dict(zip(("fill", "order", "session", "item", "score"), found, strict=True))
    with tampered(desk, change.format(**names), undo.format(**names)):
        (one,) = desk.explained("fill", names["fill"], code=1)
    assert any(told in problem for problem in one["problems"]), one["problems"]
    (again,) = desk.explained("fill", names["fill"])
    assert again["verified"]


def test_changed_function_is_said_and_never_identical(desk, fill):
    (source,) = desk.rows("select pg_get_functiondef('features.sentiment_v1'::regproc)")[0]
    with tampered(desk, source.replace("coalesce(sum", "coalesce(-sum", 1), source):
        (found,) = desk.replayed("decision", fill[1], code=1)
        (explained,) = desk.explained("fill", fill[0], code=1)
    assert found["levels"] == {"model": True, "features": False, "data": True}
    assert any("sentiment_v1" in difference for difference in found["differences"])
    assert not explained["chain"]["definition"]["verified"]


def test_replaced_payload_differs_at_the_data_level(desk, fill):
    """Another object of the same length under the payload's key."""
    (key, sha256) = desk.rows(
        "select g.payload_key, g.payload_sha256 from raw.price_bars as b join raw.ingestion_batches as g using (batch_id)"
        " where b.bar_id = %s", fill[3]
    )[0]  # fmt: skip
    payload = desk.objects.get(key, sha256)
    _replace_object(desk, key, payload[:-2] + b"9\n")
    try:
        (found,) = desk.replayed("decision", fill[1], code=1)
        (explained,) = desk.explained("fill", fill[0], code=1)
    finally:
        _replace_object(desk, key, payload)
    assert found["levels"] == {"model": True, "features": True, "data": False}
    assert any("sha256" in problem for problem in explained["problems"])


def _replace_object(desk, key: str, payload: bytes) -> None:
    store = desk.objects
    store._client.put_object(bucket_name=store.bucket, object_name=key, data=io.BytesIO(payload), length=len(payload))


def test_unknown_id_is_one_clear_line(desk):
    assert "o-nothing" in desk.refused("explain", "fill", "o-nothing")
    assert "d-nothing" in desk.refused("replay", "decision", "d-nothing")


def parity(desk, *, full=False):
    """Measure parity as the asset does."""
    return OfflineParity(Warehouse(desk.url), desk.registry).measure(full=full, trace_id="test")


def test_all_that_was_served_is_identical_and_asked_once_only(desk):
    questions = [
        {"symbol": "IBM", "position": 1},  # now, with what is known now
        {"symbol": "IBM", "position": 0, "as_of": "2012-03-15T20:30:00Z"},
        {"symbol": "IBM", "position": -1, "as_of": "2012-03-16T20:30:00+00:00", "watermark": 1},  # nothing was known
        {"symbol": "NONE", "position": 0},
    ]
    answers = _asked(desk.endpoints.oracle_url, "/decide", {"requests": questions})
    assert [answer["vector"] is None for answer in answers["decisions"]] == [False, False, True, True]
    moment = {"symbol": "IBM", "as_of": "2012-03-15T20:30:00Z"}
    asked_of_analyst = [
        {**moment, "window_sessions": 5},
        {**moment, "window_hours": 2000, "k": 5},
        {**moment, "window_hours": 2000, "k": 2, "query": "earnings and profit"},
        {"symbol": "NONE"},
    ]
    sentiments = [_asked(desk.endpoints.analyst_url, "/sentiment", one) for one in asked_of_analyst]
    assert [bool(sentiment["items"]) for sentiment in sentiments][1:] == [True, True, False]
    ((decisions,),) = desk.rows("select count(*) from trading.decisions")
    found, all_of_it = parity(desk), decisions + 8
    assert (found.mode, found.checked, found.differing, found.causes) == ("new", all_of_it, 0, {})
    assert found.identical == found.identical_in_all == found.served_in_all == all_of_it
    again, everything = parity(desk), parity(desk, full=True)
    assert (again.checked, again.identical_in_all) == (0, all_of_it)
    assert (everything.checked, everything.identical, everything.mode) == (all_of_it, all_of_it, "full")


def _asked(url, path, body):
    response = httpx.post(f"{url}{path}", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def rewritten(stored, **changed):
    """Return (change, undo) of a decision rewritten by somebody who knows how its hash is made."""
    row = replace(stored.row, **changed)
    values = {
        "vector": "null" if row.vector is None else f"array{list(row.vector)}::double precision[]",
        "confidence": repr(row.confidence),
        "sentiment_items": f"'{json.dumps(list(row.sentiment_items))}'".replace("%", "%%"),
        "environment": f"'{json.dumps(dict(row.environment))}'",
    }
    sets = ", ".join(f"{name} = {values[name]}" for name in changed)
    return f"update trading.decisions set {sets}, row_hash = '\\x{row.row_hash.hex()}' where decision_id = '{row.decision_id}'"


def test_each_planted_difference_is_found_and_its_cause_named(desk):
    """Seven decisions, an answer of each service and a bar, each tampered with in another way; all else is identical."""
    moment = {"symbol": "IBM", "as_of": "2012-03-15T20:30:00Z"}
    _asked(desk.endpoints.oracle_url, "/decide", {"requests": [{**moment, "position": 0}]})
    _asked(desk.endpoints.analyst_url, "/sentiment", {**moment, "window_hours": 2000})
    with desk.sources() as sources:
        stored = [
            one for one in read_decisions(sources.conn, None) if one.row.sentiment_items and one.row.symbol == "AAPL"
        ]
    hit = dict(zip(("record", "vector", "answer", "sentiment", "elsewhere", "changed", "gone"), stored, strict=False))
    ids = {name: one.row.decision_id for name, one in hit.items()}
    first = hit["vector"].row
    plants = [
        f"update trading.decisions set vector[2] = vector[2] + 1 where decision_id = '{ids['record']}'",
        rewritten(hit["vector"], vector=(first.vector[0], first.vector[1] + 1, *first.vector[2:])),
        rewritten(hit["answer"], confidence=hit["answer"].row.confidence - 0.001),
        rewritten(hit["sentiment"], sentiment_items=hit["sentiment"].row.sentiment_items[1:]),
        rewritten(hit["elsewhere"], environment={**hit["elsewhere"].row.environment, "python": "3.0"}),
        f"update features.daily set rsi_14 = rsi_14 + 1 where row_id = {hit['changed'].row.feature_row_id}",
        f"delete from features.daily where row_id = {hit['gone'].row.feature_row_id}",
        "update trading.served_vectors set action = 1 - sign(action) where served_id = (select max(served_id) from trading.served_vectors)",
        "update trading.served_sentiments set score = score / 2 + 0.1"
        " where served_id = (select max(served_id) from trading.served_sentiments)",
        "update raw.price_bars set volume = volume + 1 where symbol = 'MSFT' and timestamp = '2012-06-29T00:00Z'",
    ]
    names = (
        "trading.decisions",
        "features.daily",
        "trading.served_vectors",
        "trading.served_sentiments",
        "raw.price_bars",
    )
    kept = {table: f"kept_{number}" for number, table in enumerate(names)}
    with tampered(
        desk,
        ";".join([*(f"create table public.{copy} as table {table}" for table, copy in kept.items()), *plants]),
        ";".join(
            f"delete from {table}; insert into {table} overriding system value table public.{copy}; drop table public.{copy}"
            for table, copy in kept.items()
        ),
    ):
        found = parity(desk, full=True)
        causes = dict(
            desk.rows(
                "select case d.kind when 'sentiment' then 'analyst' else d.subject_id end, d.cause from trading.parity_checks as d"
                " where d.parity_id = %s and d.outcome = 'differs'", found.parity_id
            )
        )  # fmt: skip
    ((served,),) = desk.rows("select max(served_id)::text from trading.served_vectors")
    ((last,),) = desk.rows(
        "select decision_id from trading.decisions where symbol = 'MSFT' and timestamp = '2012-06-29T00:00Z'"
    )
    assert causes == {
        ids["record"]: "record_changed",
        ids["vector"]: "vector_differs",
        ids["answer"]: "answer_differs",
        ids["sentiment"]: "sentiment_differs",
        ids["changed"]: "feature_row_changed",
        ids["gone"]: "feature_row_gone",
        served: "record_changed",
        "analyst": "record_changed",
        last: "data_revised",
    }
    assert (found.elsewhere, found.differing, found.is_excused) == (1, 9, False)
    assert found.identical == found.checked - 10
    assert found.first_difference["id"] == ids["record"]
    assert "its hash is not that of its columns" in found.first_difference["detail"]
    mended = parity(desk)
    assert (mended.checked, mended.differing, mended.elsewhere) == (9, 0, 0), "what differed is asked again"


def test_a_changed_function_is_a_definition_that_is_gone(desk, fill):
    (source,) = desk.rows("select pg_get_functiondef('features.sentiment_v1'::regproc)")[0]
    with tampered(desk, source.replace("coalesce(sum", "coalesce(-sum", 1), source):
        found = parity(desk, full=True)
    ((with_a_row,),) = desk.rows(
        "select (select count(*) from trading.decisions) + count(feature_row_id) from trading.served_vectors"
    )
    assert found.causes["definition_gone"] == with_a_row
    assert set(found.causes) <= {"definition_gone", "sentiment_differs"}, "the analyst's daily window uses it too"
    assert "sentiment_v1" in found.first_difference["detail"]
