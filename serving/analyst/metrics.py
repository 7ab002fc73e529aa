"""What the analyst counts. Made on first use: BentoML sets up its multiprocess folder before, but after import."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter


@cache
def sentiments() -> Counter:
    """Return the counter of sentiments given, by scorer and whether any item was found."""
    return Counter("tradeloom_analyst_sentiments", "Sentiments given.", ["scorer", "found"])


@cache
def texts() -> Counter:
    """Return the counter of texts scored by label."""
    return Counter("tradeloom_analyst_texts", "Texts scored.", ["label"])


@cache
def swaps() -> Counter:
    """Return the counter of versions put in place."""
    return Counter("tradeloom_analyst_model_swaps", "Versions put in place after the alias moved.", ["version"])


def swapped(version: str) -> None:
    """Count one version put in place."""
    swaps().labels(version).inc()
