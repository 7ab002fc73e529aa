"""A bar from a websocket to the wake-up of a listener, beside a bare NOTIFY round trip in the same seconds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from harness import Bench, Case, Sides

from feature_store.build import dbt_build
from trading.adapters import fetch_log
from trading.adapters.feeds.events import FeedEvents
from trading.adapters.feeds.payload_mover import PayloadMover
from trading.adapters.feeds.publishing import FeedPublisher
from trading.adapters.feeds.registry import stream_named
from trading.adapters.feeds.running import Feed
from trading.adapters.feeds.stream import Subscription
from trading.adapters.object_store import ObjectStore
from trading.calendar import Sessions
from trading.feed.silence import Schedule

SYMBOLS = int(os.environ.get("BENCH_SYMBOLS", "500"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
PAIRS = tuple(f"A{number:03}/USDT" for number in range(SYMBOLS))
MINUTE = timedelta(minutes=1)
# A minute's bar each second, out of yesterday: a feed's quick way is for bars of the last days.
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
_SPEAKER = Path(__file__).parent / "feed_speaker.py"


class Listener:
    """Notes when it was woken for which publication; its own connection and thread."""

    def __init__(self, url: str, channel: str) -> None:
        self.woken: dict[int, float] = {}
        self._conn = psycopg.connect(url, autocommit=True)
        self._conn.execute(f'listen "{channel}"')
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for told in self._conn.notifies(timeout=0.2):
                self.woken.setdefault(json.loads(told.payload)["watermark"], time.time())

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._conn.close()


class Pings:
    """Bare round trips: a NOTIFY of its own by one connection until another has it, ten a second."""

    def __init__(self, url: str) -> None:
        self.seconds: list[float] = []
        self._speaks = psycopg.connect(url, autocommit=True)
        self._hears = psycopg.connect(url, autocommit=True)
        self._hears.execute("listen ping")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            begun = time.perf_counter()
            self._speaks.execute("notify ping")
            for _ in self._hears.notifies(timeout=5, stop_after=1):
                self.seconds.append(time.perf_counter() - begun)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._speaks.close()
        self._hears.close()


class Market:
    """The feed, as `tradeloom feed` puts it together, and a speaker in a process of its own."""

    def __init__(self, stack: ExitStack, bench: Bench, *, derives: bool) -> None:
        self.url = stack.enter_context(bench.database())
        found = stack.enter_context(bench.object_store()).settings
        store = ObjectStore(found.endpoint, found.access_key, found.secret_key, found.bucket)
        if derives:
            dbt_build(self.url, arguments=("run", "--select", "indicators", "indicators_extended", "daily"))
        self.channel = "tradeloom_features" if derives else "tradeloom_publications"
        self.minute = 0
        stream = stream_named("ccxt:binance")
        fetch_log.declare(self.url, stream.vendor)
        self.speaker = subprocess.Popen(
            [sys.executable, str(_SPEAKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(self._end_speaker)
        self._stop = threading.Event()
        publisher = stack.enter_context(
            FeedPublisher(stream, "1m", PAIRS, database_url=self.url, object_store=store, derives=derives)
        )
        stack.enter_context(PayloadMover(self.url, store))
        always = Schedule.of({"24/7": Sessions.of([])})
        clock = lambda: datetime.now(UTC)  # noqa: E731
        feed = Feed(
            stream=stream,
            wanted=Subscription(PAIRS, "1m"),
            publisher=publisher,
            events=FeedEvents(self.url, stream.source, clock),
            schedule=lambda _: always,
            backfill=lambda missed: 0,
            address=self._read()["address"],
            secrets={},
            clock=clock,
            stop=self._stop,
        )
        self._thread = threading.Thread(target=feed.run, daemon=True)
        self._thread.start()
        stack.callback(self._end_feed)
        self.conn = stack.enter_context(psycopg.connect(self.url, autocommit=True))
        self.speak(2, burst=True)  # the first bars make instruments: another way, and a slow one
        self.settled()
        self.conn.execute("vacuum analyze raw.price_bars")

    def speak(self, seconds: int, *, burst: bool) -> dict[tuple[str, str], float]:
        """Have a bar of each symbol said each second; return when each was, by symbol and start."""
        asked = {
            "pairs": PAIRS,
            "first": (FIRST + self.minute * MINUTE).isoformat(),
            "seconds": seconds,
            "burst": burst,
        }
        self.minute += seconds
        assert self.speaker.stdin is not None
        self.speaker.stdin.write(json.dumps(asked) + "\n")
        self.speaker.stdin.flush()
        return {(symbol, start): at for symbol, start, at in self._read()["said"]}

    def settled(self) -> None:
        for _ in range(1200):
            row = self.conn.execute("select count(*) from raw.price_bars").fetchone()
            if row and row[0] >= self.minute * SYMBOLS:
                return
            time.sleep(0.1)
        raise RuntimeError(f"expected {self.minute * SYMBOLS} bars, found {row}; the feed lost some or is too slow")

    def arrivals(self) -> dict[tuple[str, str], int]:
        """The publication of each bar."""
        rows = self.conn.execute("select symbol, timestamp, watermark from raw.price_bars")
        return {(symbol, at.astimezone(UTC).isoformat()): watermark for symbol, at, watermark in rows}

    def _read(self) -> dict[str, Any]:
        assert self.speaker.stdout is not None
        found: dict[str, Any] = json.loads(self.speaker.stdout.readline())
        return found

    def _end_speaker(self) -> None:
        self.speaker.kill()
        self.speaker.wait()

    def _end_feed(self) -> None:
        self._stop.set()
        self._thread.join(30)


@contextmanager
def to_the_wake_up(bench: Bench, *, derives: bool, burst: bool) -> Iterator[Sides]:
    """Both sides are p99s of the same seconds: the first one asked measures, the other one tells what it found."""
    notes = [""]
    found: list[tuple[float, float]] = []
    with ExitStack() as stack:
        market = Market(stack, bench, derives=derives)

        def measure() -> tuple[float, float]:
            listener, pings = Listener(market.url, market.channel), Pings(market.url)
            said = market.speak(SECONDS, burst=burst)
            market.settled()
            time.sleep(0.5)
            listener.close()
            pings.close()
            arrivals = market.arrivals()
            lost = [bar for bar in said if arrivals.get(bar) not in listener.woken]
            took = sorted(listener.woken[arrivals[bar]] - at for bar, at in said.items() if bar not in lost)
            bare = sorted(pings.seconds)
            notes[0] = (
                f"The newest of its rounds: {len(said):,} bars, {len(lost)} lost; p50 {1000 * statistics.median(took):.1f} ms, "
                f"p99 {1000 * _p99(took):.1f} ms; bare p50 {1000 * statistics.median(bare):.2f} ms, "
                f"p99 {1000 * _p99(bare):.2f} ms of {len(bare)}."
            )
            assert not lost, lost[:5]
            return _p99(took), _p99(bare)

        def side(which: int) -> float:
            if not found or found[0][which] < 0:
                found[:] = [measure()]
            value = found[0][which]
            found[0] = (-1.0, found[0][1]) if which == 0 else (found[0][0], -1.0)
            return value

        yield Sides(lambda: side(0), lambda: side(1), notes=notes)


def _p99(values: list[float]) -> float:
    return values[int(0.99 * (len(values) - 1))]


def _case(name: str, *, derives: bool, burst: bool, goal: float | None) -> Case:
    @contextmanager
    def prepare(bench: Bench) -> Iterator[Sides]:
        with to_the_wake_up(bench, derives=derives, burst=burst) as sides:
            yield sides

    how = "all at the full second" if burst else "over the second"
    size = f"{SYMBOLS} symbols, a bar a second each, {how}, p99"
    return Case(name, size, "a bare NOTIFY round trip, p99, in the same seconds", prepare, goal, "ms", 5, 1)


CASES = [
    _case("bar to wake-up, features there", derives=True, burst=False, goal=10),
    _case("bar to wake-up, bars there", derives=False, burst=False, goal=10),
    _case("bar to wake-up, features there, in bursts", derives=True, burst=True, goal=None),
]
