"""Parity: of all that was served, the share that is computed again offline to the bit, as an asset and a check.

How it is computed lives in serving/explanation; the wiring hands it in as a `ParityMeter`.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg

from assets.paper import DECISIONS, GROUP

PARITY = dg.AssetKey(["trading", "parity_runs"])
IDENTICAL = "identical"


@dataclass(frozen=True)
class ParityOutcome:
    """One measurement.

    Attributes:
        checked: What was computed again now; the next four counts are of these, or of all that was ever served.
        elsewhere: Equal, but served in another numeric environment, where bits are not promised.
        kinds: Of each kind that was asked now (decision, served, sentiment, prediction, score), outcome -> how many.
        causes: Cause -> how many of those that differ have it.
        first_difference: The first of them, with its cause in words; None if none differs.
        is_excused: Everything that differs does so in another numeric environment only.
    """

    parity_id: int
    mode: str
    checked: int
    identical: int
    elsewhere: int
    differing: int
    served_in_all: int
    identical_in_all: int
    kinds: dict[str, dict[str, int]]
    causes: dict[str, int]
    first_difference: dict[str, Any] | None
    is_excused: bool
    seconds: float

    def sentence(self) -> str:
        """Return the result in one line."""
        share = f"{self.identical} of {self.checked} checked now are identical"
        elsewhere = f", {self.elsewhere} equal in another environment" if self.elsewhere else ""
        return f"{share}{elsewhere}; {self.identical_in_all} of {self.served_in_all} served in all"


class ParityMeter(Protocol):
    """Computes again what was served."""

    def measure(self, *, full: bool, trace_id: str) -> ParityOutcome:
        """Check what has no good word yet under this environment, or everything; record and return the result."""
        ...


class ParityConfig(dg.Config):
    """What to check: by default what was not found identical yet in this environment."""

    full: bool = False


@dg.asset(
    key=PARITY,
    deps=[DECISIONS],
    group_name=GROUP,
    kinds={"postgres"},
    check_specs=[
        dg.AssetCheckSpec(IDENTICAL, asset=PARITY, description="All that was served is made again, to the bit.")
    ],
)
def parity(
    context: dg.AssetExecutionContext, config: ParityConfig, parity_meter: dg.ResourceParam[ParityMeter]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Every vector and answer that was served, computed again: how many are identical, and why one is not."""
    outcome = parity_meter.measure(full=config.full, trace_id=context.run.run_id.replace("-", ""))
    context.log.info(outcome.sentence())
    metadata: dict[str, Any] = {
        "summary": outcome.sentence(),
        "dagster/row_count": outcome.checked,
        "parity_id": outcome.parity_id,
        "mode": outcome.mode,
        "share_identical": outcome.identical_in_all / outcome.served_in_all if outcome.served_in_all else 1.0,
        "differing": outcome.differing,
        "elsewhere": outcome.elsewhere,
        "kinds": outcome.kinds,
        "causes": outcome.causes,
        "first_difference": outcome.first_difference or {},
        "seconds": outcome.seconds,
    }
    return dg.MaterializeResult(metadata=metadata, check_results=[_check(outcome)])


def _check(outcome: ParityOutcome) -> dg.AssetCheckResult:
    """An error where something served in this environment is not made again; a warning where it is only another's."""
    return dg.AssetCheckResult(
        check_name=IDENTICAL,
        asset_key=PARITY,
        passed=outcome.differing == 0,
        severity=dg.AssetCheckSeverity.WARN if outcome.is_excused else dg.AssetCheckSeverity.ERROR,
        metadata={"causes": outcome.causes, "first_difference": outcome.first_difference or {}},
    )
