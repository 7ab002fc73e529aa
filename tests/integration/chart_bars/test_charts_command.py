"""`tradeloom charts` as a user meets it, on trades and on finer bars that `tradeloom ingest` brought."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from assets.charts import chart_bars
from feature_store import FeatureStore
from orchestration import cli
from trading.adapters.charts import declare
from trading.adapters.postgres import Warehouse
from trading.chart_bars.chart import Chart

pytestmark = pytest.mark.engines

TRADES = """symbol,timestamp,price,size,trade_id
ZZZ,2024-05-31T14:00:00Z,10,5,1
ZZZ,2024-05-31T14:00:01Z,11,7,2
ZZZ,2024-05-31T14:00:02Z,9,1,3
ZZZ,2024-05-31T14:00:03Z,10,9,4
ZZZ,2024-05-31T14:00:04Z,10.5,2,5
"""
MINUTES = """symbol,timestamp,interval,open,high,low,close,volume
ZZZ,2024-05-31T14:00:00Z,1m,10,12,9,11,5
ZZZ,2024-05-31T14:01:00Z,1m,11,11,8,9,5
ZZZ,2024-05-31T14:02:00Z,1m,9,10,9,10,3
ZZZ,2024-05-31T14:05:00Z,1m,10,10,10,10,1
"""


@pytest.fixture
def run(
    database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run the console script; return its exit code, its stdout (read as JSON where it is) and its stderr."""
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    monkeypatch.setenv("TRADELOOM_S3_ENDPOINT", object_store_settings.endpoint)
    monkeypatch.setenv("TRADELOOM_S3_ACCESS_KEY", object_store_settings.access_key)
    monkeypatch.setenv("TRADELOOM_S3_SECRET_KEY", object_store_settings.secret_key)
    monkeypatch.setenv("TRADELOOM_S3_BUCKET", object_store_settings.bucket)
    # Building the features has nothing to do with charts and takes seconds.
    monkeypatch.setattr("feature_store.build.ensure_definitions", lambda url: None)

    def call(*arguments: str) -> tuple[int, Any, str]:
        monkeypatch.setattr("sys.argv", ["tradeloom", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments and out else out, err

    return call


def _ingest(run: Any, folder: Path, kind: str, text: str, *options: str) -> Any:
    file = folder / f"{kind}.csv"
    file.write_text(text)
    return run("ingest", kind, "--source", "files", "--file", str(file), "--calendar", "24/7", "--json", *options)


def _closes(answer: tuple[int, Any, str]) -> list[tuple[str, str, str, int]]:
    return [(bar["timestamp"], bar["close"], bar["volume"], bar["trade_count"]) for bar in answer[1]["bars"]]


def test_a_chart_is_declared_read_as_of_then_corrected_and_stopped(run: Any, tmp_path: Path, database_url: str) -> None:
    assert _ingest(run, tmp_path, "trades", TRADES)[0] == 0
    chart = ("volume", "10", "--source", "files")
    code, told, _ = run("charts", "add", *chart, "--symbols", "ZZZ", "--json")
    assert (code, [(one["symbol"], one["bars"]) for one in told["charts"]]) == (0, [("ZZZ", 2)])
    first = [
        ("2024-05-31T14:00:00+00:00", "11.000000", "12.00000000", 2),
        ("2024-05-31T14:00:02+00:00", "10.000000", "10.00000000", 2),
    ]
    of_zzz = ("charts", "bars", *chart, "--symbol", "ZZZ", "--json")
    assert _closes(run(*of_zzz)) == first
    assert _closes(run(*of_zzz, "--as-of", "2024-05-31T14:15:02Z")) == first[:1]  # files gives it after 15 minutes
    assert _closes(run(*of_zzz, "--last", "1")) == first[1:]

    correction = "symbol,timestamp,price,size,trade_id\nZZZ,2024-05-31T14:00:02Z,9,2,3\n"
    assert _ingest(run, tmp_path, "trades", correction, "--live", "--delivered-at", "2024-06-03T12:00:00Z")[0] == 0
    assert _closes(run(*of_zzz)) == [first[0], (first[1][0], "10.000000", "11.00000000", 2)]
    assert _closes(run(*of_zzz, "--as-of", "2024-06-03T11:59:59Z")) == first
    with psycopg.connect(database_url) as conn:
        hashes = conn.execute(
            "select count(*), bool_and(row_hash = marts.chart_bar_hash(b)) from marts.chart_bars as b"
        ).fetchone()
    assert hashes == (3, True)  # the bar that the correction does not touch has one version

    of_chart, store = Chart.of("volume", "10"), FeatureStore(database_url)
    frame = store.chart_bars(of_chart, "files", "ZZZ")
    assert [str(volume) for volume in frame["volume"]] == ["12.00000000", "11.00000000"]
    frame = store.chart_bars(of_chart, "files", "ZZZ", datetime(2024, 6, 3, 11, tzinfo=UTC), last=1)
    assert [str(volume) for volume in frame["volume"]] == ["10.00000000"]

    code, out, _ = run("charts", "list")
    assert (code, out) == (
        0,
        "volume 10 from trades of ZZZ (files): 2 bars, the newest from 2024-05-31T14:00:02+00:00\n",
    )
    assert run("charts", "stop", *chart, "--symbols", "ZZZ", "--json")[1] == {"stopped": ["ZZZ"]}
    assert run("charts", "list", "--json")[1] == {"charts": []}
    assert len(_closes(run(*of_zzz))) == 2  # its bars stay
    code, _, err = run("charts", "stop", *chart, "--symbols", "ZZZ")
    assert (code, err) == (
        1,
        "tradeloom: expected a chart that is kept, found no volume 10 from trades of ZZZ; "
        "`tradeloom charts list` shows them\n",
    )
    assert [one.bars for one in declare(database_url, of_chart, "files", ["ZZZ", "ZZZ"])] == [
        2
    ]  # named twice, kept once


def test_charts_of_finer_bars_and_their_asset(run: Any, tmp_path: Path, database_url: str) -> None:
    for style, parameter in (("tick", "2"), ("time", "5m"), ("heikin_ashi", "5m"), ("range", "2")):
        code, _, err = run("charts", "add", style, parameter, "--source", "files", "--from", "1m", "--symbols", "ZZZ")
        assert (code, err) == (0, "")
    assert _ingest(run, tmp_path, "prices", MINUTES)[0] == 0
    read = ("--source", "files", "--from", "1m", "--symbol", "ZZZ", "--json")
    assert _closes(run("charts", "bars", "tick", "2", *read)) == [
        ("2024-05-31T14:00:00+00:00", "9.000000", "10.00000000", 2),
        ("2024-05-31T14:02:00+00:00", "10.000000", "4.00000000", 2),
    ]
    (bar,) = run("charts", "bars", "time", "5m", *read)[1]["bars"]
    assert (bar["open"], bar["high"], bar["low"], bar["close"]) == ("10.000000", "12.000000", "8.000000", "10.000000")
    assert (bar["ended_at"], bar["known_at"]) == ("2024-05-31T14:05:00+00:00", "2024-05-31T14:21:00+00:00")
    (bar,) = run("charts", "bars", "heikin_ashi", "5m", *read)[1]["bars"]
    assert (bar["open"], bar["close"]) == ("10.000000", "10.000000")
    assert _closes(run("charts", "bars", "range", "2", *read)) == [
        ("2024-05-31T14:00:00+00:00", "9.000000", "10.00000000", 2)
    ]
    found: Any = chart_bars(warehouse=Warehouse(database_url))
    assert (found.metadata["charts"], found.metadata["bars"], found.metadata["dagster/row_count"]) == (4, 5, 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("add", "renko", "0", "--source", "files", "--symbols", "A"),
            "tradeloom: expected a number with at most 6 decimals above 0 for a renko chart, found '0'",
        ),
        (("add", "tick", "5", "--source", "nobody", "--symbols", "A"), "tradeloom: expected a source, one of "),
        (("add", "tick", "5", "--source", "files", "--symbols", ","), "tradeloom: expected symbols such as AAPL,MSFT"),
        (
            ("bars", "tick", "5", "--source", "files", "--symbol", "A"),
            "tradeloom: expected a chart that was declared, found no tick 5 from trades of A (files);",
        ),
    ],
)
def test_a_mistake_ends_in_one_line(run: Any, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = run("charts", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(told)


def test_a_chart_that_cannot_go_on_says_so_and_the_others_do(run: Any, tmp_path: Path) -> None:
    for style, parameter in (("renko", "0.000001"), ("tick", "2")):
        assert run("charts", "add", style, parameter, "--source", "files", "--symbols", "ZZZ")[0] == 0
    code, _, err = _ingest(run, tmp_path, "trades", TRADES)
    assert code == 1
    assert err.startswith(
        "tradeloom: renko 0.000001 of ZZZ: expected at most 10000 bricks of one print, found a move of 1"
    )
    found = run("charts", "bars", "tick", "2", "--source", "files", "--symbol", "ZZZ", "--json")
    assert [bar["trade_count"] for bar in found[1]["bars"]] == [2, 2]
