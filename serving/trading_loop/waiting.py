"""A session that follows the world's clock: run as far as the bars go, then wait for the next one, and so on to its end.

The loop is woken when features are there (`NOTIFY` in the commit that made them) and looks by itself after a period, so a
lost notification costs at most that. Each run goes on where the one before it stopped (loop.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from serving.trading_loop.bootstrap import LoopSettings, SessionReport, model_registry, run_session
from serving.trading_loop.session import Loaded, Registry, SessionTerms
from trading.adapters.anchors import AnchorStore
from trading.adapters.market_data import MarketData
from trading.adapters.postgres import connection
from trading.adapters.wake_ups import WakeUp, WakeUps


def follow(
    run: Callable[[], SessionReport],
    wake_ups: WakeUps,
    *,
    stops: Callable[[], bool],
    concerns: Callable[[WakeUp], bool] = lambda wake_up: True,
    most_seconds: float = float("inf"),
    look_every: float = 1.0,
) -> SessionReport:
    """Run a session again whenever something newer is there; return its report when it has ended, or was to stop.

    Args:
        run: Takes the session as far as its bars go, such as `partial(run_session, terms, settings)`.
        wake_ups: Entered by the caller, so that it listened before the first run.
        stops: Asked between two waits.
        concerns: Whether the session must look because of a wake-up; asked once for each.
        most_seconds: Waits no longer than this in all.
        look_every: The longest single wait, in seconds.

    Raises:
        EngineUnavailableError: as `run` does; following again goes on from there.
    """
    until = monotonic() + most_seconds
    report = run()
    while report.status != "finished" and not stops() and monotonic() < until:
        woken = wake_ups.wait(min(look_every, until - monotonic()))
        if woken is not None and concerns(woken):
            report = run()
    return report


def follow_session(
    terms: SessionTerms,
    settings: LoopSettings,
    *,
    stops: Callable[[], bool],
    told: Callable[[SessionReport], None] = lambda report: None,
    registry: Registry | None = None,
    anchors: AnchorStore | None = None,
    period: float = 30.0,
) -> SessionReport:
    """Run a session and follow the bars of its symbols until its last one, or until `stops` says so.

    The model version that its alias names at the start stays, whatever is promoted meanwhile.

    Args:
        told: Called with the report of each run.
        registry, anchors: As of `run_session`.
        period: The longest time, in seconds, that a lost notification costs.

    Raises:
        EngineUnavailableError: something does not answer; following again goes on from where it was.
    """
    once = _Once(registry or model_registry(settings))

    def run() -> SessionReport:
        report = run_session(terms, settings, registry=once, anchors=anchors)
        told(report)
        return report

    with WakeUps(settings.postgres_url, "features", period=period) as wake_ups:
        return follow(run, wake_ups, stops=stops, concerns=_NewBars(terms, settings.postgres_url))


@dataclass
class _Once:
    """A registry whose version is looked up once."""

    registry: Registry
    _found: Loaded | None = None

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> Loaded:
        """Return the version of the first call."""
        if self._found is None:
            self._found = self.registry.load(name, alias=alias, version=version)
        return self._found


@dataclass
class _NewBars:
    """Whether a wake-up came with bars of the session: a feed of other symbols wakes everybody each second."""

    terms: SessionTerms
    url: str
    _seen: int = 0

    def __call__(self, woken: WakeUp) -> bool:
        """Tell it of this wake-up; the next one asks from here on."""
        terms, seen = self.terms, self._seen
        data = MarketData(terms.source, sorted(terms.symbols), terms.interval, woken.watermark)
        with connection(self.url, application="tradeloom-loop") as conn:
            found = data.has_bars_since(conn, seen, terms.first_timestamp, terms.last_timestamp)
        self._seen = woken.watermark
        return found
