"""The analyst's answers again: the daily sentiment of each decision, from the news and scores as they were known.

The same function as the feature and the analyst use (`features.sentiment_v1`), asked for all decisions at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from serving.explanation.findings import Cause, Finding
from serving.explanation.stored import StoredDecision

_AGAIN = """
select d.decision_id, s.sentiment, s.item_ids
from trading.decisions as d
inner join raw.price_bars as b on b.bar_id = d.bar_id
cross join lateral features.sentiment_v1(
    d.symbol, b.nominal_at, d.as_of, d.watermark, d.scorer, d.scorer_version
) as s
where d.decision_id = any(%s) and d.analyst_sentiment is not null
"""

_SCORES = """
select z.item_id, z.scorer, z.scorer_version, z.score from features.news_scores as z where z.item_id = any(%s)
"""


@dataclass
class AnalystReplay:
    """Sentiments and items computed again, by decision."""

    conn: psycopg.Connection
    _again: dict[str, tuple[float, tuple[int, ...]]] = field(default_factory=dict)
    _scores: dict[tuple[int, str, str], float] = field(default_factory=dict)

    def prepare(self, decisions: Iterable[StoredDecision]) -> None:
        """Compute all these decisions' sentiments in two questions."""
        asked = [one.row.decision_id for one in decisions if one.row.analyst_sentiment is not None]
        if not asked:
            return
        for decision_id, sentiment, item_ids in self.conn.execute(_AGAIN, (asked,)):
            self._again[decision_id] = (sentiment, tuple(item_ids))
        item_ids = sorted({one for _, several in self._again.values() for one in several})
        for item_id, scorer, version, score in self.conn.execute(_SCORES, (item_ids,)):
            self._scores[(item_id, scorer, version)] = score

    def findings(self, decision: StoredDecision) -> list[Finding]:
        """Return how the analyst's recorded answer differs from what is computed now."""
        row = decision.row
        if row.analyst_sentiment is None:
            return []
        if row.decision_id not in self._again:
            return [_differs("the analyst's answer cannot be computed again: its bar is not there")]
        sentiment, item_ids = self._again[row.decision_id]
        found = []
        if sentiment != row.analyst_sentiment:
            found.append(_differs(f"the news gives {sentiment!r}, the analyst answered {row.analyst_sentiment!r}"))
        scorer = (str(row.scorer), str(row.scorer_version))
        items = [(item_id, self._scores.get((item_id, *scorer))) for item_id in item_ids]
        if items != _recorded(row.sentiment_items):
            found.append(
                _differs(f"the news gives the items {items}, the analyst used {_recorded(row.sentiment_items)}")
            )
        return found


def _recorded(items: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(item.get("item_id"), item.get("score")) for item in items]


def _differs(what: str) -> Finding:
    return Finding(Cause.SENTIMENT_DIFFERS, what)
