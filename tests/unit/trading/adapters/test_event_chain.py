"""The chain of events: any edit, removal or exchange is seen."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from trading.adapters.anchors import Anchor, broken_anchor, store_anchor
from trading.adapters.event_chain import GENESIS, ChainedEvent, ChainHead, broken_link, canonical_json, event_hash
from trading.errors import PayloadHashError

NOON = datetime(2012, 3, 5, 12, tzinfo=UTC)


def chain_of(*payloads: str) -> list[ChainedEvent]:
    chain, previous = [], GENESIS
    for sequence, payload in enumerate(payloads, start=1):
        digest = event_hash("s-1", sequence, "Test", NOON, payload, previous)
        chain.append(ChainedEvent("s-1", sequence, "Test", NOON, payload, previous, digest))
        previous = digest
    return chain


class Shelf(dict[str, bytes]):
    """Objects in memory."""

    def put_at(self, key: str, payload: bytes) -> None:
        self.setdefault(key, payload)

    def get(self, key: str, sha256: str) -> bytes:  # type: ignore[override]
        if key not in self:
            raise PayloadHashError(f"expected {key}, found nothing")
        return self[key]


def test_whole_chain_has_no_broken_link():
    assert broken_link(chain_of("{}", '{"a":1}', '{"b":2}')) is None


def test_edited_event_breaks_the_chain_where_it_is():
    chain = chain_of("{}", '{"a":1}', '{"b":2}')
    chain[1] = replace(chain[1], payload='{"a":2}')
    assert broken_link(chain) == 2


def test_event_edited_with_its_own_hash_breaks_the_chain_after_it():
    chain = chain_of("{}", '{"a":1}', '{"b":2}')
    edited = replace(chain[1], payload='{"a":2}')
    chain[1] = replace(edited, hash=edited.recomputed_hash())
    assert broken_link(chain) == 3


@pytest.mark.parametrize("gone", [0, 1])
def test_removed_event_breaks_the_chain(gone):
    chain = chain_of("{}", '{"a":1}', '{"b":2}')
    del chain[gone]
    assert broken_link(chain) == chain[gone].sequence


def test_chain_made_anew_does_not_meet_its_anchor():
    chain, shelf = chain_of("{}", '{"a":1}'), Shelf()
    anchor = store_anchor(shelf, "s-1", ChainHead(2, chain[1].hash))
    assert broken_anchor(shelf, chain, [anchor]) is None
    assert "not the one that was anchored" in str(broken_anchor(shelf, chain_of("{}", '{"a":2}'), [anchor]))


def test_chain_cut_short_does_not_meet_its_anchor():
    chain, shelf = chain_of("{}", '{"a":1}'), Shelf()
    anchor = store_anchor(shelf, "s-1", ChainHead(2, chain[1].hash))
    assert broken_anchor(shelf, chain[:1], [anchor]) is not None


def test_anchor_that_is_gone_is_said():
    anchor = Anchor("s-1", 1, bytes(32), "anchors/s-1/gone.json", "00" * 32)
    assert "found nothing" in str(broken_anchor(Shelf(), chain_of("{}"), [anchor]))


def test_canonical_json_is_one_text_per_value():
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))
