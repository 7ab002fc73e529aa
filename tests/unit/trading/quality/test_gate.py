"""The gate on literal rows: each rule by itself, and what it does not do."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from trading.errors import QualityError
from trading.ingestion.candidates import Candidate
from trading.quality import gate
from trading.quality.gate import Facts, judge
from trading.quality.suites import RULES, expectations

NOW = datetime(2024, 6, 3, tzinfo=UTC)
FACTS = Facts(NOW, "history")
BAR: dict[str, Any] = {
    "symbol": "IBM",
    "interval": "1d",
    "timestamp": datetime(2024, 5, 31, tzinfo=UTC),
    **{name: Decimal(value) for name, value in {"open": 2, "high": 3, "low": 1, "close": 2, "volume": 0}.items()},
    "adjustment": "raw",
    "ends_at": datetime(2024, 5, 31, 20, tzinfo=UTC),
    "is_in_session": True,
    "nominal_at": datetime(2024, 5, 31, 20, 15, tzinfo=UTC),
}


def _bar(number: int = 1, **changed: Any) -> Candidate:
    return Candidate(number, BAR | changed, {"number": str(number)})


def _rules(*candidates: Candidate, facts: Facts = FACTS) -> list[tuple[int, str]]:
    return [(defect.number, defect.rule) for defect in judge("prices", list(candidates), facts).defects]


def test_a_good_bar_passes_and_every_check_says_so() -> None:
    verdict = judge("prices", [_bar()], FACTS)
    assert ([candidate.number for candidate in verdict.good], verdict.defects) == ([1], [])
    assert all(check.passed and check.rows == 1 for check in verdict.checks)
    assert len(verdict.checks) == len(expectations("prices")) + 1  # the gap rule is judged before the suite
    assert verdict.checks[0].rule == "identity_gap"


def test_no_row_is_no_verdict() -> None:
    assert judge("news", [], FACTS).checks == []


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"open": Decimal(0), "low": Decimal(0)}, "non_positive_price"),
        ({"close": None}, "missing_value"),
        ({"volume": Decimal("-0.00000001")}, "negative_volume"),
        ({"high": Decimal("1.999999")}, "ohlc_order"),
        ({"low": Decimal("2.000001")}, "ohlc_order"),
        ({"is_in_session": False, "nominal_at": None}, "unknown_session"),
        ({"ends_at": datetime(2024, 6, 3, 20, tzinfo=UTC)}, "from_the_future"),
    ],
)
def test_a_bar_that_breaks_a_rule_is_told_by_it(changed: dict[str, Any], rule: str) -> None:
    assert {found for _, found in _rules(_bar(**changed))} == {rule}


def test_a_sixth_decimal_decides_even_of_the_largest_price() -> None:
    high, low = Decimal("999999999.999998"), Decimal("999999999.999999")
    assert (1, "ohlc_order") in _rules(_bar(open=high, high=high, low=low, close=high))


def test_both_of_two_differing_bars_are_quarantined_and_others_pass() -> None:
    assert _rules(_bar(1), _bar(2, close=Decimal(3)), _bar(3, symbol="MSFT")) == [
        (1, "conflicting_duplicate"),
        (2, "conflicting_duplicate"),
    ]


def test_an_adjustment_must_be_that_of_the_series() -> None:
    facts = Facts(NOW, "history", {"IBM": "split"})
    assert _rules(_bar(1), _bar(2, symbol="MSFT"), facts=facts) == [(1, "adjustment_mix")]


@pytest.mark.parametrize(("mode", "broken"), [("history", [(1, "history_after_live")]), ("live", [])])
def test_only_history_is_bound_to_be_older_than_the_first_live_batch(mode: Any, broken: list[Any]) -> None:
    facts = Facts(NOW, mode, first_live_at=BAR["nominal_at"])
    assert _rules(_bar(), facts=facts) == broken


def test_every_rule_of_every_suite_has_words() -> None:
    for kind in ("prices", "actions", "news"):
        assert {expectation.meta["rule"] for expectation in expectations(kind)} <= RULES.keys()


def test_a_suite_that_cannot_run_raises_and_never_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "staging_frame", lambda *_: __import__("pandas").DataFrame({"symbol": ["IBM"]}))
    with pytest.raises(QualityError, match="expected a verdict"):
        judge("prices", [_bar()], FACTS)
