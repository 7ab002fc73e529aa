"""The asset of parity: an error where something differs here, a warning where it does so elsewhere only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
import pytest

from assets.parity import IDENTICAL, ParityOutcome, parity

GOOD = ParityOutcome(
    parity_id=3,
    mode="new",
    checked=4,
    identical=4,
    elsewhere=0,
    differing=0,
    served_in_all=10,
    identical_in_all=10,
    kinds={"prediction": {"identical": 4}},
    causes={},
    first_difference=None,
    is_excused=True,
    seconds=0.1,
)
BAD = replace(
    GOOD,
    identical=3,
    identical_in_all=9,
    differing=1,
    causes={"vector_differs": 1},
    first_difference={"kind": "decision", "id": "d-1", "cause": "vector_differs", "detail": "the vector differs"},
    is_excused=False,
)


@dataclass
class Meter:
    """Says what it was made with, and remembers how it was asked."""

    outcome: ParityOutcome
    asked: list[bool]

    def measure(self, *, full: bool, trace_id: str) -> ParityOutcome:
        assert len(trace_id) == 32
        self.asked.append(full)
        return self.outcome


def _run(outcome: ParityOutcome, config: dict[str, Any] | None = None) -> tuple[Any, Any, list[bool]]:
    meter = Meter(outcome, [])
    done = dg.materialize(
        [parity],
        resources={"parity_meter": meter},
        run_config={
            "ops": {"trading__parity_runs": {"config": config or {}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )
    (check,) = done.get_asset_check_evaluations()
    (made,) = done.asset_materializations_for_node("trading__parity_runs")
    return check, {name: value.value for name, value in made.metadata.items()}, meter.asked


@pytest.mark.parametrize(
    ("outcome", "passed", "severity"),
    [
        (GOOD, True, None),
        (BAD, False, dg.AssetCheckSeverity.ERROR),
        (replace(BAD, causes={"environment_differs": 1}, is_excused=True), False, dg.AssetCheckSeverity.WARN),
    ],
)
def test_the_check_fails_where_one_differs(outcome: ParityOutcome, passed: bool, severity: Any) -> None:
    check, metadata, _ = _run(outcome)
    assert (check.check_name, check.passed) == (IDENTICAL, passed)
    assert severity in (None, check.severity)
    assert check.metadata["causes"].value == outcome.causes
    assert metadata["kinds"] == {"prediction": {"identical": 4}}
    assert metadata["share_identical"] == outcome.identical_in_all / 10


def test_the_summary_says_the_share_of_now_and_of_all() -> None:
    _, metadata, asked = _run(replace(BAD, elsewhere=1, identical=2))
    assert metadata["summary"] == (
        "2 of 4 checked now are identical, 1 equal in another environment; 9 of 10 served in all"
    )
    assert asked == [False]


def test_everything_is_asked_for_by_its_config() -> None:
    assert _run(GOOD, {"full": True})[2] == [True]
