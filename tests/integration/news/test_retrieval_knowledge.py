"""What the retriever and the daily sentiment read, at every moment and watermark, against a brute-force oracle.

Headlines come on time, late, back-dated, corrected, and about another symbol than before; the oracle goes through all
versions by hand and knows only the rule: per item the greatest (known_at, watermark) among what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.vectors import Judged, NewsWindow, retrieve_newest

pytestmark = pytest.mark.engines

START = datetime(2012, 1, 9, 12, tzinfo=UTC)
JUDGED = Judged("head", "1")
RUNS = iter(range(10**6))


@dataclass(frozen=True)
class Version:
    """One version of a headline: which one, about whom, when it was published and how much later it was known."""

    news: int
    symbol: str
    published_hour: int
    delay_hours: int
    score: float | None

    @property
    def published_at(self) -> datetime:
        return START + timedelta(hours=self.published_hour)

    @property
    def known_at(self) -> datetime:
        return self.published_at + timedelta(hours=self.delay_hours)


VERSIONS = st.lists(
    st.builds(
        Version,
        st.integers(0, 3),
        st.sampled_from(["AAPL", "AAPL", "IBM"]),
        st.integers(0, 20),
        st.sampled_from([0, 0, 3, 30]),
        st.one_of(st.none(), st.sampled_from([-1.0, -0.25, 0.5, 1.0])),
    ),
    min_size=1,
    max_size=7,
)


@dataclass(frozen=True)
class Known:
    """A version as published: its item and the watermarks of itself and of its score."""

    item_id: int
    version: Version
    watermark: int
    score_watermark: int | None


def publish(desk: Any, run: int, version: Version) -> Known:
    item = desk.publish(
        f"{run}-{version.news}",
        "x",
        version.published_at,
        symbols=(f"{version.symbol}{run}",),
        known_at=version.known_at,
    )
    watermark = desk.newest_watermark()
    if version.score is None:
        return Known(item, version, watermark, None)
    desk.score(item, version.score)
    return Known(item, version, watermark, desk.newest_watermark())


def oracle(known: list[Known], symbol: str, after: datetime, as_of: datetime, watermark: int) -> list[tuple[Any, ...]]:
    """Return (item, score) of the newest version of each item, newest publication first."""
    newest: dict[int, Known] = {}
    for one in known:
        if one.version.known_at <= as_of and one.watermark <= watermark:
            held = newest.get(one.version.news)
            if held is None or (held.version.known_at, held.watermark) < (one.version.known_at, one.watermark):
                newest[one.version.news] = one
    inside = [one for one in newest.values() if one.version.symbol == symbol and one.version.published_at > after]
    inside.sort(key=lambda one: (one.version.published_at, one.item_id), reverse=True)
    return [
        (one.item_id, one.version.score if one.score_watermark and one.score_watermark <= watermark else None)
        for one in inside
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=VERSIONS)
def test_retrieval_is_the_oracles_before_between_and_after_every_publication(
    desk: Any, versions: list[Version]
) -> None:
    run, known, remembered = next(RUNS), [], []
    moments = sorted({version.known_at for version in versions} | {START - timedelta(hours=1)})
    with psycopg.connect(desk.url, autocommit=True) as conn:

        def ask(symbol: str, after: datetime, as_of: datetime, watermark: int) -> list[tuple[Any, ...]]:
            window = NewsWindow(f"{symbol}{run}", after, as_of, watermark)
            return [(item.item_id, item.score) for item in retrieve_newest(conn, window, JUDGED, 100)]

        for version in versions:
            known.append(publish(desk, run, version))
            watermark = desk.newest_watermark()
            for as_of in moments:
                for symbol in ("AAPL", "IBM"):
                    question = (symbol, as_of - timedelta(hours=12), as_of, watermark)
                    assert ask(*question) == oracle(known, *question)
                    remembered.append((question, oracle(known, *question)))
        for question, answer in remembered:
            assert ask(*question) == answer
