"""Every vendor's pages as batches: where the rows end, when they count as known, and that no credential is anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from alpaca_protocol import alpaca
from click.testing import CliRunner
from exchange_protocols import binance
from news_protocols import feeds
from psycopg import sql
from vendor_cases import BY_NAME, Case
from vendor_server import VendorServer

from feature_store import build
from orchestration.cli import tradeloom
from trading.adapters.fetching import FetchReport, fetch
from trading.adapters.object_store import ObjectStore
from trading.adapters.payload_rows import rows_of_payload

pytestmark = pytest.mark.engines
NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
WHOLE = (
    *(replace(BY_NAME[f"alpaca/{kind}"], answer=alpaca(page=100)) for kind in ("prices", "news")),
    replace(BY_NAME["alpaca/actions"], symbols=("MSFT", "NVDA")),
    replace(BY_NAME["ccxt/binance"], answer=binance(page=100)),
    BY_NAME["newsapi"],
    BY_NAME["rss"],
)


@pytest.fixture
def conn(database_url: str):
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as opened:
        yield opened


@pytest.fixture
def store(object_store_settings: Any) -> ObjectStore:
    settings = object_store_settings
    return ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)


def fetched(case: Case, server: VendorServer, url: str, store: ObjectStore) -> FetchReport:
    calls, _ = case.calls(server)
    with calls:
        return fetch(case.vendor, case.ask, calls, clock=lambda: NOW, database_url=url, object_store=store)


def test_the_rows_of_every_vendor_are_in_the_raw_tables_and_its_credentials_nowhere(
    conn: psycopg.Connection, database_url: str, store: ObjectStore, caplog
):
    caplog.set_level("DEBUG")
    reports = []
    for case in WHOLE:
        with VendorServer(case.answer) as server:
            reports.append(fetched(case, server, database_url, store))
            if case.source == "rss":
                again = fetched(case, server, database_url, store)
    assert [(report.source, report.rows_published, report.rows_quarantined) for report in reports] == [
        ("alpaca", 5, 0),
        ("alpaca", 2, 0),
        ("alpaca", 2, 0),
        ("ccxt:binance", 5, 0),
        ("newsapi", 4, 0),
        ("rss", 2, 0),
    ]
    # Neither feed has changed since: a new fetch of a vendor that remembers has no page.
    assert (again.pages, again.rows_in, again.is_complete) == (0, 0, True)
    refuse_rows_that_their_payloads_do_not_give_again(conn, store)
    refuse_bars_out_of_place(conn)
    refuse_news_at_another_time(conn)
    refuse_a_credential_anywhere(conn, store, caplog.text + "".join(report.sentence() for report in reports))


def test_the_command_takes_an_exchange_after_a_colon_and_news_without_a_first_day(
    database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(build, "ensure_definitions", lambda url: None)  # the features of it are tested elsewhere
    settings = object_store_settings
    engines = {
        "TRADELOOM_POSTGRES_URL": database_url,
        "TRADELOOM_S3_ENDPOINT": settings.endpoint,
        "TRADELOOM_S3_ACCESS_KEY": settings.access_key,
        "TRADELOOM_S3_SECRET_KEY": settings.secret_key,
        "TRADELOOM_S3_BUCKET": settings.bucket,
    }
    with VendorServer(binance(page=3)) as exchange, VendorServer(feeds) as feed:
        environ = BY_NAME["rss"].environ | {"TRADELOOM_CCXT_URL": exchange.url} | engines
        for name, value in environ.items():
            monkeypatch.setenv(name, value.format(url=feed.url))
        bars = told("ingest prices --source ccxt:binance --symbols BTC/USDT --from 2024-01-02 --to 2024-01-05")
        news = told("ingest news --source rss --symbols AAPL,MSFT")
    assert (bars["source"], bars["pages"], bars["rows_published"]) == ("ccxt:binance", 2, 4)
    assert (news["source"], news["pages"], news["rows_published"]) == ("rss", 2, 2)


def told(command: str) -> dict[str, Any]:
    """Return what a command answers in JSON."""
    done = CliRunner().invoke(tradeloom, [*command.split(), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refuse_rows_that_their_payloads_do_not_give_again(conn: psycopg.Connection, store: ObjectStore) -> None:
    tables = {"prices": "price_bars", "news": "news_items", "actions": "corporate_actions"}
    for batch_id, kind in conn.execute("select batch_id, kind from raw.ingestion_batches").fetchall():
        query = sql.SQL("select row_hash from raw.{} where batch_id = %s").format(sql.Identifier(tables[kind]))
        there = {row[0] for row in conn.execute(query, (batch_id,)).fetchall()}
        assert {row.row_hash for row in rows_of_payload(conn, store, batch_id)} == there != set()


def refuse_bars_out_of_place(conn: psycopg.Connection) -> None:
    """A bar is known at the close of its session and the vendor's lag, of a market without a close at midnight."""
    found = conn.execute(
        "select b.source, b.symbol, b.timestamp::date, b.close, b.adjustment, b.known_at from raw.price_bars as b "
        "where b.timestamp in ('2024-01-03', '2024-01-05') order by b.source, b.symbol, b.timestamp"
    ).fetchall()
    closed = datetime(2024, 1, 3, 21, 15, tzinfo=UTC)
    assert found == [
        ("alpaca", "AAPL", date(2024, 1, 3), Decimal("184.250000"), "raw", closed),
        ("alpaca", "MSFT", date(2024, 1, 3), Decimal("370.600000"), "raw", closed),
        (
            "ccxt:binance",
            "BTC/USDT",
            date(2024, 1, 3),
            Decimal("42845.230002"),
            "raw",
            datetime(2024, 1, 4, tzinfo=UTC),
        ),
        (
            "ccxt:binance",
            "BTC/USDT",
            date(2024, 1, 5),
            Decimal("44145.110004"),
            "raw",
            datetime(2024, 1, 6, tzinfo=UTC),
        ),
    ]
    drafts = conn.execute(
        "select symbol, calendar, lot_size from trading.instruments where symbol in ('AAPL', 'BTC/USDT')"
    )
    assert sorted(drafts.fetchall()) == [("AAPL", "XNYS", Decimal(1)), ("BTC/USDT", "24/7", Decimal("0.00001"))]
    actions = conn.execute(
        "select symbol, kind, ratio, amount from raw.corporate_actions where symbol in ('MSFT', 'NVDA') order by 1"
    )
    assert actions.fetchall() == [
        ("MSFT", "dividend", Decimal(1), Decimal("3.75")),
        ("NVDA", "split", Decimal(10), None),
    ]


def refuse_news_at_another_time(conn: psycopg.Connection) -> None:
    """Of a history an item is known at its time; of NewsAPI and feeds, which are asked live, when it came."""
    found = conn.execute(
        "select source, symbols, known_at from raw.news_items where headline like 'Apple%' order by source, known_at"
    ).fetchall()
    assert found == [
        ("alpaca", ["AAPL"], datetime(2024, 1, 8, 14, 5, 30, tzinfo=UTC)),
        *[("newsapi", ["AAPL"], NOW)] * 3,
        ("rss", ["AAPL"], NOW),
    ]


def refuse_a_credential_anywhere(conn: psycopg.Connection, store: ObjectStore, said: str) -> None:
    secrets = {case.environ[name] for case in WHOLE for name in case.vendor.credentials}
    assert len(secrets) == 3
    tables = conn.execute(
        "select schemaname, tablename from pg_tables where schemaname in ('raw', 'trading', 'features', 'ledger')"
    ).fetchall()
    kept = said
    for schema, table in tables:
        kept += str(
            conn.execute(sql.SQL("select t::text from {} as t").format(sql.Identifier(schema, table))).fetchall()
        )
    for key, sha256 in conn.execute("select payload_key, payload_sha256 from raw.ingestion_batches").fetchall():
        kept += repr(store.get(key, sha256))
    assert "alpaca.bars" in kept
    assert not [secret for secret in secrets if secret in kept]
