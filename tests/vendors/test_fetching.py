"""Fetching page by page: every page a batch, and stopped anywhere it goes on there, with nothing doubled or lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from vendor_server import Request, VendorServer, calls_to, changed, failing, refusing
from yahoo_server import Listing, yahoo

from assets.scope import MarketScope
from orchestration.preflight import days_there
from trading.adapters import fetch_log
from trading.adapters.fetching import fetch
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload
from trading.adapters.sources.registry import vendor_named
from trading.errors import InputError, QualityError, VendorRefusedError, VendorUnavailableError
from trading.ingestion.ports import Ask

pytestmark = pytest.mark.engines
NOW = datetime(2020, 9, 3, 12, 0, tzinfo=UTC)
SYMBOLS = ("AAA", "BBB")
SPLIT = Listing(
    [
        (date(2020, 8, 27), 508.57, 509.94, 495.33, 500.04, 400),
        (date(2020, 8, 28), 504.05, 505.77, 498.31, 499.23, 500),
        (date(2020, 8, 31), 127.58, 131.0, 126.0, 129.04, 2000),
    ],
    {date(2020, 8, 31): 4.0},
    {date(2020, 8, 28): 0.82},
)


@pytest.fixture
def server() -> Iterator[VendorServer]:
    with VendorServer(yahoo(dict.fromkeys(SYMBOLS, SPLIT))) as running:
        yield running


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as opened:
        yield opened


@pytest.fixture
def store(object_store_settings: Any) -> ObjectStore:
    settings = object_store_settings
    return ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)


@pytest.fixture
def run(server: VendorServer, database_url: str, store: ObjectStore) -> Callable[..., Any]:
    """Fetch daily bars of both symbols; `asked` are the symbols that the vendor was asked for meanwhile."""

    def fetched(**options: Any) -> Any:
        before = len(server.requests)
        end = options.pop("end", datetime(2020, 9, 1, tzinfo=UTC))
        asked = Ask(options.pop("kind", "prices"), SYMBOLS, "1d", datetime(2020, 8, 27, tzinfo=UTC), end)
        calls, _ = calls_to(server, "yfinance", secrets=options.pop("secrets", None))
        fixed = {"clock": lambda: NOW, "database_url": database_url, "object_store": store}
        with calls:
            report = fetch(vendor_named("yfinance"), asked, calls, **(fixed | options))
        return report, symbols_of(server.requests[before:])

    return fetched


def symbols_of(requests: list[Request]) -> list[str]:
    return [request.path.rpartition("/")[2] for request in requests]


def bars(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select symbol, timestamp::date, close, volume, adjustment from raw.price_bars where source = 'yfinance' "
        "order by symbol, timestamp, watermark"
    ).fetchall()


EXPECTED = [
    (symbol, day, Decimal(str(close)).quantize(Decimal("1e-6")), Decimal(volume), "raw")
    for symbol in SYMBOLS
    for day, _, _, _, close, volume in SPLIT.bars
]


def test_every_page_is_a_batch_whose_payload_gives_its_rows_again(run, conn, store, database_url):
    scope = MarketScope(source="yfinance")
    with pytest.raises(InputError, match="expected bars of yfinance, found none; add --symbols A,B --from"):
        days_there(scope, database_url)
    report, asked = run()
    with pytest.raises(InputError, match="expected at least 120 sessions"):  # what the main job wants
        days_there(scope, database_url)
    assert (report.pages, report.rows_published, report.is_complete, asked) == (2, 6, True, [*SYMBOLS])
    assert bars(conn) == EXPECTED
    assert conn.execute("select count(*) from raw.ingestion_batches where source = 'yfinance'").fetchone() == (2,)
    assert conn.execute("select lag::text, adjustment from raw.sources where source = 'yfinance'").fetchone() == (
        "00:20:00",
        "raw",
    )
    hashes = {bytes(row[0]) for row in conn.execute("select row_hash from raw.price_bars where source = 'yfinance'")}
    assert {row.row_hash for batch in report.batch_ids for row in rows_of_payload(conn, store, batch)} == hashes
    close = conn.execute(
        "select nominal_at, known_at from raw.price_bars where symbol = 'AAA' order by timestamp limit 1"
    ).fetchone()
    assert close == (datetime(2020, 8, 27, 20, 20, tzinfo=UTC),) * 2
    actions, _ = run(kind="actions")
    assert actions.rows_published == 4
    assert conn.execute("select distinct kind, ratio, amount from raw.corporate_actions order by kind").fetchall() == [
        ("dividend", Decimal(1), Decimal("0.82")),
        ("split", Decimal(4), None),
    ]


@pytest.mark.long
def test_the_same_ask_after_it_ended_begins_anew_and_adds_nothing(run, conn):
    run()
    report, asked = run()
    assert (report.pages, report.pages_before, asked) == (2, 0, [*SYMBOLS])
    assert (report.rows_published, report.rows_unchanged) == (0, 6)
    assert bars(conn) == EXPECTED


def test_a_correction_that_the_vendor_takes_back_is_taken_back(run, server, conn):
    told = []
    for day, failure in enumerate((None, changed(b"125.01", b"125.02"), None)):
        server.fail(failure)
        report, _ = run(clock=lambda day=day: NOW + timedelta(days=day))
        told.append((report.rows_published, report.rows_unchanged))
    assert told == [(6, 0), (1, 5), (1, 5)]
    closes = conn.execute(
        "select close from raw.price_bars where symbol = 'AAA' and timestamp = '2020-08-27' order by 1"
    )
    assert [str(close) for (close,) in closes] == ["500.040000", "500.040000", "500.080000"]


def test_a_vendor_that_goes_away_leaves_what_was_fetched_and_the_rest_follows(run, server, conn):
    server.fail(None, *[failing()] * 4)
    with pytest.raises(VendorUnavailableError, match="what was fetched is kept"):
        run()
    assert bars(conn) == EXPECTED[:3]
    report, asked = run()
    assert (report.pages, report.pages_before, asked) == (1, 1, ["BBB"])
    assert bars(conn) == EXPECTED


_CHILD = """
import os, signal, sys
sys.path[:0] = [{vendors!r}]
from datetime import UTC, datetime
from trading.adapters.fetching import fetch
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.registry import vendor_named
from trading.ingestion.ports import Ask
vendor = vendor_named("yfinance")
ask = Ask("prices", {symbols!r}, "1d", datetime(2020, 8, 27, tzinfo=UTC), datetime(2020, 9, 1, tzinfo=UTC))
with vendor.calls({{"TRADELOOM_YFINANCE_URL": {url!r}}}) as calls:
    fetch(vendor, ask, calls, clock=lambda: datetime(2020, 9, 3, 12, 0, tzinfo=UTC), database_url={database!r},
          object_store=ObjectStore(*{store!r}),
          after_page=lambda report, page: report.pages == 1 and os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.long
def test_killed_between_pages_it_asks_only_for_the_missing_ones(run, server, conn, store, database_url):
    settings = (store.endpoint, store.access_key, store.secret_key, store.bucket)
    told = {"vendors": str(Path(__file__).parent), "symbols": SYMBOLS, "url": server.url, "database": database_url}
    child = subprocess.run([sys.executable, "-c", _CHILD.format(store=settings, **told)], check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert bars(conn) == EXPECTED[:3]
    report, asked = run()
    assert (report.pages, report.pages_before, asked) == (1, 1, ["BBB"])
    assert bars(conn) == EXPECTED
    assert conn.execute("select count(*) from raw.ingestion_batches").fetchone() == (2,)


def test_a_page_and_its_cursor_are_published_together_or_not_at_all(run, conn, monkeypatch):
    class Killed(BaseException):
        pass

    def die(conn: psycopg.Connection, *_: Any) -> None:
        assert conn.execute("select count(*) from raw.price_bars where source = 'yfinance'").fetchone() == (3,)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(fetch_log, "record_page", die)
        with pytest.raises(Killed):
            run()
    assert bars(conn) == []
    report, asked = run()
    assert (report.pages_before, asked) == (0, [*SYMBOLS])
    assert bars(conn) == EXPECTED


@pytest.mark.long
def test_where_no_end_was_named_it_goes_on_up_to_the_end_of_before(run, server, conn):
    server.fail(None, *[failing()] * 4)
    with pytest.raises(VendorUnavailableError):
        run()
    later = datetime(2020, 9, 3, tzinfo=UTC)
    report, asked = run(end=later, any_end=True)
    assert (report.end, report.pages_before, asked) == (datetime(2020, 9, 1, tzinfo=UTC), 1, ["BBB"])
    report, asked = run(end=later, any_end=True)
    assert (report.end, report.pages_before, asked) == (later, 0, [*SYMBOLS])


@pytest.mark.long
def test_two_runs_of_the_same_ask_do_not_meet(run):
    seen: list[str] = []

    def meanwhile(*_: Any) -> None:
        if not seen:
            with pytest.raises(
                InputError, match="expected no other run that fetches the same prices of yfinance"
            ) as told:
                run()
            seen.append(str(told.value))

    run(after_page=meanwhile)
    assert len(seen) == 1


@pytest.mark.long
def test_a_page_of_bad_rows_stops_the_fetch_where_it_is(run, server, conn):
    good = server.answer

    def worse(request: Request) -> Any:
        reply = good(request)
        body = reply.body.replace(b'"low":[', b'"low":[-1,-1,') if request.path.endswith("BBB") else reply.body
        body = body.replace(b'"timestamp":[', b'"timestamp":[1598362200,1598448600,') if body != reply.body else body
        return type(reply)(200, body)

    server.answer = worse
    with pytest.raises(InputError, match="as many numbers as times"):
        run()
    assert bars(conn) == EXPECTED[:3]

    def negative(request: Request) -> Any:
        reply = good(request)
        return type(reply)(200, reply.body.replace(b'"low":[', b'"low":[-') if "BBB" in request.path else reply.body)

    server.answer = negative
    with pytest.raises(QualityError, match=r"33% \(1 of 3"):
        run()
    report, asked = run(max_bad_share=1.0)
    assert (report.pages_before, report.rows_quarantined, asked) == (1, 1, ["BBB"])


@pytest.mark.long
def test_a_live_poll_is_known_when_it_was_received(run, conn):
    run(mode="live")
    assert conn.execute("select distinct known_at from raw.price_bars where source = 'yfinance'").fetchall() == [(NOW,)]


def test_an_answer_with_our_credential_in_it_is_not_kept(run, server, conn):
    good = server.answer
    server.answer = lambda request: type(reply := good(request))(200, reply.body.replace(b"NMS", b"S3CRET"))
    with pytest.raises(VendorRefusedError, match="without our credentials"):
        run(secrets={"TOY_KEY": "S3CRET"})
    assert conn.execute("select count(*) from raw.ingestion_batches").fetchone() == (0,)


def test_a_refused_symbol_does_not_stop_the_others(run, server, conn):
    server.fail(refusing(404, b'{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}'))
    report, _ = run()
    assert (report.pages, report.empty_pages) == (2, ("chart AAA prices 1d 2020-08-27",))
    assert "nothing in chart AAA prices 1d 2020-08-27" in report.sentence()
    assert bars(conn) == EXPECTED[3:]
