"""Rows of one key within one batch: equal ones are folded into the first; what still differs, the gate quarantines."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from trading.ingestion import actions, news, prices, trades, universe
from trading.ingestion.candidates import Candidate
from trading.ingestion.reader import Kind

KEY = {
    "prices": prices.key,
    "actions": actions.key,
    "news": news.key,
    "universe": universe.key,
    "trades": trades.key,
}


def folded(kind: Kind, candidates: list[Candidate]) -> tuple[list[Candidate], int]:
    """Return the candidates that are left, in their order, and how many were folded away.

    News rows of one id that differ in their symbols only become one item that names them all.
    """
    groups: dict[tuple[Any, ...], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[_sameness(kind, candidate)].append(candidate)
    left = [_one(kind, group) for group in groups.values()]
    return left, len(candidates) - len(left)


def _sameness(kind: Kind, candidate: Candidate) -> tuple[Any, ...]:
    ignored = {"symbols"} if kind == "news" and candidate.values["news_id"] is not None else set()
    return tuple(value for name, value in candidate.values.items() if name not in ignored)


def _one(kind: Kind, group: list[Candidate]) -> Candidate:
    first = group[0]
    if kind == "news" and len(group) > 1:
        named = {symbol for candidate in group for symbol in candidate.values["symbols"]}
        first.values["symbols"] = tuple(sorted(named))
    return first
