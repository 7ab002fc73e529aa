"""What goes on beside a feed goes on after an engine's refusal, and takes what is left at the end."""

from __future__ import annotations

import logging
import threading
from typing import ClassVar

import pytest

from trading.adapters.feeds.beside import Beside
from trading.errors import EngineUnavailableError


class _Counted(Beside):
    name: ClassVar[str] = "feed-counted"
    waiting: ClassVar[str] = "the rest waits"

    def __init__(self, refused: int, every: float) -> None:
        super().__init__(every)
        self.taken, self._left, self.twice = 0, refused, threading.Event()

    def _take(self) -> None:
        if self._left:
            self._left -= 1
            raise EngineUnavailableError("gone")
        self.taken += 1
        if self.taken == 2:
            self.twice.set()


def test_it_goes_on_after_an_engine_s_refusal(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), _Counted(refused=2, every=0.001) as beside:
        assert beside.twice.wait(30)
    assert [record.getMessage() for record in caplog.records] == ["the rest waits: gone"] * 2


def test_what_is_left_is_taken_at_the_end_however_short_the_block() -> None:
    with _Counted(refused=0, every=60) as beside:
        pass
    assert beside.taken == 1
