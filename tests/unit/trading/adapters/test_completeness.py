"""Which symbols a session should have: from the first bar on, until the instrument says that it was delisted."""

from __future__ import annotations

from datetime import UTC, date, datetime

from trading.adapters.completeness import Series, expectations
from trading.calendar import Session, Sessions


def _session(day: int) -> Session:
    moment = datetime(2024, 5, day, tzinfo=UTC)
    return Session(date(2024, 5, day), moment.replace(hour=14), moment.replace(hour=20))


def test_a_symbol_is_expected_from_its_first_bar_to_its_delisting_on_its_own_calendar() -> None:
    sessions = {"XNYS": Sessions.of(map(_session, (28, 29, 30))), "XLON": Sessions.of(map(_session, (28, 30)))}
    series = [
        Series("ZZZ", "XNYS", date(2024, 5, 1), None),
        Series("NEW", "XNYS", date(2024, 5, 29), None),
        Series("OLD", "XNYS", date(2024, 5, 1), date(2024, 5, 29)),
        Series("UK", "XLON", date(2024, 5, 1), None),
    ]
    assert expectations(series, sessions) == {
        date(2024, 5, 28): ["OLD", "UK", "ZZZ"],
        date(2024, 5, 29): ["NEW", "OLD", "ZZZ"],
        date(2024, 5, 30): ["NEW", "UK", "ZZZ"],
    }
