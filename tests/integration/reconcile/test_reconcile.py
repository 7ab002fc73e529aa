"""`tradeloom reconcile` over bars that were ingested: the clock of a live source, actions, ends, exit codes, the check."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from assets.completeness import reconciled
from assets.scope import MarketScope
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.reconcile import Question, reconcile
from trading.adapters.sources.files import Files
from trading.errors import InputError
from trading.reconciliation.findings import Reconciliation

pytestmark = pytest.mark.engines
NOW = datetime(2024, 7, 15, 12, tzinfo=UTC)
HEADERS = {
    "prices": "symbol,timestamp,open,high,low,close,volume",
    "actions": "symbol,kind,ex_date,ratio,amount,currency,new_symbol",
}
# Sessions of XNYS around a half day (the third) and a holiday (the fourth).
DAYS = ("2024-06-27", "2024-06-28", "2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05", "2024-07-08", "2024-07-09")
Deliver = Callable[..., Any]


@pytest.fixture
def deliver(database_url: str, object_store_settings: Any, tmp_path: Path) -> Deliver:
    settings = object_store_settings
    store = ObjectStore(settings.endpoint, settings.access_key, settings.secret_key, settings.bucket)

    def ingest_lines(kind: Any, *lines: str, **options: Any) -> Any:
        file = Path(tempfile.mkdtemp(dir=tmp_path)) / "delivery.csv"
        file.write_text("\n".join([HEADERS[kind], *lines, ""]))
        return ingest(Files(file), kind, now=NOW, database_url=database_url, object_store=store, **options)

    return ingest_lines


@pytest.fixture
def asked(database_url: str) -> Callable[..., Reconciliation]:
    def ask(as_of: datetime = NOW, **options: Any) -> Reconciliation:
        with psycopg.connect(database_url, options="-c timezone=UTC") as conn:
            return reconcile(conn, Question(as_of, **options))

    return ask


def bars(symbol: str, *closes: float, days: tuple[str, ...] = DAYS) -> list[str]:
    """Lines of flat bars; no two of them say the same."""
    return [
        f"{symbol},{day},{close},{close},{close},{close},{100 + place}"
        for place, (day, close) in enumerate(zip(days, closes, strict=False))
    ]


def told(found: Reconciliation) -> list[tuple[str, str, str, int]]:
    return [(one.kind, one.symbol, f"{one.first:%m-%d}", one.count) for one in found.findings]


def test_what_is_all_there_is_clean_over_half_days_and_holidays(
    deliver: Deliver, asked: Callable[..., Reconciliation]
) -> None:
    deliver("prices", *bars("AAA", *[10.0] * 8), *bars("BBB", *[20.0] * 6, days=DAYS[2:]))
    found = asked()
    assert (found.is_clean, [state.expected for state in found.series]) == (True, [8, 6])


def test_a_gap_a_stopped_symbol_a_double_and_a_split_without_its_row_are_found(
    deliver: Deliver, asked: Callable[..., Reconciliation]
) -> None:
    whole = bars("AAA", *[40.0] * 4, *[10.0] * 4)
    deliver("prices", *whole, *bars("GAP", 20, 20, days=DAYS[:2]), *bars("GAP", *[20.0] * 4, days=DAYS[4:]))
    deliver("prices", *bars("OLD", 5, 5, 5), *(line.replace(",101", ",100") for line in bars("TWO", *[7.0] * 8)))
    found = asked()
    assert told(found) == [
        ("suspicious", "AAA", "07-03", 1),
        ("missing", "GAP", "07-01", 2),
        ("stale", "OLD", "07-01", 5),
        ("doubled", "TWO", "06-28", 1),
    ]
    assert found.findings[0].detail.endswith("looks like a 4:1 split with no action row")
    assert told(asked(symbols=["GAP"])) == [("missing", "GAP", "07-01", 2)]
    one_day = asked(first=date(2024, 7, 2), last=date(2024, 7, 2))
    assert told(one_day) == [("missing", "GAP", "07-02", 1), ("stale", "OLD", "07-01", 1)]
    assert told(asked(symbols=["OLD"])) == [("stale", "OLD", "07-01", 5)]
    with pytest.raises(InputError, match="expected bars of NIL, found none"):
        asked(symbols=["GAP", "NIL"])


def test_an_action_explains_a_jump_and_a_delisting_an_end_from_when_they_are_known(
    deliver: Deliver, asked: Callable[..., Reconciliation]
) -> None:
    deliver("prices", *bars("AAA", *[40.0] * 4, *[10.0] * 4), *bars("OLD", 5, 5, 5))
    told_at = datetime(2024, 7, 14, tzinfo=UTC)
    actions = ["AAA,split,2024-07-03,4,,,", "OLD,delisting,2024-07-02,1,,,"]
    deliver("actions", *actions, mode="live", delivered_at=told_at)
    assert [kind for kind, *_ in told(asked(datetime(2024, 7, 13, tzinfo=UTC)))] == ["suspicious", "stale"]
    assert asked().is_clean


def test_a_live_source_is_measured_by_the_clock_and_a_history_by_its_newest_bar(
    deliver: Deliver, asked: Callable[..., Reconciliation]
) -> None:
    deliver("prices", *bars("AAA", *[10.0] * 7))
    assert asked().is_clean
    delivered = datetime(2024, 7, 9, 22, tzinfo=UTC)
    deliver("prices", *bars("AAA", *[10.0] * 8)[7:], mode="live", delivered_at=delivered)
    assert asked(delivered).is_clean
    assert asked(
        datetime(2024, 7, 10, 20, 14, tzinfo=UTC)
    ).is_clean  # the session is over, its quarter of an hour is not
    assert told(asked(datetime(2024, 7, 10, 20, 15, tzinfo=UTC))) == [("stale", "AAA", "07-09", 1)]
    assert told(asked()) == [("stale", "AAA", "07-09", 3)]


def test_the_command_exits_0_only_when_clean_and_the_check_warns_with_the_same_findings(
    deliver: Deliver,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from orchestration import cli

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["tradeloom", "reconcile", *arguments])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    deliver("prices", *bars("AAA", *[10.0] * 8), *bars("OLD", 5, 5, 5))
    code, out = run("--symbols", "AAA")
    assert (code, out) == (0, "1 series, 8 bars, 0 missing; clean\n")
    code, out = run("--source", "files", "--as-of", "2024-07-15T12:00:00Z", "--json")
    assert (code, json.loads(out)["counts"]) == (1, {"missing": 0, "stale": 1, "doubled": 0, "suspicious": 0})
    code, out = run()
    assert code == 1
    assert out.splitlines()[0].startswith("stale      files/OLD 1d  2024-07-01")
    result = reconciled(MarketScope(source="files"), Warehouse(database_url))
    assert (result.passed, result.severity.name, result.metadata["stale"].value) == (False, "WARN", 1)
    assert "no bar since 2024-07-01, 5 sessions behind 2024-07-09" in str(result.metadata["findings"].value)


def test_the_farthest_moment_and_day_that_can_be_asked_about_are_answered(
    deliver: Deliver, asked: Callable[..., Reconciliation]
) -> None:
    deliver("prices", *bars("AAA", *[10.0] * 8), mode="live")
    found = asked(datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC), last=date(9999, 12, 31))
    assert [one.kind for one in found.findings] == ["stale"]
