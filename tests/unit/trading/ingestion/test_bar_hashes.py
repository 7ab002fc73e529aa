"""The identities of many bars at once are those of single rows."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.identity import at_scale
from trading.ingestion.bar_columns import NUMBERS
from trading.ingestion.bar_hashes import bar_hashes
from trading.ingestion.rows import RawRow

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=200)
PRICES = st.integers(0, 10**15 - 1).map(lambda units: at_scale(Decimal(units).scaleb(-6), 6))
VOLUMES = st.integers(0, 10**20 - 1).map(lambda units: at_scale(Decimal(units).scaleb(-8), 8))
MOMENTS = st.datetimes(datetime(1901, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 hypothesis wants none


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NAMES, MOMENTS, *[PRICES] * 4, VOLUMES, MOMENTS, MOMENTS), min_size=1, max_size=5))
def test_the_identity_of_a_bar_is_that_of_its_row(bars: list[tuple]) -> None:  # type: ignore[type-arg]
    columns = ("symbol", "timestamp", *NUMBERS, "nominal_at", "known_at")
    rows = [dict(zip(columns, bar, strict=True)) for bar in bars]
    frame = pl.DataFrame(
        [{**row, "interval": "1d", **{name: format(row[name], "f") for name in NUMBERS}} for row in rows],
        schema_overrides=dict.fromkeys(("timestamp", "nominal_at", "known_at"), pl.Datetime("us")),
    )
    assert bar_hashes(frame, "files", "raw", NUMBERS, "known_at") == [
        RawRow(
            "files",
            (row["symbol"], "1d", row["timestamp"].replace(tzinfo=UTC)),
            (*(row[name] for name in NUMBERS), "raw"),
            row["nominal_at"].replace(tzinfo=UTC),
        ).hash_when_known(row["known_at"].replace(tzinfo=UTC))
        for row in rows
    ]
