"""The daily sentiment in SQL, against hand sums and a brute-force oracle in Python."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

pytestmark = pytest.mark.engines

DECISION = datetime(2012, 1, 20, 21, 15, tzinfo=UTC)  # a quarter of an hour after the close of Friday the 20th


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a moment of January 2012."""
    return datetime(2012, 1, day, hour, minute, tzinfo=UTC)


def test_without_items_it_is_zero_of_no_items(desk: Any) -> None:
    assert desk.sentiment("AAPL", DECISION) == (0.0, 0, [])


def test_each_session_of_age_halves_the_weight(desk: Any) -> None:
    today = desk.publish("a", "Today", at(20, 15))
    yesterday = desk.publish("b", "Yesterday", at(19, 15))
    four_back = desk.publish("c", "Tuesday, the day after the holiday", at(17, 15))
    for item, score in ((today, 0.5), (yesterday, -1.0), (four_back, 1.0)):
        desk.score(item, score)
    # ages 0, 1 and 3
    expected = (0.5 + 0.5 * -1.0 + 0.125 * 1.0) / (1.0 + 0.5 + 0.125)
    assert desk.sentiment("AAPL", DECISION) == (expected, 3, [today, yesterday, four_back])


def test_news_after_a_close_belongs_to_the_next_session(desk: Any) -> None:
    item = desk.publish("a", "After Friday's close", at(13, 21, 1))
    other = desk.publish("b", "At Friday's close", at(13, 21))
    desk.score(item, 1.0)
    desk.score(other, -1.0)
    # decided on Tuesday the 17th, the session after Friday the 13th: ages 0 and 1
    assert desk.sentiment("AAPL", at(17, 21, 15)) == ((1.0 - 0.5) / 1.5, 2, [item, other])


def test_news_between_close_and_decision_counts_as_of_that_session(desk: Any) -> None:
    item = desk.publish("a", "Ten minutes after the close", at(20, 21, 10))
    desk.score(item, 0.25)
    assert desk.sentiment("AAPL", DECISION) == (0.25, 1, [item])


def test_the_sixth_session_back_no_longer_counts(desk: Any) -> None:
    inside = desk.publish("a", "Just after the 13th's close", at(13, 21, 0) + timedelta(microseconds=1))
    outside = desk.publish("b", "At the 13th's close", at(13, 21))
    desk.score(inside, 1.0)
    desk.score(outside, -1.0)
    # the five sessions are the 17th to the 20th and Monday the 23rd
    assert desk.sentiment("AAPL", at(23, 21, 15)) == (1.0, 1, [inside])


def test_what_became_known_after_the_decision_never_counts(desk: Any) -> None:
    desk.score(desk.publish("late", "Published before, delivered after", at(20, 15), known_at=at(20, 21, 16)), 1.0)
    desk.score(desk.publish("next", "Published after", at(20, 22)), 1.0)
    assert desk.sentiment("AAPL", DECISION, as_of=at(30, 0)) == (0.0, 0, [])


def test_a_correction_known_in_time_replaces_the_item_and_a_later_one_does_not(desk: Any) -> None:
    first = desk.publish("a", "Profit of 3", at(20, 15))
    corrected = desk.publish("a", "Loss of 3", at(20, 15), known_at=at(20, 18))
    desk.score(first, 1.0)
    desk.score(corrected, -1.0)
    desk.score(desk.publish("a", "Profit of 3 after all", at(20, 15), known_at=at(20, 23)), 1.0)
    assert desk.sentiment("AAPL", DECISION, as_of=at(30, 0)) == (-1.0, 1, [corrected])


def test_a_correction_that_drops_the_symbol_takes_the_item_away(desk: Any) -> None:
    desk.score(desk.publish("a", "Names Apple by mistake", at(20, 15)), 1.0)
    desk.publish("a", "Names Apple by mistake", at(20, 15), symbols=["MSFT"], known_at=at(20, 16))
    assert desk.sentiment("AAPL", DECISION) == (0.0, 0, [])


def test_items_without_a_score_of_this_version_do_not_count(desk: Any) -> None:
    scored = desk.publish("a", "Scored", at(20, 15))
    unscored = desk.publish("b", "Scored by version 2 only", at(20, 16))
    desk.score(scored, 0.5)
    desk.score(unscored, -0.5, version="2")
    assert desk.sentiment("AAPL", DECISION) == (0.5, 1, [scored])
    assert desk.sentiment("AAPL", DECISION, version="2") == (-0.5, 1, [unscored])


def test_an_older_watermark_keeps_its_answer_when_news_and_scores_are_back_dated(desk: Any) -> None:
    desk.score(desk.publish("a", "First", at(20, 15)), 0.5)
    before = desk.newest_watermark()
    desk.score(desk.publish("b", "Back-dated", at(19, 15)), -1.0)
    assert desk.sentiment("AAPL", DECISION, watermark=before)[0] == 0.5
    assert desk.sentiment("AAPL", DECISION)[1] == 2


def test_any_question_is_answered_like_the_brute_force_oracle(desk: Any) -> None:
    """240 questions over random versions, delays, corrections and scores; equal to the bit."""
    draw = random.Random(20120120)
    for _ in range(60):
        published = at(9, 0) + timedelta(hours=draw.randrange(24 * 14))
        item = desk.publish(
            f"n{draw.randrange(40)}",
            "Something happened",
            published,
            symbols=draw.choice([["AAPL"], ["MSFT"], ["AAPL", "MSFT"]]),
            known_at=published + timedelta(hours=draw.choice([0, 0, 0, 3, 30, 100])),
        )
        for version in draw.sample(["1", "2"], draw.randrange(3)):
            desk.score(item, draw.uniform(-1, 1), version=version)
    items, scores, closes = _everything(desk.url)
    newest = desk.newest_watermark()
    for _ in range(240):
        decision = at(9, 21, 15) + timedelta(days=draw.randrange(15), hours=draw.randrange(-2, 3))
        as_of = decision + timedelta(hours=draw.choice([-5, 0, 0, 40]))
        watermark = draw.randrange(newest + 1)
        symbol, version = draw.choice(["AAPL", "MSFT"]), draw.choice(["1", "2"])
        expected = _oracle(items, scores, closes, symbol, decision, min(decision, as_of), watermark, version)
        found = desk.sentiment(symbol, decision, as_of=as_of, watermark=watermark, version=version)
        assert found == expected, (symbol, decision, as_of, watermark, version)


def _everything(url: str) -> tuple[list[Any], dict[tuple[int, str], Any], list[datetime]]:
    with psycopg.connect(url) as conn:
        items = conn.execute(
            "select item_id, news_id, symbols, nominal_at, known_at, watermark from raw.news_items"
        ).fetchall()
        scores = conn.execute("select item_id, scorer_version, score, watermark from features.news_scores").fetchall()
        closes = conn.execute("select closes_at from trading.calendar_sessions where calendar = 'XNYS'").fetchall()
    return (
        items,
        {(item, version): (score, mark) for item, version, score, mark in scores},
        sorted(c for (c,) in closes),
    )


def _oracle(
    items: list[Any],
    scores: dict[tuple[int, str], Any],
    closes: list[datetime],
    symbol: str,
    decision: datetime,
    known_by: datetime,
    watermark: int,
    version: str,
) -> tuple[float, int, list[int]]:
    newest: dict[str, Any] = {}
    for item in sorted(items, key=lambda row: (row[4], row[5])):
        if item[4] <= known_by and item[5] <= watermark:
            newest[item[1]] = item
    here = len([close for close in closes if close <= decision]) - 1
    total = weights = 0.0
    used = []
    for item_id, _, symbols, nominal, _, _ in sorted(newest.values()):
        score = scores.get((item_id, version))
        if here < 0 or symbol not in symbols or score is None or score[1] > watermark:
            continue
        session = next((place for place, close in enumerate(closes) if close >= nominal), here)
        age = max(0, here - session)
        if age > 4:
            continue
        weight = 0.5**age
        total, weights = total + weight * score[0], weights + weight
        used.append(item_id)
    return (total / weights if used else 0.0), len(used), used


def test_a_symbol_without_an_instrument_has_no_sessions_and_no_sentiment(desk: Any) -> None:
    desk.score(desk.publish("a", "Of nobody we know", at(20, 15), symbols=["ZZZZ"]), 1.0)
    assert desk.sentiment("ZZZZ", DECISION) == (0.0, 0, [])


def test_sessions_are_those_that_closed_by_the_decision(desk: Any) -> None:
    item = desk.publish("a", "During Monday the 9th", datetime(2012, 1, 9, 15, tzinfo=UTC))
    desk.score(item, 1.0)
    assert desk.sentiment("AAPL", datetime(2012, 1, 9, 20, tzinfo=UTC)) == (0.0, 0, [])
    assert date(2012, 1, 9) < DECISION.date()
    assert desk.sentiment("AAPL", datetime(2012, 1, 9, 21, 15, tzinfo=UTC)) == (1.0, 1, [item])
