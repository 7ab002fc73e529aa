"""The chains of events behind rows: whole, anchored, and holding the very hash of the row.

One pass per session over its chain; every decision, order and fill of the session is then looked up in it. What the
chain holds and the tables no longer do is named too: a deleted row is no row to explain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from serving.explanation.checks import Link
from serving.explanation.stored import StoredOrder
from trading.adapters.anchors import broken_anchor, read_anchors
from trading.adapters.event_chain import ChainedEvent, broken_link, read_chain
from trading.adapters.ledger_rows import session_id_of
from trading.ingestion.ports import PayloadStore

_KEYS = {"DecisionMade": "decision_id", "OrderIntended": "client_order_id", "OrderFilled": "fill_id"}
_NOUNS = {"DecisionMade": "decision", "OrderFilled": "fill"}
_STORED_IDS = {
    "decision": "select decision_id from trading.decisions where session_id = %s",
    "fill": "select fill_id from trading.fills where session_id = %s",
}
# What the first event pins beside the terms that make the session's id.
_PINNED = {"weights_sha256", "watermark"}
_TERMS = """
select name, mode, source, interval, symbols, model_name, model_version, weights_sha256, watermark, first_timestamp,
    last_timestamp, starting_cash, costs, risk, extract(epoch from latency)::double precision as latency_seconds
from trading.sessions where session_id = %s
"""


@dataclass
class Chain:
    """A session's chain after its check: what is wrong with it, how far it is anchored, and what it holds."""

    length: int
    anchored_to: int
    problems: list[str]
    hashes: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, tuple[str, str]] = field(default_factory=dict)
    cancelled: dict[str, str] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=lambda: {"decision": [], "fill": []})


@dataclass
class Histories:
    """The chains of sessions, each read once."""

    conn: psycopg.Connection
    objects: PayloadStore
    _chains: dict[str, Chain] = field(default_factory=dict)

    def link(
        self, session_id: str, recorded: Mapping[str, bytes], is_finished: bool, order: StoredOrder | None = None
    ) -> Link:
        """Whether the chain stands, holds these rows, by id, with these hashes, and what the broker said to `order`."""
        chain = self._chain(session_id)
        problems = list(chain.problems)
        for name, row_hash in recorded.items():
            if chain.hashes.get(name) != row_hash.hex():
                problems.append(f"the chain of {session_id} does not hold {name} as it is stored")
        if is_finished and chain.anchored_to < chain.length:
            problems.append(
                f"the chain of {session_id} is anchored to event {chain.anchored_to} of {chain.length} only"
            )
        if order is not None:
            problems += _broker_differences(chain, order)
        return Link({"events": chain.length, "anchored_to": chain.anchored_to}, problems)

    def lost(self, noun: str) -> dict[str, str]:
        """Return what chains hold and the tables do not (`decision` or `fill`): id -> what is wrong, of all sessions."""
        sessions = self.conn.execute("select distinct session_id from trading.events order by 1").fetchall()
        return {
            name: f"the chain of {session_id} holds this {noun}, the table does not"
            for (session_id,) in sessions
            for name in self._lost_of(session_id, noun)
        }

    def _lost_of(self, session_id: str, noun: str) -> list[str]:
        stored = {name for (name,) in self.conn.execute(_STORED_IDS[noun], (session_id,))}
        return [name for name in self._chain(session_id).ids[noun] if name not in stored]

    def _chain(self, session_id: str) -> Chain:
        if session_id not in self._chains:
            self._chains[session_id] = self._read(session_id)
        return self._chains[session_id]

    def _read(self, session_id: str) -> Chain:
        events, anchors = read_chain(self.conn, session_id), read_anchors(self.conn, session_id)
        problems = []
        if (at := broken_link(events)) is not None:
            problems.append(f"the chain of {session_id} breaks at event {at}")
        if (broken := broken_anchor(self.objects, events, anchors)) is not None:
            problems.append(broken)
        problems += self._changed_terms(session_id, events)
        chain = Chain(len(events), anchors[-1].sequence if anchors else 0, problems)
        for event in events:
            _remember(chain, event.kind, json.loads(event.payload))
        return chain

    def _changed_terms(self, session_id: str, events: list[ChainedEvent]) -> list[str]:
        """The session's own row has no hash: its id and its first event say what it was."""
        with self.conn.cursor(row_factory=dict_row) as cursor:
            stored = cursor.execute(_TERMS, (session_id,)).fetchone()
        if stored is None:
            return [f"there is no session {session_id}"]
        opened = json.loads(events[0].payload) if events and events[0].kind == "SessionOpened" else {}
        if session_id_of({name: value for name, value in opened.items() if name not in _PINNED}) != session_id:
            return [f"the first event of {session_id} does not state the terms that its id is made of"]
        said = _terms_of(opened)
        changed = [name for name, value in stored.items() if said.get(name) != value]
        return [f"the terms of {session_id} were changed: {', '.join(changed)}"] if changed else []


def _terms_of(opened: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the first event says as the columns of a session hold it."""
    moments = {name: datetime.fromisoformat(opened[name]) for name in ("first_timestamp", "last_timestamp")}
    return {**opened, **moments, "starting_cash": Decimal(opened["starting_cash"])}


def _remember(chain: Chain, kind: str, payload: Mapping[str, Any]) -> None:
    if kind in _KEYS:
        chain.hashes[payload[_KEYS[kind]]] = payload["row_hash"]
    if kind in _NOUNS:
        chain.ids[_NOUNS[kind]].append(payload[_KEYS[kind]])
    elif kind == "OrderAccepted":
        chain.accepted[payload["client_order_id"]] = (payload["broker"], payload["broker_order_id"])
    elif kind == "OrderCancelled":
        chain.cancelled[payload["client_order_id"]] = payload["reason_code"]


def _broker_differences(chain: Chain, order: StoredOrder) -> list[str]:
    name = order.row.intent.client_order_id
    said = None if order.broker is None else (order.broker, order.broker_order_id)
    problems = []
    if chain.accepted.get(name) != said:
        problems.append(f"the broker's word on {name} is not the one that the chain holds")
    if chain.cancelled.get(name) != order.reason_code:
        problems.append(f"the end of {name} is not the one that the chain holds")
    return problems
