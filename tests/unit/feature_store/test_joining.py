"""The as-of join in memory, against the words of the rule: of the rows known then, the greatest timestamp; of its
versions, the newest."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.asof import FEW, Plan, plan_of
from feature_store.joining import Versions, answers

Row = tuple[int, int, int, int]  # series, timestamp, known_at, watermark; its place in the list is its row_id

NAMES = [("files", "X"), ("sample", "X"), ("sample", "Y")]
PRECEDENCE = ["files", "sample"]

# Few values, so that moments, timestamps and publications collide: revisions, late bars, equal known_at.
rows_of = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 6), st.integers(1, 4)), max_size=25)
asked_of = st.lists(st.tuples(st.sampled_from(["X", "Y", "Z"]), st.integers(-1, 7)), max_size=12)


def brute_force(rows: list[Row], symbol: str, as_of: int, watermark: int, sources: list[str]) -> int:
    for source in sources:
        known = [
            (timestamp, known_at, published, place)
            for place, (series, timestamp, known_at, published) in enumerate(rows)
            if NAMES[series] == (source, symbol) and known_at <= as_of and published <= watermark
        ]
        if known:
            return max(known)[3]
    return -1


def versions(rows: list[Row]) -> Versions:
    columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)] or [np.array([], np.int64)] * 4
    return Versions(NAMES, *columns, np.arange(len(rows)))


def ordered(rows: list[Row]) -> list[Row]:
    return [row for _, row in sorted(enumerate(rows), key=lambda one: (one[1][0], one[1][2], one[1][3], one[0]))]


def answered(given_rows: Versions, asked: list[tuple[str, int]], watermark: int, source: str | None) -> list[int]:
    symbols = ["Z", "X", "Y"]
    codes = np.array([symbols.index(symbol) for symbol, _ in asked], dtype=np.int64)
    moments = np.array([as_of for _, as_of in asked], dtype=np.int64)
    sources = None if source is None else [source] * len(symbols)
    return answers(given_rows, symbols, codes, moments, watermark, PRECEDENCE, sources).tolist()


@settings(max_examples=300, deadline=None)
@given(rows_of, asked_of, st.integers(0, 5))
def test_each_question_gets_the_newest_version_of_the_latest_row_known(rows, asked, watermark):
    expected = [brute_force(rows, symbol, as_of, watermark, PRECEDENCE) for symbol, as_of in asked]
    assert answered(versions(rows), asked, watermark, None) == expected


@settings(max_examples=150, deadline=None)
@given(rows_of, asked_of, st.integers(0, 5))
def test_rows_that_come_in_order_are_not_sorted_again_and_answer_the_same(rows, asked, watermark):
    in_order = ordered(rows)
    given_rows = versions(in_order)
    presorted = Versions(
        NAMES,
        given_rows.series,
        given_rows.timestamp,
        given_rows.known_at,
        given_rows.watermark,
        given_rows.row_id,
        True,
    )
    assert answered(presorted, asked, watermark, None) == answered(given_rows, asked, watermark, None)


@settings(max_examples=100, deadline=None)
@given(rows_of, asked_of)
def test_a_named_source_answers_alone(rows, asked):
    expected = [brute_force(rows, symbol, as_of, 9, ["sample"]) for symbol, as_of in asked]
    assert answered(versions(rows), asked, 9, "sample") == expected


def test_a_late_revision_of_an_old_bar_is_not_the_latest_row():
    rows = [(0, 1, 1, 1), (0, 2, 2, 1), (0, 1, 5, 2)]
    assert answered(versions(rows), [("X", 9)], 9, None) == [1]


def test_few_questions_are_looked_up_and_many_are_joined_on_a_copy():
    assert plan_of(FEW, 0) is Plan.LOOKUPS
    assert plan_of(FEW + 1, 0) is Plan.COPY


def test_a_copy_far_greater_than_the_question_is_not_begun():
    assert plan_of(10_000, 10_000_000) is Plan.LOOKUPS
    assert plan_of(1_000_000, 10_000_000) is Plan.COPY
