from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from feature_store.rows import RECORD_FORM, FeatureRow, float_array, record, timestamp_bytes

MOMENT = datetime(2020, 1, 2, tzinfo=UTC)
ROW = FeatureRow(
    view="features.daily",
    definition="d" * 64,
    row_id=1,
    row_hash="",
    source="sample",
    symbol="X",
    interval="1d",
    timestamp=MOMENT,
    known_at=MOMENT + timedelta(hours=21),
    watermark=5,
    source_watermark=4,
    decision_at=MOMENT + timedelta(hours=21),
    values={"close": 1.5, "macd": None},
    sentiment=0.0,
    sentiment_items=0,
    input_id=1,
    input_hash=sha256(b"").hexdigest(),
)


def test_numbers_are_bytes_as_array_send_writes_them() -> None:
    head = "0000000100000001000002bd0000000200000001"
    assert float_array((1.5, None)).hex() == head + "000000083ff8000000000000ffffffff"


def test_a_record_is_bytes_as_record_send_writes_them() -> None:
    """select record_send(row('ab'::text, null::double precision))"""
    assert (
        record(((25, b"ab"), (701, None))).hex()
        == "00000002" + "00000019" + "00000002" + "6162" + "000002bd" + "ffffffff"
    )


def test_the_record_form_covers_the_state_and_every_number() -> None:
    row = replace(ROW, view="marts.indicators", state=(1.0, 2.0))
    changed = (
        replace(row, state=(1.0, 3.0)),
        replace(row, values={"close": 1.5, "macd": 0.0}),
        replace(row, symbol="Y"),
    )
    assert row.computed_hash(RECORD_FORM) not in {one.computed_hash(RECORD_FORM) for one in changed}
    assert row.computed_hash(RECORD_FORM) != row.computed_hash()


def test_times_count_from_2000() -> None:
    assert timestamp_bytes(datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)) == (1_000_000).to_bytes(8, "big")


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "Y"},
        {"timestamp": MOMENT + timedelta(days=1)},
        {"known_at": MOMENT + timedelta(days=1)},
        {"decision_at": MOMENT + timedelta(days=1)},
        {"definition": "e" * 64},
        {"values": {"close": 1.5000000000000002, "macd": None}},
        {"values": {"close": 1.5, "macd": 0.0}},
        {"values": {"close": 1.5, "macd": -0.0}},
        {"sentiment_items": 1},
        {"input_hash": sha256(b"x").hexdigest()},
    ],
    ids=str,
)
def test_any_change_of_what_a_row_says_changes_its_identity(change: dict[str, object]) -> None:
    assert replace(ROW, **change).computed_hash() != ROW.computed_hash()  # type: ignore[arg-type]


def test_where_a_row_is_stored_is_no_part_of_its_identity() -> None:
    moved = replace(ROW, row_id=9, watermark=9, source_watermark=9, input_id=9)
    assert moved.computed_hash() == ROW.computed_hash()
