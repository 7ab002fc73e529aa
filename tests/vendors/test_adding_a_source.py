"""docs/adding-a-source.md, followed word by word: its file, its line and its command; and two sources side by side."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from vendor_server import Reply, Request, VendorServer, json_reply
from yahoo_server import Listing, yahoo

from feature_store import build
from orchestration.cli import tradeloom
from trading.adapters.sources.registry import VENDORS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-a-source.md").read_text()
KEY = "the-key-that-the-vendor-gave-you"
FILE, LINE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
DAYS = ("2024-05-30", "2024-05-31", "2024-06-03")


def toy(request: Request) -> Reply:
    """The vendor of the page: two bars to a page."""
    if request.headers.get("x-toy-key") != KEY:
        return Reply(401, b'{"message":"who are you?"}')
    page = int(request.query["page"])
    days = [day for day in DAYS if request.query["from"] <= day < request.query["to"]]
    bars = [
        {"day": day, "open": "10.00", "high": "11.50", "low": "9.75", "close": "11.25", "volume": 1000}
        for day in days[2 * page - 2 : 2 * page]
    ]
    return json_reply({"bars": bars, "next": page + 1 if len(days) > 2 * page else None})


@pytest.fixture
def server() -> Iterator[VendorServer]:
    with VendorServer(toy) as running:
        yield running


@pytest.fixture
def environ(
    server: VendorServer, database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """A shell in which the page's command finds the platform, and the vendor on loopback."""
    settings = {
        "TRADELOOM_POSTGRES_URL": database_url,
        "TRADELOOM_S3_ENDPOINT": object_store_settings.endpoint,
        "TRADELOOM_S3_ACCESS_KEY": object_store_settings.access_key,
        "TRADELOOM_S3_SECRET_KEY": object_store_settings.secret_key,
        "TRADELOOM_S3_BUCKET": object_store_settings.bucket,
        "TRADELOOM_TOY_URL": server.url,
        "TOY_API_KEY": KEY,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.mark.engines
@pytest.mark.long
def test_one_file_and_one_line_are_a_source(
    server: VendorServer, environ: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    """In a copy of the package, so that the checkout stays as it is."""
    shutil.copytree(ROOT / "trading", tmp_path / "trading", ignore=shutil.ignore_patterns("__pycache__"))
    sources = tmp_path / "trading" / "adapters" / "sources"
    assert "Write\n`trading/adapters/sources/toy.py`" in PAGE
    (sources / "toy.py").write_text(FILE)
    registry = (sources / "registry.py").read_text()
    (sources / "registry.py").write_text(
        registry.replace("VENDORS: dict[str, str] = {\n", f"VENDORS: dict[str, str] = {{\n{LINE}")
    )
    export, command = COMMANDS.splitlines()
    assert export == f"export TOY_API_KEY={KEY}"
    shell = {**os.environ, **environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *shlex.split(command)[1:], "--json"],
        env=shell,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["pages"], report["rows_published"], report["is_complete"]) == (4, 6, True)
    assert [request.query["page"] for request in server.requests] == ["1", "2", "1", "2"]
    with psycopg.connect(database_url) as conn:
        bars = conn.execute(
            "select symbol, timestamp::date::text, close from raw.price_bars where source = 'toy' order by 1, 2"
        )
        assert bars.fetchall() == [(symbol, day, Decimal("11.25")) for symbol in ("AAA", "BBB") for day in DAYS]
        kept = conn.execute("select string_agg(b::text, '') from raw.ingestion_batches as b").fetchone()
        assert kept is not None
        assert KEY not in kept[0]
    assert KEY not in done.stdout + done.stderr


@pytest.fixture
def two_vendors(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[VendorServer]:
    """The toy of the page in this process, and Yahoo on loopback, which tells one close otherwise."""
    module = types.ModuleType("toy_of_the_page")
    exec(compile(FILE, "toy.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "toy_of_the_page", module)
    monkeypatch.setitem(VENDORS, "toy", "toy_of_the_page")
    monkeypatch.setattr(build, "ensure_definitions", lambda url: None)  # the features of it are tested elsewhere
    bars = [(date.fromisoformat(day), 10.0, 11.5, 9.75, 11.25, 1000) for day in DAYS]
    bars[1] = (*bars[1][:4], 11.0, 1000)
    with VendorServer(yahoo({"AAA": Listing(bars), "CCC": Listing(bars)})) as running:
        monkeypatch.setenv("TRADELOOM_YFINANCE_URL", running.url)
        yield running


def run(command: str) -> tuple[int, str]:
    told = CliRunner().invoke(tradeloom, shlex.split(command), catch_exceptions=True)
    return told.exit_code, told.stdout if told.exit_code in (0, 1) and told.stdout else str(told.exception)


RANGE = "--from 2024-05-30 --to 2024-06-03"


@pytest.mark.engines
def test_the_first_of_the_list_that_has_a_symbol_serves_it_and_disagreements_are_told(
    two_vendors: VendorServer, server: VendorServer, database_url: str
) -> None:
    assert "expected --source, or a list of sources of AAA" in run(f"ingest prices --symbols AAA {RANGE}")[1]
    assert run("sources order toy yfinance") == (0, "every other symbol: toy, yfinance\n")
    assert run("sources order yfinance toy --symbols CCC")[1].splitlines() == [
        "every other symbol: toy, yfinance",
        "CCC: yfinance, toy",
    ]
    code, told = run(f"ingest prices --symbols AAA,CCC {RANGE} --json")
    assert (code, [(one["symbol"], one["source"], one["passed_over"]) for one in json.loads(told)]) == (
        0,
        [("AAA", "toy", []), ("CCC", "yfinance", [])],
    )
    # The vendor of the list's head refuses: the next one serves, and the reason is told and kept.
    os.environ["TOY_API_KEY"] = "another"
    code, told = run(f"ingest prices --symbols AAA {RANGE}")
    assert code == 0
    assert told.startswith(
        "AAA: 3 rows of yfinance (not toy: expected toy to let us in, found toy at /bars: status 401"
    )
    code, told = run(f"ingest prices --symbols GONE {RANGE} --json")
    assert (code, json.loads(told)[0]["source"]) == (1, None)
    assert json.loads(told)[0]["passed_over"][1] == {"source": "yfinance", "why": "it has no rows of it"}
    with psycopg.connect(database_url) as conn:
        served = conn.execute(
            "select symbol, source, jsonb_array_length(passed_over) from raw.served order by served_id"
        )
        assert served.fetchall() == [
            ("AAA", "toy", 0),
            ("CCC", "yfinance", 0),
            ("AAA", "yfinance", 1),
            ("GONE", None, 2),
        ]
    assert run("sources compare")[1] == ("AAA 1d 2024-05-31 00:00 close: toy 11.25, yfinance 11 (2.2727% apart)\n")
    assert run("sources compare --tolerance 0.03")[1] == "no two sources disagree\n"
    assert run("sources compare --as-of 2024-05-31T20:00:00Z")[1] == "no two sources disagree\n"


@pytest.mark.engines
def test_a_list_is_known_from_when_it_was_written_and_can_be_withdrawn(
    two_vendors: VendorServer, database_url: str
) -> None:
    before = datetime.now(UTC).isoformat()
    run("sources order toy --symbols AAA")
    written = datetime.now(UTC).isoformat()
    assert run("sources order --none --symbols AAA")[1] == "no lists of sources of prices\n"
    assert run(f"sources order --as-of {before}")[1] == "no lists of sources of prices\n"
    assert run(f"sources order --as-of {written}")[1] == "AAA: toy\n"
    with psycopg.connect(database_url) as conn:
        hashed = conn.execute(
            "select bool_and(row_hash = trading.source_order_hash(o)) from trading.source_orders as o"
        )
        assert hashed.fetchone() == (True,)
    assert "expected a vendor, one of" in run("sources order bloomberg")[1]
    assert "expected sources of news, found toy, which has prices" in run("sources order toy --kind news")[1]
    assert "expected each source once" in run("sources order toy toy")[1]


def test_every_vendor_is_listed_with_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOY_API_KEY", raising=False)
    told = {one["source"]: one for one in json.loads(run("sources list --json")[1])}
    assert told.keys() == VENDORS.keys()
    assert told["yfinance"]["reaches_back_days"]["1m"] == 29
    assert told["yfinance"]["adjustment"] == "raw"
    assert "yfinance   prices, actions; 1m, 5m, 15m, 1h, 1d; prices raw; back 1m 29 days" in run("sources list")[1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--source yfinance", "expected --symbols, found none"),
        ("--source yfinance --symbols AAA", "expected --from, found none"),
        ("--source yfinance --symbols AAA --from 2024-06-03 --to 2024-06-01", "expected --from before --to"),
        ("--source yfinance --symbols AAA --from 2124-06-03", "expected --from before --to and both in the past"),
        (
            "--source yfinance --symbols AAA --from 2024-06-03 --adjustment raw",
            "expected no --adjustment with yfinance",
        ),
        ("--source yfinance --symbols AAA --from 2024-06-03 --interval 7m", "expected an interval of 1m, 5m"),
        ("--source yfinance --symbols AAA --from 2024-06-03 --interval 1m", "expected 1m bars of yfinance from"),
        ("--source sample --symbols AAA", "expected no --symbols with sample, which delivers whole files"),
    ],
)
def test_what_cannot_be_asked_is_one_line(options: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", "postgresql://nobody@127.0.0.1:9/none")
    monkeypatch.setenv("TRADELOOM_S3_ENDPOINT", "http://127.0.0.1:9")
    for name in ("ACCESS_KEY", "SECRET_KEY", "BUCKET"):
        monkeypatch.setenv(f"TRADELOOM_S3_{name}", "none")
    code, told = run(f"ingest prices {options}")
    assert code == 1
    assert complaint in told
