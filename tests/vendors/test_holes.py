"""What a vendor does not give of an ask while it gives the rest: kept with the fetch, told at its end, no success."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from news_protocols import beyond_the_plan
from vendor_cases import BY_NAME
from vendor_server import VendorServer, refusing

from orchestration.cli import tradeloom
from orchestration.commands import fetch as fetch_command
from trading.adapters.source_orders import put_order

pytestmark = pytest.mark.engines
CASE = replace(BY_NAME["newsapi"], answer=beyond_the_plan)
HOLE = "articles AAPL from page 2 on"
ASKED = "ingest news --symbols AAPL,MSFT --from 2024-01-01 --to 2024-01-05"


@pytest.fixture
def run(
    database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, int]]:
    """Run a command beside a server; return its exit code, its stdout, and how many requests there were."""
    s3 = object_store_settings
    engines = {"POSTGRES_URL": database_url, "S3_ENDPOINT": s3.endpoint, "S3_BUCKET": s3.bucket}
    engines |= {"S3_ACCESS_KEY": s3.access_key, "S3_SECRET_KEY": s3.secret_key}
    for name, value in engines.items():
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    for name, value in CASE.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(fetch_command, "_define", lambda: None)  # a dbt build, of no matter here

    def ran(command: str, *failures: Any) -> tuple[int, str, int]:
        with VendorServer(CASE.answer) as server:
            monkeypatch.setenv("TRADELOOM_NEWSAPI_URL", server.url)
            server.fail(*failures)
            done = CliRunner().invoke(tradeloom, command.split())
            return done.exit_code, done.stdout, len(server.requests)

    return ran


def test_the_others_go_on_the_hole_is_told_and_the_exit_code_is_no_success(run, database_url):
    code, out, asked = run(f"{ASKED} --source newsapi --json")
    report = json.loads(out)
    assert (code, asked, report["pages"], report["rows_published"], report["is_complete"]) == (1, 3, 2, 3, False)
    assert [hole["what"] for hole in report["holes"]] == [HOLE]
    with psycopg.connect(database_url) as conn:
        symbols = conn.execute("select symbols[1], count(*) from raw.news_items group by 1 order by 1").fetchall()
        ended = conn.execute("select count(*) from raw.fetched_pages where cursor is null").fetchone()
    assert (symbols, ended) == ([("AAPL", 2), ("MSFT", 1)], (1,))  # the same command begins anew


def test_a_hole_that_a_stopped_run_found_is_told_by_the_one_that_goes_on_after_it(run):
    code, out, asked = run(f"{ASKED} --source newsapi", None, None, refusing(400))
    assert (code, out, asked) == (1, "", 3)
    code, out, _ = run(f"{ASKED} --source newsapi")
    assert code == 1
    assert "1 pages, after the 1 that were there" in out
    assert out.count(f"not given: {HOLE}: the plan of this key ends before it") == 1


def test_by_lists_a_source_that_gave_a_part_serves_and_the_hole_is_told(run, database_url):
    with psycopg.connect(database_url) as conn:
        put_order(conn, "news", [None], ["newsapi"], datetime(2024, 1, 1, tzinfo=UTC))
    code, out, _ = run(f"{ASKED} --json")
    assert code == 1
    served = {one["symbol"]: (one["source"], [hole["what"] for hole in one["holes"]]) for one in json.loads(out)}
    assert served == {"AAPL": ("newsapi", [HOLE]), "MSFT": ("newsapi", [])}
