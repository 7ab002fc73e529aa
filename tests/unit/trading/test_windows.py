"""Windows never overlap, keep their order, and leave an embargo before the judge."""

from datetime import date, timedelta

import pytest

from trading.errors import InputError
from trading.windows import EMBARGO_SESSIONS, MINIMUM_SESSIONS, sessions_between, windows_of


def days(count: int) -> list[date]:
    return [date(2000, 1, 1) + timedelta(days=number) for number in range(count)]


@pytest.mark.parametrize("count", [MINIMUM_SESSIONS, 400, 1258, 3270])
def test_windows_keep_their_order_and_an_embargo(count: int):
    sessions = days(count)
    windows = windows_of(sessions)
    gap = sessions.index(windows.judging.first) - sessions.index(windows.training.last) - 1
    assert windows.training.first < windows.training.last
    assert gap == EMBARGO_SESSIONS
    assert windows.judging.last + timedelta(days=1) == windows.replay.first
    assert windows.replay.last == sessions[-1]


def test_a_long_history_replays_291_sessions_and_judges_on_a_year():
    windows = windows_of(days(3270))
    assert (windows.replay.last - windows.replay.first).days == 290
    assert (windows.judging.last - windows.judging.first).days == 251


def test_too_short_a_history_is_refused_with_what_is_needed():
    with pytest.raises(InputError, match="at least 120 sessions"):
        windows_of(days(MINIMUM_SESSIONS - 1))


def test_embargo_counts_the_sessions_strictly_between():
    sessions = [date(2012, 1, day) for day in (3, 4, 5, 6, 9, 10)]
    assert sessions_between(sessions, date(2012, 1, 4), date(2012, 1, 10)) == 3
    assert sessions_between(sessions, date(2012, 1, 10), date(2012, 1, 4)) == 0
