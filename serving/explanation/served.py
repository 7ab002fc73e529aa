"""What was served and is to be computed again: the decisions of sessions, and the oracle's answers outside of them.

An answer outside a session becomes a decision without bar, order and analyst, so that one set of checks serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import psycopg
from psycopg.rows import dict_row

from feature_store.services import FeatureService
from serving.explanation.replay import read_services
from serving.explanation.sentiments import ServedAnswer, read_served_sentiments
from serving.explanation.stored import StoredDecision, read_decisions
from trading.adapters.ledger_rows import DecisionRow
from trading.adapters.served_vectors import COLUMNS, ServedVector
from trading.strategy import FEATURE_COLUMNS

Kind = Literal["decision", "served"]

_OUTSTANDING = """
select kind, subject_id from trading.parity_of(%s) where %s or outcome is null or outcome = 'differs'
"""
_NO_HASH = bytes(32)


@dataclass(frozen=True)
class Served:
    """One thing that was served; not `is_intact`: its record was changed."""

    kind: Kind
    subject_id: str
    decision: StoredDecision
    is_intact: bool

    @property
    def symbol(self) -> str:
        """What it is about."""
        return self.decision.row.symbol

    @property
    def as_of(self) -> datetime:
        """The moment that was asked about."""
        return self.decision.row.as_of


def outstanding(conn: psycopg.Connection, environment: str, *, full: bool) -> tuple[list[Served], list[ServedAnswer]]:
    """Return what has no good word under this environment yet, or everything, in the order in which it was served:
    decisions with the oracle's answers, and the analyst's.
    """
    found = conn.execute(_OUTSTANDING, (environment, full)).fetchall()
    decisions = [subject for kind, subject in found if kind == "decision"]
    served = [int(subject) for kind, subject in found if kind == "served"]
    sentiments = [int(subject) for kind, subject in found if kind == "sentiment"]
    return [*_of_sessions(conn, decisions), *_outside(conn, served)], read_served_sentiments(conn, sentiments)


def services_of(conn: psycopg.Connection, served: Sequence[Served]) -> dict[str, FeatureService]:
    """Return the feature service of everything served, by the session id of its decision."""
    inside = [one.decision for one in served if one.kind == "decision"]
    outside = {one.decision.row.session_id: one.decision.row for one in served if one.kind == "served"}
    return read_services(conn, inside) | {key: _service(key, str(row.definition)) for key, row in outside.items()}


def _of_sessions(conn: psycopg.Connection, ids: Sequence[str]) -> list[Served]:
    decisions = read_decisions(conn, ids) if ids else []
    return [Served("decision", one.row.decision_id, one, one.row.row_hash == one.row_hash) for one in decisions]


def _outside(conn: psycopg.Connection, ids: Sequence[int]) -> list[Served]:
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            f"select served_id, row_hash, {', '.join(COLUMNS)} from trading.served_vectors"
            " where served_id = any(%s) order by served_id",
            (list(ids),),
        ).fetchall()
    return [_as_served(row) for row in found]


def _as_served(found: dict[str, Any]) -> Served:
    values = {name: found[name] for name in COLUMNS}
    if values["feature_row_hash"] is not None:
        values["feature_row_hash"] = bytes(values["feature_row_hash"])
    if values["vector"] is not None:
        values["vector"] = tuple(values["vector"])
    served, recorded = ServedVector(**values), bytes(found["row_hash"])
    stored = StoredDecision(_as_decision(f"served:{found['served_id']}", served), recorded, served.interval)
    return Served("served", str(found["served_id"]), stored, served.row_hash == recorded)


def _as_decision(name: str, served: ServedVector) -> DecisionRow:
    shared = {one: getattr(served, one) for one in COLUMNS if one in DecisionRow.__dataclass_fields__}
    shared["source"] = served.source or ""
    return DecisionRow(
        decision_id=name,
        session_id=f"served:{served.view}:{served.definition}",
        timestamp=served.as_of,
        bar_id=0,
        bar_row_hash=_NO_HASH,
        snapshot_id=None,
        scorer=None,
        scorer_version=None,
        sentiment=None,
        analyst_sentiment=None,
        sentiment_items=(),
        price_usd=Decimal(0),
        position_quantity=Decimal(served.position),
        cash_usd=Decimal(0),
        equity_usd=Decimal(0),
        outcome="served",
        reason_code=None,
        decided_at=served.served_at,
        **{**shared, "reason": {}},
    )


def _service(key: str, definition: str) -> FeatureService:
    view = key.split(":")[1]
    return FeatureService("served", view, definition, FEATURE_COLUMNS, scorer="", scorer_version="")
