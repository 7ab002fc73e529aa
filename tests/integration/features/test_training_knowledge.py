"""Training sets and feature history read as known: a brute-force oracle over raw versions says which one counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.engines
FIRST = date(2020, 1, 1)
START, END = datetime(2019, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
SYMBOLS = count(1)


@dataclass(frozen=True)
class Change:
    """A bar or a restated split of one day, known some days after its own time."""

    kind: str
    place: int
    number: int
    delay: int


CHANGES = st.lists(
    st.builds(
        Change,
        st.sampled_from(["bar", "bar", "bar", "split"]),
        st.integers(0, 5),
        st.integers(1, 9),
        st.sampled_from([0, 0, 1, 3, 40]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda change: (change.kind, change.place),
)


def day(place: int) -> date:
    return FIRST + timedelta(days=place)


def known_at(change: Change) -> datetime:
    hour = timedelta(hours=21.25) if change.kind == "bar" else timedelta()
    return datetime.combine(day(change.place), datetime.min.time(), UTC) + hour + timedelta(days=change.delay)


def oracle_close(published: list[tuple[int, Change]], place: int, as_of: datetime, watermark: int) -> float | None:
    """Return the forward-adjusted close of a day as known at (as_of, watermark); None where there was no bar."""
    newest: dict[tuple[str, int], tuple[datetime, int, Change]] = {}
    for published_by, change in published:
        version = (known_at(change), published_by, change)
        if version[0] <= as_of and published_by <= watermark:
            key = (change.kind, change.place)
            newest[key] = max(newest.get(key, version), version, key=lambda found: found[:2])
    if ("bar", place) not in newest:
        return None
    close = Decimal(newest["bar", place][2].number)
    for (kind, at), (_, _, change) in newest.items():
        if kind == "split" and at <= place:
            close *= change.number
    return float(close)


def publish(w: Any, symbol: str, batch: list[Change]) -> int:
    bars, splits = [], []
    for change in batch:
        if change.kind == "bar":
            close = Decimal(change.number)
            bars.append(w.Bar(symbol, day(change.place), close, close, close, close, 1, known_at(change)))
        else:
            splits.append(w.Split(symbol, day(change.place), Decimal(change.number), known_at(change)))
    return int(w.publish("files", bars, splits))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(batches=st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=5))
def test_a_training_row_is_what_was_known_when_it_was_first_decided_on(warehouse: Any, batches: Any) -> None:
    w, symbol, published = warehouse, f"S{next(SYMBOLS)}", []
    service = w.store.newest_service("test")
    for batch, built in batches:
        watermark = publish(w, symbol, batch)
        published += [(watermark, change) for change in batch]
        if built:
            w.advance()
    w.advance()
    newest = w.one("select raw.newest_watermark()")

    told = w.store.training_set(service, [symbol], START, END, watermark=newest, source="files")
    places = sorted({change.place for _, change in published if change.kind == "bar"})
    assert [stamp.date() for stamp in told["timestamp"]] == [day(place) for place in places]
    for place, row in zip(places, told.itertuples(), strict=True):
        first = min(known_at(change) for _, change in published if (change.kind, change.place) == ("bar", place))
        assert row.close == oracle_close(published, place, first, newest)

    for moment in sorted({known_at(change) for _, change in published}):
        history = w.store.features(service, [symbol], as_of=moment, watermark=newest, source="files")
        closes = {stamp.date(): close for stamp, close in zip(history["timestamp"], history["close"], strict=True)}
        expected = {day(place): oracle_close(published, place, moment, newest) for place in places}
        assert closes == {when: close for when, close in expected.items() if close is not None}


def test_two_revisions_published_before_one_build_answer_before_between_and_after(warehouse: Any) -> None:
    """10, then 11, then 10 again: three versions, though the build met all of them at once."""
    w, nominal = warehouse, known_at(Change("bar", 0, 10, 0))
    service = w.store.newest_service("test")
    for number, delay in ((10, 0), (11, 2), (10, 5)):
        publish(w, "AAA", [Change("bar", 0, number, delay)])
    w.advance()

    def close(as_of: datetime) -> float | None:
        row = w.store.row(service, "AAA", as_of, source="files")
        return None if row is None else row.values["close"]

    assert close(nominal - timedelta(seconds=1)) is None
    assert close(nominal) == 10.0
    assert close(nominal + timedelta(days=2) - timedelta(seconds=1)) == 10.0
    assert close(nominal + timedelta(days=2)) == 11.0
    assert close(nominal + timedelta(days=5)) == 10.0
    versions = w.all("select close, known_at from marts.indicators where symbol = 'AAA' order by known_at")
    assert versions == [(c, nominal + timedelta(days=d)) for c, d in ((10.0, 0), (11.0, 2), (10.0, 5))]
