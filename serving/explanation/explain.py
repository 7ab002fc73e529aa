"""Why a fill happened, or why a decision sent no order: every link resolved, every hash computed again.

fill -> order -> intent -> decision -> model version (weights) and training snapshot; -> feature row -> indicator row ->
definition; -> bars -> ingestion batches -> payloads in S3; -> news and scores; with the chain of events, costs and
postings beside it. Links are in checks.py, registered.py and history.py; here they become one record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.explanation.batches import Batches
from serving.explanation.checks import (
    Link,
    bar_link,
    batch_link,
    cost_link,
    decision_link,
    feature_links,
    fill_link,
    intent_link,
    order_link,
    posting_link,
    timing_link,
)
from serving.explanation.history import Histories
from serving.explanation.models import Models
from serving.explanation.registered import Registered
from serving.explanation.replay import Sources
from serving.explanation.stored import (
    StoredDecision,
    StoredFill,
    StoredOrder,
    read_bars,
    read_decisions,
    read_fills,
    read_orders,
    read_postings,
    read_sessions,
)
from serving.explanation.words import decision_in_words, fill_in_words


@dataclass(frozen=True)
class Explanation:
    """One fill or decision with its chain. `noun`: fill or decision."""

    noun: str
    identity: str
    chain: dict[str, Any]
    problems: list[str]
    text: str

    @property
    def is_verified(self) -> bool:
        """Whether every link was found and every hash fits."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as the command prints it."""
        return {
            f"{self.noun}_id": self.identity,
            "verified": self.is_verified,
            "problems": self.problems,
            "chain": self.chain,
            "text": self.text,
        }


def explain_fills(sources: Sources, fill_ids: Sequence[str] | None) -> list[Explanation]:
    """Explain these fills, or all.

    Raises:
        InputError: an id that names no fill.
        EngineUnavailableError: an engine does not answer.
    """
    fills = read_fills(sources.conn, fill_ids)
    decisions = read_decisions(sources.conn, sorted({fill.decision_id for fill in fills})) if fills else []
    explainer = _Explainer(sources, decisions, fills)
    by_id = {decision.row.decision_id: decision for decision in decisions}
    found = [explainer.fill(fill, by_id[fill.decision_id]) for fill in fills]
    return found + (explainer.lost("fill") if fill_ids is None else [])


def explain_decisions(sources: Sources, decision_ids: Sequence[str] | None) -> list[Explanation]:
    """Explain these decisions, or all: why each ordered, or why not.

    Raises:
        InputError: an id that names no decision.
        EngineUnavailableError: an engine does not answer.
    """
    decisions = read_decisions(sources.conn, decision_ids)
    explainer = _Explainer(sources, decisions, [])
    found = [explainer.decision(decision) for decision in decisions]
    return found + (explainer.lost("decision") if decision_ids is None else [])


class _Explainer:
    """What the explanations of one call share."""

    def __init__(self, sources: Sources, decisions: Sequence[StoredDecision], fills: Sequence[StoredFill]) -> None:
        conn = sources.conn
        self._features = sources.features
        self._batches = Batches(conn, sources.objects)
        self._registered = Registered(conn, sources.objects, Models(sources.registry))
        self._histories = Histories(conn, sources.objects)
        self._sessions = read_sessions(conn, sorted({decision.row.session_id for decision in decisions}))
        self._orders = read_orders(conn, [decision.row.decision_id for decision in decisions])
        bars = [decision.row.bar_id for decision in decisions] + [fill.row.fill.bar_id or 0 for fill in fills]
        self._bars = read_bars(conn, bars)
        self._postings = read_postings(conn, [fill.row.fill.fill_id for fill in fills])
        self._registered.prepare_news(decisions)

    def fill(self, fill: StoredFill, decision: StoredDecision) -> Explanation:
        """Explain one fill."""
        done, order = fill.row.fill, self._orders.get(fill.decision_id)
        session = self._sessions[fill.row.session_id]
        bar = self._bars.get(done.bar_id or 0)
        links = {
            "fill": fill_link(fill),
            "costs": cost_link(fill, session, bar),
            "postings": posting_link(fill, self._postings.get(done.fill_id, {})),
            "fill_bar": bar_link(bar, done.bar_hash),
            "order": order_link(order),
            "intent": intent_link(order),
            **self._decision_links(decision),
        }
        links["timing"] = timing_link(fill, order, decision, links["feature_row"])
        recorded = {done.fill_id: fill.row_hash, **_hashes(decision, order)}
        links["events"] = self._histories.link(session.session_id, recorded, session.status == "finished", order)
        lists = self._lists(decision, [bar.batch_id] if bar else [])
        problems = _problems(links, lists)
        text = fill_in_words(fill, decision, session.name, problems)
        return Explanation("fill", done.fill_id, _chain(links, lists), problems, text)

    def decision(self, decision: StoredDecision) -> Explanation:
        """Explain one decision."""
        order = self._orders.get(decision.row.decision_id)
        session = self._sessions[decision.row.session_id]
        links = self._decision_links(decision)
        if order is not None:
            links |= {"order": order_link(order), "intent": intent_link(order)}
        links["events"] = self._histories.link(
            session.session_id, _hashes(decision, order), session.status == "finished", order
        )
        lists = self._lists(decision, [])
        problems = _problems(links, lists)
        text = decision_in_words(decision, order, session.name, problems)
        return Explanation("decision", decision.row.decision_id, _chain(links, lists), problems, text)

    def lost(self, noun: str) -> list[Explanation]:
        """Name every fill or decision that a chain holds and the table does not: it was deleted."""
        return [
            Explanation(noun, name, {}, [problem], f"The {noun} {name} was deleted: {problem}.")
            for name, problem in self._histories.lost(noun).items()
        ]

    def _decision_links(self, decision: StoredDecision) -> dict[str, Link]:
        row = decision.row
        feature_row, indicator_row = feature_links(decision, self._features)
        return {
            "decision": decision_link(decision),
            "model": self._registered.model(decision, self._sessions[row.session_id]),
            "snapshot": self._registered.snapshot(decision),
            "feature_row": feature_row,
            "indicator_row": indicator_row,
            "definition": self._registered.definition(row.definition),
            "bar": bar_link(self._bars.get(row.bar_id), row.bar_row_hash),
        }

    def _lists(self, decision: StoredDecision, more_batches: list[int]) -> dict[str, list[Link]]:
        """The news of a decision, and every batch that it rests on: of its series and splits, its news, what is named."""
        news, row = self._registered.news(decision), decision.row
        bar = self._bars.get(row.bar_id)
        batch_ids = {
            *more_batches,
            *([bar.batch_id] if bar else []),
            *self._batches.behind(row.source, row.symbol, row.as_of, row.watermark),
            *(link.facts["batch_id"] for link in news if "batch_id" in link.facts),
        }
        return {
            "news": news,
            "batches": [batch_link(batch_id, self._batches, decision.row) for batch_id in sorted(batch_ids)],
        }


def _hashes(decision: StoredDecision, order: StoredOrder | None) -> dict[str, bytes]:
    hashes = {decision.row.decision_id: decision.row_hash}
    return hashes if order is None else {**hashes, order.row.intent.client_order_id: order.row_hash}


def _problems(links: dict[str, Link], lists: dict[str, list[Link]]) -> list[str]:
    single = [problem for link in links.values() for problem in link.problems]
    return single + [problem for many in lists.values() for link in many for problem in link.problems]


def _chain(links: dict[str, Link], lists: dict[str, list[Link]]) -> dict[str, Any]:
    return {
        **{name: link.to_dict() for name, link in links.items()},
        **{name: [link.to_dict() for link in many] for name, many in lists.items()},
    }
