"""The analyst's answers again, from the news and scores as they were known.

Of a decision: the daily sentiment, by the function that the feature and the analyst use (`features.sentiment_v1`), for
all decisions at once. Outside sessions: the recorded request, asked again of the analyst (analyst_answering.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from serving.explanation.analyst_answering import AnalystAnswers
from serving.explanation.findings import Cause, Finding, record_changed
from serving.explanation.stored import StoredDecision
from trading.adapters.served_sentiments import COLUMNS, ServedSentiment
from trading.learners.environment import environment_differences

AskAnalyst = Callable[[Sequence[Mapping[str, Any]]], AnalystAnswers]
TOLERANCE = 1e-6
"""How far a score may be off in another numeric environment."""

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


@dataclass(frozen=True)
class ServedAnswer:
    """What the analyst answered outside a session; not `is_intact`: its record was changed."""

    subject_id: str
    row: ServedSentiment
    is_intact: bool
    kind: Literal["sentiment"] = "sentiment"

    @property
    def symbol(self) -> str:
        """Whose sentiment it is."""
        return self.row.symbol

    @property
    def as_of(self) -> datetime:
        """The moment that was asked about."""
        return self.row.as_of


def read_served_sentiments(conn: psycopg.Connection, ids: Sequence[int]) -> list[ServedAnswer]:
    """Return the analyst's recorded answers of these numbers, in their order."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            f"select served_id, row_hash, {', '.join(COLUMNS)} from trading.served_sentiments"
            " where served_id = any(%s) order by served_id",
            (list(ids),),
        ).fetchall()
    rows = [(row, ServedSentiment(**{name: row[name] for name in COLUMNS})) for row in found]
    return [
        ServedAnswer(str(row["served_id"]), served, served.row_hash == bytes(row["row_hash"])) for row, served in rows
    ]


def answers_again(served: Sequence[ServedAnswer], ask: AskAnalyst) -> list[tuple[list[Finding], bool]]:
    """Return of each answer what differs when it is asked again, and whether the environment is the same."""
    if not served:
        return []
    again = ask([one.row.asked for one in served])
    return [
        _compared(one, answer, not environment_differences(one.row.environment, again.environment))
        for one, answer in zip(served, again.answers, strict=True)
    ]


def _compared(served: ServedAnswer, answer: Any, is_same: bool) -> tuple[list[Finding], bool]:
    row = served.row
    found = [] if served.is_intact else [record_changed()]
    if isinstance(answer, str):
        return [*found, Finding(Cause.MODEL_UNUSABLE, answer)], is_same
    score, items = answer
    recorded = _recorded(row.items)
    cause, tolerance = (Cause.SENTIMENT_DIFFERS, 0.0) if is_same else (Cause.ENVIRONMENT_DIFFERS, TOLERANCE)
    if not abs(score - row.score) <= tolerance:
        found.append(Finding(cause, f"the analyst answers {score!r}, it was {row.score!r}"))
    if [one for one, _ in items] != [one for one, _ in recorded]:
        found.append(_differs(f"the analyst uses the items {items}, it used {recorded}"))
    elif any(not abs(now - then) <= tolerance for (_, now), (_, then) in zip(items, recorded, strict=True)):
        found.append(Finding(cause, f"the analyst uses the scores {items}, it used {recorded}"))
    return found, is_same


def _recorded(items: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(item.get("item_id"), item.get("score")) for item in items]


def _differs(what: str) -> Finding:
    return Finding(Cause.SENTIMENT_DIFFERS, what)
