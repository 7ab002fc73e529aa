"""What the oracle counts. Made on first use: BentoML sets up its multiprocess folder before, but after import."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter


@cache
def decisions() -> Counter:
    """Return the counter of decisions by version and action (`none` where there was no usable feature row)."""
    return Counter("tradeloom_oracle_decisions", "Decisions given.", ["version", "action"])


@cache
def swaps() -> Counter:
    """Return the counter of versions put in place."""
    return Counter("tradeloom_oracle_model_swaps", "Versions put in place after the alias moved.", ["version"])


def swapped(version: str) -> None:
    """Count one version put in place."""
    swaps().labels(version).inc()


def decided(version: str, action: int | None) -> None:
    """Count one decision."""
    decisions().labels(version, "none" if action is None else str(action)).inc()
