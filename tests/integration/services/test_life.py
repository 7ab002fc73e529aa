"""A service lives without its engines, says what it waits for, and becomes ready by itself."""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

pytestmark = pytest.mark.engines


@contextmanager
def forwarding(port: int, to: str) -> Iterator[None]:
    """Make a port answer for another server while the block runs."""
    target = urlsplit(to)
    open_sockets: list[socket.socket] = []

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((target.hostname, target.port)) as there:
                open_sockets.extend([self.request, there])
                back = threading.Thread(target=_pump, args=(there, self.request))
                back.start()
                _pump(self.request, there)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Forward) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            for one in open_sockets:
                _end(one)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return  # one side left, and so does the other
    finally:
        _end(source)
        _end(sink)


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # it has ended already
        one.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("name", "path"), [("oracle", "/predict"), ("analyst", "/sentiment")])
def test_without_its_engines_it_lives_and_with_them_it_becomes_ready(
    name: str, path: str, stage: Any, run_service: Any, free_port: int, tmp_path: Path
) -> None:
    settings = {
        "TRADELOOM_POSTGRES_URL": make_conninfo(stage.url, dbname=f"later_{name}"),
        "TRADELOOM_MLFLOW_URL": f"http://127.0.0.1:{free_port}",
        "TRADELOOM_ALIAS_POLL_SECONDS": "0.2",
    }
    question = {"state": [1, 2, 3, 4, 0]} if name == "oracle" else {"symbol": "AAPL"}
    with run_service(name, tmp_path, **settings) as running:
        response = running.client.get("/readyz")
        assert response.status_code == 503
        assert "is served yet" in response.text
        refused = running.post(path, question)
        assert refused.status_code == 503
        assert "is served yet" in refused.json()["error"]
        with forwarding(free_port, stage.mlflow_url):
            running.wait_for(lambda c: "is served yet" not in c.get("/readyz").text)
            response = running.client.get("/readyz")
            assert response.status_code == 503
            assert f"later_{name}" in response.text, "the registry is there, the warehouse is not"
            _create(stage.url, f"later_{name}", template="template1")
            running.wait_for(lambda c: "expected a migrated warehouse" in c.get("/readyz").text)
            _drop(stage.url, f"later_{name}")
            _create(stage.url, f"later_{name}")
            running.wait_for(lambda c: c.get("/readyz").status_code == 200)
            running.answer(path, question)
        running.wait_for(lambda c: c.get("/version").json()["problem"] is not None)
        assert running.client.get("/readyz").status_code == 200, "what is loaded outlives the registry"
        running.answer(path, question)


@pytest.mark.parametrize("name", ["oracle", "analyst"])
def test_a_missing_setting_ends_the_start_and_is_named(name: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRADELOOM_")}
    command = [sys.executable, "-m", "bentoml", "serve", f"serving.{name}.service:{name.capitalize()}", "--port", "0"]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[3],
        env={**environment, "BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode not in (0, -signal.SIGKILL)
    assert "expected the setting TRADELOOM_POSTGRES_URL, found none" in done.stdout + done.stderr


def _create(url: str, database: str, template: str = "tradeloom_template") -> None:
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as conn:
        conn.execute(f"create database {database} template {template} strategy file_copy")  # type: ignore[arg-type]


def _drop(url: str, database: str) -> None:
    with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as conn:
        conn.execute(f"drop database {database} with (force)")  # type: ignore[arg-type]
