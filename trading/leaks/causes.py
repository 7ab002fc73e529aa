"""Which part of the future changed a past value, and what mistake that usually is."""

from __future__ import annotations

# From the special to the general: a later factor is an action before it is a later bar.
PARTS = ("restatements", "actions", "news", "universe", "sessions", "features", "late", "bars")
_WHOLE = 0.3  # of the past rows: more than this change when a statistic of the whole column does
_BY_PART = {
    "restatements": "restatement",
    "actions": "actions",
    "news": "news",
    "universe": "universe",
    "sessions": "sessions",
    "late": "late_bar",
}


def kind_of(declared: str, cause: str, share: float) -> str:
    """Return the likely mistake, a name of `findings.REMEDIES`.

    Args:
        declared: The kind that the definition was declared as.
        cause: A name of `PARTS`, or `several`.
        share: Of the past rows, how many changed.
    """
    if cause in _BY_PART:
        return _BY_PART[cause]
    if declared == "label":
        return "horizon"
    if declared == "normalisation":
        return "fitted_later"
    if share > _WHOLE:
        return "whole_column"
    if cause == "bars":
        return "looks_ahead"
    return cause if cause == "features" else "unknown"
