"""A backfill as the Dagster UI launches it: by the same mutation, submitted and run by the real daemon, in the vendor's pool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from vendor_server import VendorServer, refusing, slow
from yahoo_server import Listing, yahoo

from infra.local.endpoints import KEYS, VARIABLES, Endpoints
from infra.local.postgres import database_url

pytestmark = [pytest.mark.engines, pytest.mark.long]
DAYS = [date(2024, 4, 30), date(2024, 5, 31), date(2024, 6, 3), date(2024, 7, 1)]
LISTING = Listing([(day, 10.0, 11.5, 9.75, 11.25, 1000) for day in DAYS])
LAUNCH = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
STATUS = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status error { message } }
    ... on PythonError { message }
  }
}
"""
TICK = """
mutation ($schedule: ScheduleSelector!, $at: Float!) {
  scheduleDryRun(selectorData: $schedule, timestamp: $at) {
    ... on DryRunInstigationTick {
      evaluationResult { skipReason error { message } runRequests { runKey runConfigYaml } }
    }
    ... on PythonError { message }
  }
}
"""
RUNS = """
query ($id: String!) {
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
    ... on Runs { results { runId status startTime endTime } }
  }
}
"""


@pytest.fixture
def server() -> Iterator[VendorServer]:
    with VendorServer(yahoo(dict.fromkeys(("AAA", "BBB", "CCC"), LISTING))) as running:
        yield running


@pytest.fixture
def environment(server: VendorServer) -> Iterator[dict[str, str]]:
    """A platform with PostgreSQL, S3, the webserver and the daemon, which asks our vendor."""
    ours = {*VARIABLES.values(), *KEYS}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    with tempfile.TemporaryDirectory(prefix="tradeloom-ui-") as folder:
        environ = {**kept, "TRADELOOM_HOME": folder, "TRADELOOM_YFINANCE_URL": server.url}
        try:
            command(environ, "up", "--detach", "s3", "mlflow", "dagster-daemon")
            yield environ
        finally:
            command(environ, "down")


def command(environ: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        env=environ,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


def asked(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)
    assert "errors" not in found, found
    return next(iter(found["data"].values()))


def launched(url: str, *symbols: str) -> str:
    config = {"ops": {"vendor__yfinance_prices": {"config": {"symbols": symbols}}}}
    params = {
        "assetSelection": [{"path": ["vendor", "yfinance_prices"]}],
        "partitionNames": ["2024-05-01", "2024-06-01"],
        "runConfigData": json.dumps(config),
    }
    found = asked(url, LAUNCH, params=params)
    assert found["__typename"] == "LaunchBackfillSuccess", found
    return str(found["backfillId"])


def ticked(url: str, name: str, at: datetime) -> Any:
    schedule = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "tradeloom",
        "scheduleName": name,
    }
    return asked(url, TICK, schedule=schedule, at=at.timestamp())["evaluationResult"]


def until(what: Callable[[], Any], seconds: float = 300) -> Any:
    late = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < late, "it took too long"
        time.sleep(1)
    return found


def ended(url: str, backfill: str) -> str:
    done = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
    found = until(lambda: (told := asked(url, STATUS, id=backfill))["status"] in done and told)
    assert found["error"] is None, found
    return str(found["status"])


def test_a_backfill_launched_as_the_ui_does_is_run_by_the_daemon_and_goes_on_where_it_failed(
    environment: dict[str, str], server: VendorServer
) -> None:
    found = Endpoints.resolve(environment)
    url = found.dagster_url
    with psycopg.connect(database_url(found.postgres_url, "dagster"), autocommit=True) as conn:
        limit = "select \"limit\" from concurrency_limits where concurrency_key = 'vendor_yfinance'"
        assert until(lambda: conn.execute(limit).fetchone()) == (1,)  # the sensor's

    server.fail(None, refusing(403))
    assert ended(url, launched(url, "AAA", "BBB")) == "COMPLETED_FAILED"
    assert [request.path[-3:] for request in server.requests] == ["AAA", "BBB"]

    server.forget()
    server.fail(slow(3), slow(3))
    again, other = launched(url, "AAA", "BBB"), launched(url, "CCC")
    assert (ended(url, again), ended(url, other)) == ("COMPLETED_SUCCESS", "COMPLETED_SUCCESS")
    assert sorted(request.path[-3:] for request in server.requests) == ["BBB", "CCC"]
    runs = [asked(url, RUNS, id=backfill)["results"] for backfill in (again, other)]
    assert [len(of_one) for of_one in runs] == [1, 1]  # both months in one run
    first, second = sorted((of_one[0] for of_one in runs), key=lambda run: run["startTime"])
    assert first["endTime"] <= second["startTime"]  # one at a time in the vendor's pool

    with psycopg.connect(found.postgres_url) as conn:
        bars = conn.execute("select symbol, timestamp::date from raw.price_bars order by 1, 2").fetchall()
    assert bars == [(symbol, day) for symbol in ("AAA", "BBB", "CCC") for day in DAYS[1:3]]

    # What was fetched is kept up: the half day before Independence Day, asked of the schedule as the UI's test does.
    tick = ticked(url, "daily_update__XNYS", datetime(2024, 7, 3, 17, 35, tzinfo=UTC))
    assert tick["error"] is None, tick
    (request,) = tick["runRequests"]
    assert request["runKey"] == "XNYS 2024-07-03 yfinance 1d"
    assert all(word in request["runConfigYaml"] for word in ("AAA", "BBB", "CCC", "since: 2024-06-26", "live"))
    idle = ticked(url, "daily_update__24_7", datetime(2024, 7, 3, 0, 35, tzinfo=UTC))
    assert (idle["error"], idle["runRequests"], idle["skipReason"]) == (None, [], "no instrument trades on 24/7")
