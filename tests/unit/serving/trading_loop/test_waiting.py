"""A session that follows the world's clock runs again for what is new, and for nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from serving.trading_loop.waiting import follow
from trading.adapters.wake_ups import WakeUp


class Told:
    """Wake-ups as a list: a watermark, or None where nothing came in time."""

    def __init__(self, *watermarks: int | None) -> None:
        self._left = list(watermarks)
        self.waits: list[float] = []

    def wait(self, seconds: float) -> WakeUp | None:
        self.waits.append(seconds)
        watermark = self._left.pop(0)
        return None if watermark is None else WakeUp(watermark, was_told=True)


def runs(*statuses: str) -> Any:
    left = list(statuses)
    return lambda: SimpleNamespace(status=left.pop(0))


def test_a_session_runs_again_with_each_wake_up_until_it_has_ended():
    told = Told(7, None, None, 9)
    report = follow(runs("open", "open", "finished"), told, stops=lambda: False)  # type: ignore[arg-type]
    assert report.status == "finished"
    assert told.waits == [1.0] * 4


def test_a_session_that_has_ended_waits_for_nothing():
    told = Told()
    assert follow(runs("finished"), told, stops=lambda: False).status == "finished"  # type: ignore[arg-type]
    assert told.waits == []


def test_waiting_ends_when_it_is_asked_to():
    stops = iter([False, True])
    assert follow(runs("open"), Told(None), stops=lambda: next(stops)).status == "open"  # type: ignore[arg-type]
