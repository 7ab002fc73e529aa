"""`tradeloom demo` as a process whose job fails inside Dagster: its last word is one line, and its exit code 1."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engines, pytest.mark.long]  # it trains the head on the way


@pytest.fixture
def healthy_url() -> Iterator[str]:
    """Something that says it is well and can do nothing else: where the services of another team would be."""

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_file_of_bad_rows_only_is_refused_and_kept_in_quarantine(
    bench: Any, healthy_url: str, object_store_settings: Any, mlflow_url: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text((bench.folder / "prices.csv").read_text().replace(".05,", ".05,-"))
    settings = object_store_settings
    environment = {
        **os.environ,
        "TRADELOOM_HOME": str(tmp_path / "home"),
        "TRADELOOM_POSTGRES_URL": bench.url,
        "TRADELOOM_S3_ENDPOINT": settings.endpoint,
        "TRADELOOM_S3_ACCESS_KEY": settings.access_key,
        "TRADELOOM_S3_SECRET_KEY": settings.secret_key,
        "TRADELOOM_S3_BUCKET": settings.bucket,
        "TRADELOOM_MLFLOW_URL": mlflow_url,
        "TRADELOOM_ORACLE_URL": healthy_url,
        "TRADELOOM_ANALYST_URL": healthy_url,
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "demo", "--prices", str(bad)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"found 100% ({bench.bars} of {bench.bars}: negative_volume {bench.bars})" in done.stderr
    assert "nothing was published" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("FAILED"), "the step is named"
    assert "Traceback" not in done.stdout
    assert (bench.count("raw.price_bars"), bench.count("raw.quarantined_rows")) == (0, bench.bars)
