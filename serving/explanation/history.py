"""The chains of events behind rows: whole, anchored, and holding the very hash of the row.

One pass per session over its chain; every decision and fill of the session is then looked up in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import psycopg

from serving.explanation.checks import Link
from trading.adapters.anchors import broken_anchor, read_anchors
from trading.adapters.event_chain import broken_link, read_chain
from trading.ingestion.ports import PayloadStore

_KEYS = {"DecisionMade": "decision_id", "OrderIntended": "client_order_id", "OrderFilled": "fill_id"}


@dataclass(frozen=True)
class Chain:
    """A session's chain after its check: what is wrong with it, how far it is anchored, and the hashes it holds."""

    length: int
    anchored_to: int
    problems: list[str]
    hashes: dict[str, str]


@dataclass
class Histories:
    """The chains of sessions, each read once."""

    conn: psycopg.Connection
    objects: PayloadStore
    _chains: dict[str, Chain] = field(default_factory=dict)

    def link(self, session_id: str, recorded: dict[str, bytes], is_finished: bool) -> Link:
        """Whether the chain stands and holds these rows, by id, with these hashes."""
        chain = self._chain(session_id)
        problems = list(chain.problems)
        for name, row_hash in recorded.items():
            if chain.hashes.get(name) != row_hash.hex():
                problems.append(f"the chain of {session_id} does not hold {name} as it is stored")
        if is_finished and chain.anchored_to < chain.length:
            problems.append(
                f"the chain of {session_id} is anchored to event {chain.anchored_to} of {chain.length} only"
            )
        return Link({"events": chain.length, "anchored_to": chain.anchored_to}, problems)

    def _chain(self, session_id: str) -> Chain:
        if session_id not in self._chains:
            self._chains[session_id] = self._read(session_id)
        return self._chains[session_id]

    def _read(self, session_id: str) -> Chain:
        chain, anchors = read_chain(self.conn, session_id), read_anchors(self.conn, session_id)
        problems = []
        if (at := broken_link(chain)) is not None:
            problems.append(f"the chain of {session_id} breaks at event {at}")
        if (broken := broken_anchor(self.objects, chain, anchors)) is not None:
            problems.append(broken)
        hashes = {}
        for event in chain:
            if event.kind in _KEYS:
                payload = json.loads(event.payload)
                hashes[payload[_KEYS[event.kind]]] = payload["row_hash"]
        return Chain(len(chain), anchors[-1].sequence if anchors else 0, problems, hashes)
