"""`tradeloom ingest prices --symbols @NAME --from DAY`: members, progress, Ctrl-C, and going on where it stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from vendor_server import VendorServer
from yahoo_server import Listing, yahoo

from orchestration.calendars import calendars_in_use
from orchestration.commands import fetch as fetch_command
from orchestration.commands.fetch import Wanted
from orchestration.commands.ingest import ingest as ingest_command
from orchestration.fetch_progress import FetchProgress, Stop
from trading.adapters import falling_back, fetch_log
from trading.adapters.fetching import FetchReport
from trading.adapters.followed import Followed, followed
from trading.adapters.ingest import ingest
from trading.adapters.memberships import Change, Memberships
from trading.adapters.object_store import ObjectStore
from trading.adapters.source_orders import put_order
from trading.adapters.sources.files import Files
from trading.adapters.sources.registry import vendor_named
from trading.errors import AlreadyRunningError
from trading.ingestion.ports import Ask, Page

engines = pytest.mark.engines
LISTING = Listing([(date(2020, 8, day), 10.0, 11.5, 9.75, 11.25, 1000) for day in (26, 27, 28)])
# LEFT went during the range, LATE came, GONE had gone before it, NEXT comes after it.
UNIVERSE = """universe,symbol,date,member
big,STAYS,2020-01-01,true
big,LEFT,2020-01-01,true
big,LEFT,2020-08-27,false
big,LATE,2020-08-28,true
big,GONE,2020-01-01,true
big,GONE,2020-08-20,false
big,NEXT,2020-09-10,true
"""
DAYS = ("--from", "2020-08-26", "--to", "2020-08-31")
RANGE = ("--symbols", "@big", *DAYS)
DAY = datetime(2020, 8, 26, tzinfo=UTC)
MEMBERS = ["LATE", "LEFT", "STAYS"]


def test_whoever_belonged_on_any_day_of_the_range_is_meant_as_known_then() -> None:
    known = datetime(2020, 1, 1, tzinfo=UTC)
    later = datetime(2020, 6, 1, tzinfo=UTC)
    changes = {
        ("files", "OLD"): [Change(date(2019, 1, 1), True, known), Change(date(2020, 3, 1), False, known)],
        ("files", "NEW"): [Change(date(2020, 3, 1), True, later)],
        ("other", "ELSEWHERE"): [Change(date(2019, 1, 1), True, known)],
    }
    found = Memberships([("files", known), ("other", known)], changes)
    assert found.ever_members(date(2020, 2, 29), date(2020, 3, 1), later) == ["NEW", "OLD"]
    assert found.ever_members(date(2020, 3, 1), date(2020, 3, 2), later) == ["NEW"]
    assert found.ever_members(date(2020, 2, 1), date(2020, 3, 2), known) == ["OLD"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_says_how_far_it_is_how_fast_and_what_is_left() -> None:
    ask = Ask("prices", ("AAA", "BBB", "CCC", "DDD"), "1d", DAY, DAY)
    report = FetchReport("toy", "prices", DAY, pages_before=1)
    told: dict[str, str] = {}
    for out in (io.StringIO(), Terminal()):
        seconds = iter((0.0, 30.0, 30.0, 60.0, 60.0))
        progress = FetchProgress(ask.symbols, out=out, clock=lambda seconds=seconds: next(seconds))
        for pages, symbol in ((1, "BBB"), (2, "CCC")):  # the fetch went on after AAA
            page = Page(b"", f"bars {symbol}", ask.reader("toy.bars", symbol=symbol), "")
            progress.after_page(
                FetchReport(**{**vars(report), "pages": pages, "rows_in": 600 * pages, "rows_published": 600}), page
            )
        progress.end()
        told[type(out).__name__] = out.getvalue()
    assert told["StringIO"].splitlines() == [
        "bars BBB: 600 rows in 1 pages after 1, 2 pages a minute, 20 rows a second; symbol 2 of 4, about 0:01:00 left",
        "bars CCC: 600 rows in 2 pages after 1, 2 pages a minute, 20 rows a second; symbol 3 of 4, about 0:00:30 left",
    ]
    assert (told["Terminal"].count("\n"), told["Terminal"].count("\r")) == (0, 3)


def test_a_second_ctrl_c_does_not_wait_for_the_page_in_hand() -> None:
    stop = Stop(has_page=True)
    stop.on_signal(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        stop.on_signal(signal.SIGINT, None)


@pytest.fixture
def server() -> Iterator[VendorServer]:
    with VendorServer(yahoo(dict.fromkeys((*MEMBERS, "GONE", "NEXT"), LISTING))) as running:
        yield running


@pytest.fixture
def run(
    server: VendorServer, database_url: str, object_store_settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Result, list[str]]]:
    """Run `tradeloom ingest prices`; return its result and the symbols that the vendor was asked for."""
    s3 = object_store_settings
    monkeypatch.setenv("TRADELOOM_HOME", str(tmp_path))
    for name, value in {
        "POSTGRES_URL": database_url,
        "S3_ENDPOINT": s3.endpoint,
        "S3_ACCESS_KEY": s3.access_key,
        "S3_SECRET_KEY": s3.secret_key,
        "S3_BUCKET": s3.bucket,
        "YFINANCE_URL": server.url,
    }.items():
        monkeypatch.setenv(f"TRADELOOM_{name}", value)
    monkeypatch.setattr(fetch_command, "_define", lambda: None)  # a dbt build, of no matter here
    file = tmp_path / "universe.csv"
    file.write_text(UNIVERSE)
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, s3.bucket)
    ingest(
        Files(file), "universe", now=datetime(2020, 12, 1, tzinfo=UTC), database_url=database_url, object_store=store
    )

    def ran(*arguments: str) -> tuple[Result, list[str]]:
        before = len(server.requests)
        result = CliRunner().invoke(ingest_command, ["prices", *arguments])
        return result, [request.path.rpartition("/")[2] for request in server.requests[before:]]

    return ran


def bars(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(
            "select symbol, count(*), count(distinct timestamp) from raw.price_bars group by 1 order by 1"
        ).fetchall()


@engines
def test_a_universe_is_fetched_stopped_after_the_page_in_hand_and_gone_on_with(run, server, database_url, monkeypatch):
    record = fetch_log.record_page

    def interrupted(*arguments: Any) -> None:
        record(*arguments)
        os.kill(os.getpid(), signal.SIGINT)  # while the page is being published

    with monkeypatch.context() as patched:
        patched.setattr(fetch_log, "record_page", interrupted)
        result, asked = run("--source", "yfinance", *RANGE)
    assert (result.exit_code, asked, result.stdout) == (130, ["LATE"], "")
    assert "symbol 1 of 3" in result.stderr
    assert "run the same command again" in result.stderr
    assert bars(database_url) == [("LATE", 3, 3)]

    good = server.answer
    server.answer = lambda request: (os.kill(os.getpid(), signal.SIGINT), good(request))[1]  # no page in hand
    result, asked = run("--source", "yfinance", *RANGE)
    assert (result.exit_code, asked) == (130, ["LEFT"])
    assert bars(database_url) == [("LATE", 3, 3)]

    server.answer = good
    result, asked = run("--source", "yfinance", *RANGE, "--json")
    assert (result.exit_code, result.stderr, asked) == (0, "", ["LEFT", "STAYS"])
    assert (json.loads(result.stdout)["pages_before"], json.loads(result.stdout)["is_complete"]) == (1, True)
    assert bars(database_url) == [(symbol, 3, 3) for symbol in MEMBERS]


@engines
@pytest.mark.long
@pytest.mark.parametrize("when", ["while the vendor answers", "while the page is published"])
def test_killed_in_the_middle_it_goes_on_with_nothing_doubled_or_lost_and_no_page_asked_for_twice(
    run, server, database_url, when
):
    """The command itself, in a process of its own, and SIGKILL, which nobody can catch."""
    command = [sys.executable, "-m", "orchestration.cli", "ingest", "prices", "--source", "yfinance", *RANGE]
    good, child = server.answer, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def killing(request: Any) -> Any:
        if "LEFT" in request.path:
            child.kill()
        return good(request)

    if when == "while the vendor answers":
        server.answer = killing
        told = child.communicate(timeout=300)[1]
    else:  # the first page's transaction cannot commit: somebody holds the table of its cursor
        with psycopg.connect(database_url) as holder:
            holder.execute("lock table raw.fetched_pages in share mode")
            waits_for_a_lock(database_url)
            child.kill()
            told = child.communicate(timeout=300)[1]
    server.answer = good
    assert child.returncode == -signal.SIGKILL
    there = ["LATE"] if when == "while the vendor answers" else []
    assert ("symbol 1 of 3" in told) == bool(there)
    assert bars(database_url) == [(symbol, 3, 3) for symbol in there]
    result, asked = run("--source", "yfinance", *RANGE, "--json")
    assert (result.exit_code, asked) == (0, [symbol for symbol in MEMBERS if symbol not in there])
    assert json.loads(result.stdout)["pages_before"] == len(there)
    assert bars(database_url) == [(symbol, 3, 3) for symbol in MEMBERS]
    with psycopg.connect(database_url) as conn:
        kept = conn.execute(
            "select count(*), count(distinct payload_sha256) from raw.ingestion_batches where kind = 'prices'"
        )
        assert kept.fetchone() == (3, 3)


def waits_for_a_lock(url: str) -> None:
    """Return once a page waits to be recorded."""
    waiting = "select count(*) from pg_locks where relation = 'raw.fetched_pages'::regclass and not granted"
    for _ in range(1200):
        with psycopg.connect(url) as conn:
            found = conn.execute(waiting).fetchone()
        if found and found[0]:
            return
        time.sleep(0.1)
    raise AssertionError("no page was published")


@engines
def test_by_lists_of_sources_it_goes_on_with_the_symbols_that_are_missing(run, server, database_url):
    with psycopg.connect(database_url) as conn:
        put_order(conn, "prices", [None], ["yfinance"], datetime(2020, 12, 1, tzinfo=UTC))
    good = server.answer
    server.answer = lambda request: (
        os.kill(os.getpid(), signal.SIGINT) if "LEFT" in request.path else 0,
        good(request),
    )[1]
    result, asked = run(*RANGE)
    assert (result.exit_code, asked) == (130, ["LATE", "LEFT"])
    assert "1 of 3 symbols; LATE: 3 rows of yfinance" in result.stderr

    server.answer = good
    result, asked = run(*RANGE, "--json")
    assert (result.exit_code, asked) == (0, ["LEFT", "STAYS"])
    assert [one["symbol"] for one in json.loads(result.stdout)] == ["LEFT", "STAYS"]
    assert bars(database_url) == [(symbol, 3, 3) for symbol in MEMBERS]
    assert run(*RANGE)[1] == MEMBERS  # all were dealt with: anew


@engines
def test_by_lists_only_the_same_call_goes_on_and_a_source_in_use_is_not_passed_over(
    run, server, database_url, monkeypatch
):
    with psycopg.connect(database_url) as conn:
        put_order(conn, "prices", [None], ["yfinance"], datetime(2020, 12, 1, tzinfo=UTC))
    yahoo_ = vendor_named("yfinance")
    with fetch_log.alone(database_url, yahoo_, Ask("prices", ("LATE",), "1d", DAY, DAY)):
        result, asked = run("--symbols", "LATE", *DAYS)
    assert isinstance(result.exception, AlreadyRunningError)
    assert (asked, served(database_url)) == ([], [])

    assert run("--symbols", "LATE", *DAYS)[1] == ["LATE"]
    assert run("--symbols", "LATE,LEFT", *DAYS)[1] == ["LATE", "LEFT"]  # another call, so LATE is asked again
    assert served(database_url) == ["LATE", "LATE", "LEFT"]

    # A vendor whose batches are live unless said otherwise is that in a list too.
    monkeypatch.setattr(falling_back, "vendor_named", lambda name: replace(yahoo_, default_mode="live"))
    assert run("--symbols", "STAYS", *DAYS)[1] == ["STAYS"]
    with psycopg.connect(database_url) as conn:
        modes = conn.execute("select mode from raw.fetches order by fetch_id").fetchall()
    assert [mode for (mode,) in modes] == ["history", "history", "history", "live"]


def served(url: str) -> list[str]:
    with psycopg.connect(url) as conn:
        return [symbol for (symbol,) in conn.execute("select symbol from raw.served order by served_id")]


def test_an_end_that_the_clock_gives_is_none_that_was_named() -> None:
    today = datetime.now(UTC).date()
    for last, has_no_end in ((None, True), (today, True), (today - timedelta(days=2), False)):
        wanted = Wanted("prices", "yfinance", "AAA", DAY.date(), last, "1d", None, "refuse", None, None)
        assert fetch_command._has_no_end(wanted, "history") is has_no_end


@engines
def test_a_universe_that_nobody_knows_or_that_was_empty_is_refused(run):
    result, asked = run("--source", "yfinance", "--symbols", "@small", "--from", "2020-08-26")
    assert (str(result.exception), asked) == ("expected @NAME with the name of a universe, not @small: found big", [])
    result, _ = run("--source", "yfinance", "--symbols", "@big", "--from", "2019-01-02", "--to", "2019-02-01")
    assert str(result.exception).startswith("expected members of big from 2019-01-02 to 2019-02-01, found none")


@engines
def test_a_live_fetch_that_names_no_day_begins_with_what_is_here_so_that_no_day_is_left_out(run, server, database_url):
    assert run("--source", "yfinance", "--symbols", "STAYS", *DAYS)[0].exit_code == 0
    later = [(date(2020, 9, day), 10.0, 11.5, 9.75, 11.25, 1000) for day in (1, 2)]
    grown = Listing([*LISTING.bars, *later])
    server.answer = yahoo({"STAYS": grown, "LATE": grown})
    result, asked = run("--source", "yfinance", "--symbols", "STAYS,LATE", "--live")
    assert (result.exit_code, asked) == (0, ["STAYS", "LATE"])
    assert (
        "without --from it begins on 2020-08-28: where STAYS is newest here; of LATE nothing is here" in result.stderr
    )
    assert bars(database_url) == [("LATE", 3, 3), ("STAYS", 5, 5)]  # from 2020-08-28 on
    with psycopg.connect(database_url) as conn:
        put_order(conn, "prices", [None], ["yfinance"], datetime(2020, 12, 1, tzinfo=UTC))
    result, _ = run("--symbols", "STAYS", "--live")
    assert "it begins on 2020-09-02: where STAYS is newest here\n" in result.stderr
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    result, _ = run("--source", "yfinance", "--symbols", "NOBODY", "--live")
    assert f"it begins on {yesterday}: of NOBODY nothing is here, ask for more with --from\n" in result.stderr


@engines
def test_what_was_fetched_up_to_lately_is_kept_up_on_its_own_calendar(run, database_url):
    assert run("--source", "yfinance", "--symbols", "STAYS,NOBODY", *RANGE[2:])[0].exit_code == 0
    with psycopg.connect(database_url) as conn:
        conn.execute(  # another source was asked for it and had nothing
            "insert into raw.sources (source, precedence, lag, adjustment) values ('alpaca', 50, '15 min', 'raw')"
        )
        conn.execute(
            "insert into raw.fetches (source, kind, mode, ask, trace_id, began_at) "
            "select 'alpaca', kind, mode, ask, trace_id, began_at from raw.fetches"
        )
        (kept,) = followed(conn, "XNYS", datetime(2020, 8, 31, tzinfo=UTC))
        assert kept == Followed("yfinance", "1d", {"prices": ["STAYS"]})  # NOBODY has no instrument
        assert followed(conn, "XLON", datetime(2020, 8, 31, tzinfo=UTC)) == []
        assert followed(conn, "XNYS", datetime(2020, 9, 2, tzinfo=UTC)) == []
        conn.execute(
            "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, "
            "is_draft, known_at, watermark, row_hash) select 'LSE', asset_class, 'XLON', currency, tick_size, lot_size, "
            "multiplier, is_draft, known_at, watermark, sha256('LSE') from trading.instruments limit 1"
        )
    assert calendars_in_use({"TRADELOOM_POSTGRES_URL": database_url}) == ["24/7", "XLON", "XNYS"]


def test_calendars_of_a_warehouse_that_is_gone_are_those_that_vendors_declare(caplog):
    gone = "postgresql://nobody@127.0.0.1:1/gone"
    assert calendars_in_use({}) == calendars_in_use({"TRADELOOM_POSTGRES_URL": gone}) == ["24/7", "XNYS"]
    assert "calendars of instruments are not known" in caplog.text
