"""The MLflow server on PostgreSQL and S3: what to run, and how to see that it is ready.

Addresses with passwords go through the environment: a command line can be read by every user of the machine.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.errors import EngineStartError
from infra.local.home import Home
from infra.local.object_store import ObjectStoreSettings
from infra.local.postgres import sqlalchemy_url
from infra.local.processes import MARK, Identity, end, end_marked, last_line, reap, spawn

STARTUP_SECONDS = 240.0  # the first start makes the tables


@dataclass(frozen=True)
class MlflowServer:
    """The MLflow server of one state folder; clients reach artefacts through it and need no S3 keys."""

    home: Home
    port: int
    postgres_url: str
    store: ObjectStoreSettings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.home.logs / "mlflow.log"

    def start(self, mark: str) -> Identity:
        """Start the server and wait until it answers.

        Raises:
            EngineStartError: It ended, or did not answer in time.
        """
        process = spawn(
            command(self.port),
            environment={**environment(self.postgres_url, self.store), MARK: mark},
            log=self.log,
            cwd=self.home.path,
        )
        wait_for_answer(f"{self.url}/health", process, self.log, STARTUP_SECONDS)
        return process

    def stop(self, process: Identity, mark: str) -> None:
        """End the server and its workers."""
        end(process, patience=10)
        end_marked(mark)


def command(port: int) -> list[str]:
    """Return the command that serves MLflow on this loopback port."""
    return [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def environment(postgres_url: str, store: ObjectStoreSettings) -> Mapping[str, str]:
    """Return what the server (and only the server: clients go through it) must know."""
    return {
        "MLFLOW_BACKEND_STORE_URI": sqlalchemy_url(postgres_url, "mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{store.bucket}/mlflow",
        "MLFLOW_S3_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": store.access_key,
        "AWS_SECRET_ACCESS_KEY": store.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # Jobs (evaluation by language models) would start a queue's workers for nothing.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PATH": os.environ.get("PATH", os.defpath),
    }


def http_problem(url: str, *, timeout: float = 3.0) -> str | None:
    """Return why this address does not answer 200; None if it does."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return None if answer.status == 200 else f"it answered {answer.status}"
    except (OSError, urllib.error.URLError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def wait_for_answer(url: str, process: Identity, log: Path, seconds: float) -> None:
    """Wait until `url` answers 200.

    Raises:
        EngineStartError: The process ended, or time ran out.
    """
    deadline = time.monotonic() + seconds
    while True:
        reap(process)
        if not process.alive():
            raise EngineStartError(f"{log.stem} ended before it was ready: {last_line(log)}; see {log}")
        problem = http_problem(url)
        if problem is None:
            return
        if time.monotonic() > deadline:
            raise EngineStartError(f"{log.stem} did not answer {url} within {seconds:.0f} s: {problem}; see {log}")
        time.sleep(0.2)
