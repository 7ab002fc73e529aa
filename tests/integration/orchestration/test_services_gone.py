"""The oracle or the analyst killed while Dagster replays the paper sessions: one line, whole bars only, a rerun completes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from assets.paper import paper_sessions
from orchestration.paper_desk import LoopDesk
from serving.trading_loop.bootstrap import LoopSettings
from trading.adapters.registry import ModelRegistry
from trading.errors import EngineUnavailableError

pytestmark = pytest.mark.engines
WEIGHTS = "ab" * 32
REPLAYED = 18  # sessions: a quarter of what is left of 124 after the 50 that warm the indicators up
LOOP_TABLES = ("decisions", "order_intents", "orders", "fills", "portfolio_snapshots", "session_steps", "events")


def decided(question: dict[str, Any], version: str) -> dict[str, Any]:
    """Buy when nothing is held, keep what is."""
    day = question["as_of"][:10]
    row = {
        "row_id": 1,
        "row_hash": hashlib.sha256(f"{question['symbol']}{day}".encode()).hexdigest(),
        "timestamp": f"{day}T00:00:00+00:00",
        "known_at": question["as_of"],
        "definition": "d" * 64,
        "source": question["source"],
        "values": {"sentiment": 0.0},
    }
    return {
        "symbol": question["symbol"],
        "action": 0 if question["position"] else 1,
        "confidence": 0.75,
        "vector": [10.0, 55.0, 0.1, 1000.0, float(question["position"]), 0.0],
        "feature_row": row,
        "model": {"name": "trader-daily", "version": version, "weights_sha256": WEIGHTS, "snapshot_id": None},
        "environment": {},
    }


@contextmanager
def service(lives_for: int) -> Iterator[str]:
    """Answer as oracle and analyst that many times; then every connection ends without a word, as when killed."""
    left = iter(range(lives_for))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if next(left, None) is None:
                self.close_connection = True
                return
            nothing = {"score": 0.0, "items": [], "scorer": "head", "scorer_version": "1"}
            asked = body.get("requests")
            answer = {"decisions": [decided(one, body["model_version"]) for one in asked]} if asked else nothing
            payload = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry names one version; MLflow is not the point here."""
    card = SimpleNamespace(
        feature_service={"name": "daily", "scorer": "head", "scorer_version": "1"}, weights_sha256=WEIGHTS
    )
    monkeypatch.setattr(ModelRegistry, "load", lambda *_, **__: SimpleNamespace(version="1", card=card))


def desk(bench: Any, oracle: str, analyst: str) -> LoopDesk:
    store = bench.store
    return LoopDesk(
        LoopSettings(bench.url, oracle, analyst, "", store.endpoint, store.access_key, store.secret_key, store.bucket)
    )


def counts(bench: Any) -> dict[str, int]:
    return {table: bench.count(f"trading.{table}") for table in LOOP_TABLES}


@pytest.mark.parametrize(("name", "oracle_lives", "analyst_lives"), [("oracle", 7, 10_000), ("analyst", 10_000, 13)])
def test_a_service_killed_in_the_middle_of_a_session(
    bench: Any, name: str, oracle_lives: int, analyst_lives: int
) -> None:
    bench.ingest()
    with service(oracle_lives) as oracle, service(analyst_lives) as analyst:
        line = bench.fails(paper_sessions, kind=EngineUnavailableError, desk=desk(bench, oracle, analyst))
    assert line.startswith(f"expected the {name} at http://127.0.0.1:")
    assert line.endswith("start it with `tradeloom up` and run again")
    stopped = counts(bench)
    assert 0 < stopped["decisions"] < 2 * REPLAYED
    assert stopped["decisions"] % 2 == 0, "a bar is decided for all symbols or for none"
    with psycopg.connect(bench.url) as conn:
        torn = "select transaction_id from trading.postings group by transaction_id having sum(amount) <> 0"
        assert conn.execute(torn).fetchall() == []  # type: ignore[arg-type]
    with service(10_000) as oracle, service(10_000) as analyst:
        for _ in range(2):
            assert bench.run(paper_sessions, desk=desk(bench, oracle, analyst)).success
            whole = counts(bench)
            assert (whole["decisions"], whole["fills"]) == (4 * REPLAYED, 4), "two sessions of two symbols, each bought"


def test_postgres_gone_while_the_sessions_run(bench: Any) -> None:
    bench.ingest()
    with service(10_000) as url:
        settings = LoopSettings(bench.dead_warehouse.url, url, url, "", "", "", "")
        line = bench.fails(paper_sessions, kind=EngineUnavailableError, desk=LoopDesk(settings))
    assert line.startswith("expected PostgreSQL to answer, found: ")


def test_the_object_store_gone_while_the_sessions_run_is_one_line_and_a_rerun_completes(bench: Any) -> None:
    bench.ingest()
    with service(10_000) as url:
        settings = LoopSettings(bench.url, url, url, "", bench.dead_store.endpoint, "k" * 20, "s" * 40)
        line = bench.fails(paper_sessions, kind=EngineUnavailableError, desk=LoopDesk(settings))
        assert line.startswith("expected the object store at ")
        bench.run(paper_sessions, desk=desk(bench, url, url))
    assert bench.count("trading.decisions") == 4 * REPLAYED
    assert bench.count("trading.event_anchors") == 2
