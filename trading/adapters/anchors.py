"""Anchors: the head of a session's event chain, kept in the ledger and as an object in S3.

A chain alone shows an edit in its middle, not that somebody computed the whole of it anew; the anchor does, because it
lies in another engine under a key that names its content. Explanations compare the two.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import psycopg

from trading.adapters.event_chain import ChainedEvent, ChainHead, canonical_json, head
from trading.errors import PayloadHashError


class AnchorStore(Protocol):
    """The object store, as far as anchors need it."""

    def put_at(self, key: str, payload: bytes) -> None:
        """Keep `payload` under `key` unless it is there already."""


class AnchorShelf(Protocol):
    """The object store, as far as checking anchors needs it."""

    def get(self, key: str, sha256: str) -> bytes:
        """Return what lies under `key`, checked against its hash."""


@dataclass(frozen=True)
class Anchor:
    """One anchored head."""

    session_id: str
    sequence: int
    hash: bytes
    object_key: str
    object_sha256: str


def store_anchor(store: AnchorStore, session_id: str, chain_head: ChainHead) -> Anchor:
    """Keep a head in the object store. Doing it again changes nothing."""
    content = {"session_id": session_id, "sequence": chain_head.sequence, "hash": chain_head.hash.hex()}
    payload = canonical_json(content).encode()
    key = f"anchors/{session_id}/{chain_head.sequence:010d}-{chain_head.hash.hex()}.json"
    store.put_at(key, payload)
    return Anchor(session_id, chain_head.sequence, chain_head.hash, key, hashlib.sha256(payload).hexdigest())


def record_anchor(conn: psycopg.Connection, anchor: Anchor, *, now: datetime) -> None:
    """Record an anchor that lies in the object store; one already recorded stays as it is."""
    conn.execute(
        "insert into trading.event_anchors (session_id, sequence, hash, object_key, object_sha256, anchored_at)"
        " values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
        (anchor.session_id, anchor.sequence, anchor.hash, anchor.object_key, anchor.object_sha256, now),
    )


def anchor_head(conn: psycopg.Connection, store: AnchorStore, session_id: str, *, now: datetime) -> Anchor:
    """Anchor the present head of a session's chain."""
    anchor = store_anchor(store, session_id, head(conn, session_id))
    with conn.transaction():
        record_anchor(conn, anchor, now=now)
    return anchor


def read_anchors(conn: psycopg.Connection, session_id: str) -> list[Anchor]:
    """Return a session's anchors, oldest first."""
    rows = conn.execute(
        "select session_id, sequence, hash, object_key, object_sha256 from trading.event_anchors"
        " where session_id = %s order by sequence",
        (session_id,),
    ).fetchall()
    return [Anchor(session, sequence, bytes(digest), key, sha256) for session, sequence, digest, key, sha256 in rows]


def broken_anchor(store: AnchorShelf, chain: list[ChainedEvent], anchors: list[Anchor]) -> str | None:
    """Return what is wrong with the first anchor that the chain does not meet, or None.

    Raises:
        EngineUnavailableError: the object store does not answer.
    """
    for anchor in anchors:
        try:
            stored = json.loads(store.get(anchor.object_key, anchor.object_sha256))
        except PayloadHashError as error:
            return str(error)
        if anchor.sequence > len(chain) or bytes(chain[anchor.sequence - 1].hash).hex() != stored["hash"]:
            return f"event {anchor.sequence} is not the one that was anchored as {anchor.object_key}"
    return None
