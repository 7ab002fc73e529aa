"""How a stretch of sessions is cut into training, judging and replay, in this order and never overlapping.

Pure dates. Which bars exist is the warehouse's to say; what is measured on a window is evaluation.py's.

The cut is a rule, fixed before any result is seen: the last sessions are replayed, the ones before them judge the
challenger, and training ends an embargo earlier, because a feature looks back and a reward looks one bar ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from trading.errors import InputError

REPLAY_SESSIONS = 291
JUDGE_SESSIONS = 252
EMBARGO_SESSIONS = 5
MINIMUM_SESSIONS = 120
WARM_UP_SESSIONS = 50  # the longest look-back: SMA 50 has its first value on the 50th bar


@dataclass(frozen=True)
class Window:
    """Sessions from `first` to `last`, both included."""

    first: date
    last: date


@dataclass(frozen=True)
class Windows:
    """The three windows of one run of the main job."""

    training: Window
    judging: Window
    replay: Window


def windows_of(sessions: Sequence[date]) -> Windows:
    """Cut `sessions` (ascending, without gaps in the calendar) into the three windows.

    The replay takes the last 291 sessions and the judge the 252 before (one trading year); a shorter history gives
    each of them a quarter. The first 50 sessions only warm the indicators up.

    Raises:
        InputError: fewer than 120 sessions: there would be nothing to learn from.
    """
    if len(sessions) < MINIMUM_SESSIONS:
        raise InputError(
            f"expected at least {MINIMUM_SESSIONS} sessions to train, judge and replay, found {len(sessions)}; "
            "give a longer price history"
        )
    quarter = (len(sessions) - WARM_UP_SESSIONS) // 4
    replay_from = len(sessions) - min(REPLAY_SESSIONS, quarter)
    judge_from = replay_from - min(JUDGE_SESSIONS, quarter)
    training_to = judge_from - EMBARGO_SESSIONS
    return Windows(
        training=Window(sessions[WARM_UP_SESSIONS], sessions[training_to - 1]),
        judging=Window(sessions[judge_from], sessions[replay_from - 1]),
        replay=Window(sessions[replay_from], sessions[-1]),
    )


def sessions_between(sessions: Sequence[date], after: date, before: date) -> int:
    """Return how many of `sessions` lie strictly between two days: the embargo that was really kept."""
    return sum(after < session < before for session in sessions)
