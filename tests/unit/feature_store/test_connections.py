"""A kept connection is closed before it is deleted, whatever refers to its store when that is forgotten."""

import gc
from typing import Any

from feature_store.connections import _Kept


class Opened:
    """Says what became of it, as psycopg warns of a connection that is deleted while it is open."""

    def __init__(self, said: list[str]) -> None:
        self.said, self.closed = said, False

    def close(self) -> None:
        self.closed = True
        self.said.append("closed")

    def __del__(self) -> None:
        self.said.append("deleted" if self.closed else "deleted while open")


def test_a_connection_in_garbage_that_refers_to_itself_is_closed_first() -> None:
    said: list[str] = []
    frames: dict[str, Any] = {"connection": Opened(said)}
    frames |= {"kept": _Kept(frames["connection"]), "error": frames}
    del frames
    gc.collect()
    gc.collect()
    assert said == ["closed", "deleted"]


def test_a_forgotten_store_closes_its_connection_at_once() -> None:
    said: list[str] = []
    kept: Any = _Kept(Opened(said))  # type: ignore[arg-type]
    assert not said
    del kept
    assert said == ["closed", "deleted"]
