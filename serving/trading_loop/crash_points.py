"""The named moments at which a session can be killed on purpose, to prove that running it again completes it.

`TRADELOOM_CRASH_AT="point"` (or `point:3` for the third time it is passed) kills the process with SIGKILL there: no
handler runs, nothing is flushed, as when the machine dies. Only honoured when set; read by bootstrap.py.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from enum import StrEnum

from trading.errors import InputError


class CrashPoint(StrEnum):
    """Each moment between two effects of a session, in the order in which a bar passes them."""

    SESSION_OPENED = "session_opened"
    FILLS_WRITTEN = "fills_written"
    BAR_MARKED = "bar_marked"
    ANALYST_ANSWERED = "analyst_answered"
    ORACLE_ANSWERED = "oracle_answered"
    INTENTS_WRITTEN = "intents_written"
    INTENTS_COMMITTED = "intents_committed"
    ORDER_SUBMITTED = "order_submitted"
    ORDERS_ACKNOWLEDGED = "orders_acknowledged"
    SESSION_CLOSED = "session_closed"
    ANCHOR_STORED = "anchor_stored"


@dataclass
class CrashPlan:
    """Where to die, if anywhere: at the `nth` passing of `point`."""

    point: CrashPoint | None = None
    nth: int = 1
    _passed: int = field(default=0, repr=False)

    @classmethod
    def from_setting(cls, setting: str | None) -> CrashPlan:
        """Return the plan that a setting `point[:nth]` states; none for an empty one.

        Raises:
            InputError: no such point, or `nth` is not a positive number.
        """
        if not setting:
            return cls()
        name, _, count = setting.partition(":")
        if name not in set(CrashPoint) or not (count or "1").isdecimal() or int(count or "1") < 1:
            raise InputError(
                f"expected TRADELOOM_CRASH_AT=point[:nth] with one of {', '.join(CrashPoint)}, found {setting}"
            )
        return cls(CrashPoint(name), int(count or "1"))

    def passes(self, point: CrashPoint) -> None:
        """Die here if this is the moment."""
        if point is self.point:
            self._passed += 1
            if self._passed == self.nth:
                os.kill(os.getpid(), signal.SIGKILL)
