"""Every fill explains itself and every decision replays; what was tampered with is found, at its level."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]  # MLflow's own warnings are not ours


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


def test_unknown_id_is_one_clear_line(desk):
    desk.command("explain", "fill", "o-nothing", code=1)
    desk.command("replay", "decision", "d-nothing", code=1)
