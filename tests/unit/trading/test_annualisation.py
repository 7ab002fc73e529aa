"""Bars of a year by interval and calendar, and what does not know other intervals than a day's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from assets.scope import MarketScope
from serving.trading_loop.session import SessionTerms
from trading.errors import InputError
from trading.evaluation.annualisation import bars_per_year


@pytest.mark.parametrize(
    ("interval", "calendars", "bars"),
    [
        ("1d", ["XNYS"], 252),
        ("1d", ["24/7"], 365),
        ("1d", ["XNYS", "24/7"], 365),  # the path has a value on each day of either
        ("1h", ["XNYS"], 252 * 7),
        ("5m", ["XNYS"], 252 * 78),
        ("1h", ["XTKS"], 245 * 6),  # 2.5 hours before lunch and 2.5 after it
        ("1m", ["24/7"], 365 * 1440),
        ("1w", [], 52),
        ("1mo", ["XNYS"], 12),
    ],
)
def test_a_year_has_as_many_bars_as_its_calendar_gives(interval: str, calendars: list[str], bars: int) -> None:
    assert bars_per_year(interval, calendars) == bars


def test_a_year_of_no_calendar_is_refused() -> None:
    with pytest.raises(InputError, match="expected a calendar"):
        bars_per_year("1h", [])


def test_sessions_and_models_refuse_other_intervals_in_one_line() -> None:
    now = datetime(2024, 7, 1, tzinfo=UTC)
    with pytest.raises(
        InputError, match="expected the interval 1d, found '1h': a trading session decides on daily bars"
    ):
        SessionTerms("x", "files", ["A"], now, now, interval="1h")
    with pytest.raises(InputError, match="found '1w': models are trained, judged and traded on daily bars"):
        MarketScope(interval="1w").cut(cast(Any, None))
