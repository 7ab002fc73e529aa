"""The rules asked of single rows are the gate's: a row that one of them lets through, the other does too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from trading.ingestion.candidates import Candidate
from trading.ingestion.reader import Kind
from trading.quality.gate import Facts, judge
from trading.quality.row_rules import keeps_all, row_rules

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GOOD: dict[Kind, dict[str, Any]] = {
    "prices": {
        "symbol": "A", "interval": "1m", "timestamp": NOW - 90 * SECOND, "open": Decimal(10), "high": Decimal(12),
        "low": Decimal(9), "close": Decimal(11), "volume": Decimal(5), "adjustment": "raw", "ends_at": NOW - 30 * SECOND,
        "is_in_session": True, "nominal_at": NOW - 30 * SECOND,
    },
    "trades": {
        "symbol": "A", "trade_id": "1", "timestamp": NOW - SECOND, "price": Decimal(10), "size": Decimal(3), "side": None,
        "nominal_at": NOW - SECOND,
    },
}  # fmt: skip
NUMBERS = [None, Decimal(-1), Decimal(0), Decimal("9.5"), Decimal(13)]
CHANGES: dict[Kind, dict[str, list[Any]]] = {
    "prices": {
        "symbol": [None], "timestamp": [None], "open": NUMBERS, "high": NUMBERS, "low": NUMBERS, "close": NUMBERS, "volume": NUMBERS,
        "adjustment": ["split"], "ends_at": [NOW, NOW + SECOND], "is_in_session": [False],
    },
    "trades": {"symbol": [None], "timestamp": [None, NOW, NOW + SECOND], "price": NUMBERS, "size": NUMBERS, "side": ["buy"]},
}  # fmt: skip


@pytest.mark.parametrize("kind", ["prices", "trades"])
def test_single_rows_are_judged_as_the_gate_judges_them(kind: Kind):
    changed = [{name: value} for name, values in CHANGES[kind].items() for value in values]
    rows = [GOOD[kind] | one | other for one, other in product([{}, *changed], repeat=2)]
    facts = Facts(NOW, "live", {"A": "raw"})
    judged = judge(
        kind, [Candidate(at, {**row, _NAME[kind]: _name(kind, at)}, {}) for at, row in enumerate(rows)], facts
    )
    passed = {candidate.number for candidate in judged.good}
    beside = {"received_at": NOW, "series_adjustment": "raw", "first_live_at": None}
    # A bar that is not over breaks one rule and not two, in both.
    assert {at for at, row in enumerate(rows) if keeps_all(kind, {**row, **beside})} == passed
    assert 0 < len(passed) < len(rows)


# Rows of one key would break another rule, which is asked of a whole batch.
_NAME = {"prices": "interval", "trades": "trade_id"}


def _name(kind: Kind, number: int) -> str:
    return f"{number + 1}m" if kind == "prices" else str(number)


@pytest.mark.parametrize("kind", ["prices", "trades"])
def test_every_expectation_of_the_suite_but_that_of_the_key_is_asked(kind: Kind):
    from trading.quality.suites import expectations

    suite = [one.meta["rule"] for one in expectations(kind)]
    assert sorted([rule for rule, _, _ in row_rules(kind)] + ["conflicting_duplicate"]) == sorted(suite)
