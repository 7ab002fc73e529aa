"""A session that follows the world's clock: run as far as the bars go, then wait for the next one, and so on to its end.

The loop is woken when features are there (`NOTIFY` in the commit that made them) and looks by itself after a period, so a
lost notification costs at most that. Each run goes on where the one before it stopped (loop.py).
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from serving.trading_loop.bootstrap import SessionReport
from trading.adapters.wake_ups import WakeUps


def follow(
    run: Callable[[], SessionReport],
    wake_ups: WakeUps,
    *,
    stops: Callable[[], bool],
    most_seconds: float = float("inf"),
    look_every: float = 1.0,
) -> SessionReport:
    """Run a session again whenever something newer is there; return its report when it has ended, or was to stop.

    Args:
        run: Takes the session as far as its bars go, such as `partial(run_session, terms, settings)`.
        wake_ups: Entered by the caller, so that it listened before the first run.
        stops: Asked between two waits.
        most_seconds: Waits no longer than this in all.
        look_every: The longest single wait, in seconds.

    Raises:
        EngineUnavailableError: as `run` does; following again goes on from there.
    """
    until = monotonic() + most_seconds
    report = run()
    while report.status != "finished" and not stops() and monotonic() < until:
        if wake_ups.wait(min(look_every, until - monotonic())) is not None:
            report = run()
    return report
