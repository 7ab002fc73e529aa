"""docs/ten-minutes.md, typed as it stands, in an empty folder: from nothing to a paper fill that explains itself.

The shell commands and the columns of the CSV are taken from the page. What the test adds is the file itself, and the
documented variables that say where the vendor is.
"""

from __future__ import annotations

import csv
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from exchange_protocols import DAY, binance
from typed_page import Terminal, blocks
from vendor_server import VendorServer
from yahoo_server import Bar, Listing, yahoo

from infra.local.endpoints import KEYS, VARIABLES, Endpoints
from orchestration.cli import tradeloom
from trading.calendar import exchange_sessions

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ten-minutes.md").read_text()
TYPED = blocks(PAGE, "sh")
START, LOOK, END = "1. An empty folder", "3. The fill, explained", "4. The end"
CSV, YAHOO, EXCHANGE = "A CSV", "Yahoo, through yfinance", "A crypto exchange, through ccxt"
FIRST = date(2023, 1, 3)
SPLIT_ON = date(2024, 6, 10)
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


@dataclass(frozen=True)
class Way:
    """One of the page's ways: the source that its bars come from, and what is put in place before it is typed."""

    heading: str
    source: str
    prepared: Callable[[ExitStack, Path], dict[str, str]]


def a_walk(seed: str, days: int, opens_at: float) -> Iterator[tuple[float, float, float, float, int]]:
    """Yield open, high, low, close and volume of a made-up price."""
    drawn = random.Random(seed)
    price = opens_at
    for _ in range(days):
        opened, price = price, price * (1 + drawn.gauss(0.0003, 0.02))
        around = sorted((opened, price))
        yield opened, around[1] * 1.01, around[0] * 0.99, price, drawn.randrange(10**6, 10**7)


def sessions(calendar: str = "XNYS") -> list[date]:
    return [session.session_date for session in exchange_sessions(calendar, FIRST, YESTERDAY)]


def a_csv(_: ExitStack, folder: Path) -> dict[str, str]:
    """Write the page's file with the page's columns, three years of the symbols that it shows."""
    (example,) = blocks(PAGE, "csv").values()
    shown = list(csv.DictReader(example.splitlines()))
    with (folder / "prices.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(shown[0]))
        writer.writeheader()
        for symbol in sorted({row["Ticker"] for row in shown}):
            days = sessions()
            for day, (opened, high, low, close, volume) in zip(days, a_walk(symbol, len(days), 120.0), strict=True):
                prices = {"Open": opened, "High": high, "Low": low, "Close": close, "Adj Close": close * 0.98}
                rounded = {name: f"{price:.2f}" for name, price in prices.items()}
                writer.writerow({"Date": day, **rounded, "Volume": volume, "Ticker": symbol})
    return {}


def a_yahoo(stack: ExitStack, _: Path) -> dict[str, str]:
    """Serve two listings as Yahoo does; one of them was split on the way."""
    days = sessions()
    listings = {}
    for symbol in ("AAPL", "MSFT"):
        splits = {SPLIT_ON: 4.0} if symbol == "AAPL" else {}
        bars: list[Bar] = []
        for day, (*prices, volume) in zip(days, a_walk(symbol, len(days), 120.0), strict=True):
            factor = 4.0 if splits and day < SPLIT_ON else 1.0
            opened, high, low, close = (round(price * factor, 2) for price in prices)
            bars.append((day, opened, high, low, close, volume))
        listings[symbol] = Listing(bars, splits, {date(2024, 2, 9): 0.24})
    server = stack.enter_context(VendorServer(yahoo(listings)))
    return {"TRADELOOM_YFINANCE_URL": server.url}


def an_exchange(stack: ExitStack, _: Path) -> dict[str, str]:
    """Serve two pairs as Binance does, every day of the week, the first dearer than half of the account."""
    klines = {}
    days = sessions("24/7")
    for market, opens_at in (("BTCUSDT", 90_000.0), ("ETHUSDT", 3_000.0)):
        klines[market] = [
            [at, *(f"{price:.2f}" for price in prices), f"{volume}.00000000", at + DAY - 1, "1", 2, "1", "1", "0"]
            for day, (*prices, volume) in zip(days, a_walk(market, len(days), opens_at), strict=True)
            for at in [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)]
        ]
    server = stack.enter_context(VendorServer(binance(500, klines)))
    return {"TRADELOOM_CCXT_URL": server.url}


WAYS = [Way(CSV, "files", a_csv), Way(YAHOO, "yfinance", a_yahoo), Way(EXCHANGE, "ccxt:binance", an_exchange)]


@contextmanager
def an_empty_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user may pass through where root runs this, as /home is."""
    folder = Path(tempfile.mkdtemp(prefix="tl-ten-")).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        home = {**environment(), "TRADELOOM_HOME": str(folder / "my-data" / "state")}
        subprocess.run(["tradeloom", "down"], env=home, timeout=120, check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def environment() -> dict[str, str]:
    """Return what a new user has: nothing of ours but the commands."""
    ours = {*VARIABLES.values(), *KEYS, "TRADELOOM_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS, ids=[way.source for way in WAYS])
def test_the_page_leads_from_an_empty_folder_to_a_fill_that_explains_itself(way: Way, tmp_path: Path) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(an_empty_folder())
        added = way.prepared(stack, tmp_path)
        terminal = stack.enter_context(Terminal(folder, environment() | added, tmp_path / "terminal.log"))
        terminal.type(TYPED[START], 600)
        home = folder / "my-data" / "state"
        for file in tmp_path.glob("*.csv"):
            file.rename(home.parent / file.name)
        told = terminal.type(TYPED[way.heading], 2400)
        explained = terminal.type(TYPED[LOOK], 1200)
        fills = facts_of(home, way.source)
        report = Path(re.findall(r"^Report: (.+)$", told, re.MULTILINE)[0]).read_text()
        terminal.type(TYPED[END], 120)
    newest = max(fills, key=lambda fill: fill["at"])  # the first of several: they come by their ids
    assert f"tradeloom explain fill {newest['fill_id']}" in told
    assert f"{newest['fill_id']}  verified" in explained
    assert re.search(rf" (bought|sold) [0-9.]+ {newest['symbol']} at ", explained)
    assert "1 of 1 fills verified" in explained
    decided = re.search(r"(\d+) of (\d+) decisions are identical", explained)
    assert decided
    assert decided[1] == decided[2] != "0"
    assert newest["fill_id"] in report
    assert "quarantined: " not in told
    parts = [f"{fill['quantity']:f}".rstrip("0") for fill in fills if fill["quantity"] % 1]
    assert bool(parts) == (way.heading == EXCHANGE), "coins are dealt in parts"
    assert [part for part in parts if f">{part}</td>" not in report] == []


def facts_of(home: Path, source: str) -> list[dict[str, Any]]:
    """Return the fills of the run, all of them on bars of the one source that there is."""
    found = Endpoints.resolve({**environment(), "TRADELOOM_HOME": str(home)})
    with psycopg.connect(found.postgres_url, options="-c timezone=UTC") as conn:
        sources = conn.execute("select distinct source from raw.price_bars").fetchall()
        assert sources == [(source,)]
        splits = conn.execute("select ratio from raw.corporate_actions where kind = 'split'").fetchall()
        assert splits == ([(Decimal(4),)] if source == "yfinance" else [])
        rows = conn.execute("select fill_id, timestamp, symbol, quantity from trading.fills order by 1").fetchall()
    return [dict(zip(("fill_id", "at", "symbol", "quantity"), row, strict=True)) for row in rows]


def test_every_command_of_the_page_is_one_that_the_command_line_takes():
    assert list(TYPED) == [START, CSV, YAHOO, EXCHANGE, LOOK, END]
    lines = [line for block in TYPED.values() for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("tradeloom ")]
    assert len(commands) == 7
    for words in commands:
        command: click.Command = tradeloom
        context = click.Context(command)
        while isinstance(command, click.Group):
            _, found, words = command.resolve_command(context, words)
            assert found is not None
            command = found
        command.make_context(command.name, list(words), parent=context)  # raises where an option is not its own
    assert {line.split()[0] for line in lines} == {"mkdir", "cd", "export", "tradeloom"}


def test_the_file_that_the_page_shows_is_one_that_can_be_read(tmp_path: Path):
    from trading.ingestion.candidates import parse
    from trading.ingestion.reader import Reader

    (example,) = blocks(PAGE, "csv").values()
    parsed = parse(example.encode(), Reader("prices", "csv", adjustment="split", parser=2))
    assert ([candidate.values["symbol"] for candidate in parsed.candidates], parsed.defects) == (["AAPL", "MSFT"], [])
