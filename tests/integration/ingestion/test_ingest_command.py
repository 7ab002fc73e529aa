"""`tradeloom ingest` as a user meets it: its report, its JSON, its one line on failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestration import cli

pytestmark = pytest.mark.engines


@pytest.fixture
def run(
    database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run the console script; return its exit code, its stdout and its stderr."""
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    monkeypatch.setenv("TRADELOOM_S3_ENDPOINT", object_store_settings.endpoint)
    monkeypatch.setenv("TRADELOOM_S3_ACCESS_KEY", object_store_settings.access_key)
    monkeypatch.setenv("TRADELOOM_S3_SECRET_KEY", object_store_settings.secret_key)
    monkeypatch.setenv("TRADELOOM_S3_BUCKET", object_store_settings.bucket)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tradeloom", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return call


def test_a_batch_ends_with_its_report_and_the_same_again_adds_nothing(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("isin,date,open,high,low,close,volume\nNEW,2024-05-31,1,1,1,1,1\nNEW,2024-05-30,0,1,0,1,1\n")
    options = [
        "ingest",
        "prices",
        "--source",
        "files",
        "--file",
        str(file),
        "--map",
        "symbol=isin",
        "--max-bad-share",
        "0.5",
    ]
    code, out, _ = run(*options)
    assert code == 0
    assert "2 rows in, 1 published, 0 unchanged, 0 merged, 1 quarantined (non_positive_price" in out
    assert "draft instruments: NEW (XNYS)" in out
    code, out, _ = run(*options, "--json")
    report = json.loads(out)
    assert (code, report["status"], report["drafts"]) == (0, "already ingested", {"NEW": "XNYS"})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--source", "files"], "expected --file with the source files"),
        (["--source", "sample", "--map", "symbol"], "expected --map OURS=THEIRS"),
        (["--source", "sample", "--live", "--delivered-at", "2024-05-31T21:00"], "a delivery time with a zone"),
        (["--source", "sample", "--partition", "may"], "expected a month such as 2004-05"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_one(run: Any, arguments: list[str], complaint: str) -> None:
    code, out, err = run("ingest", "prices", *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert complaint in err


def test_too_many_bad_rows_end_with_one_line_and_exit_code_one(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("symbol,date,open,high,low,close,volume\nNEW,2024-05-31,1,1,1,1,1\nNEW,2024-05-30,0,1,0,1,1\n")
    code, out, err = run("ingest", "prices", "--source", "files", "--file", str(file))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "found 50% (1 of 2: non_positive_price" in err


def test_a_stated_calendar_that_does_not_count_for_a_known_symbol_is_told(run: Any, tmp_path: Path) -> None:
    file, header = tmp_path / "coins.csv", "symbol,timestamp,open,high,low,close,volume"
    options = ["ingest", "prices", "--source", "files", "--file", str(file), "--max-bad-share", "1"]
    file.write_text(f"{header}\nBTC,2024-05-31,1,1,1,1,1\n")
    assert run(*options)[0] == 0  # a draft of XNYS
    file.write_text(f"{header}\nBTC,2024-06-01,1,1,1,1,1\nETH,2024-06-01,1,1,1,1,1\n")
    code, out, told = run(*options, "--calendar", "24/7", "--json")
    report = json.loads(out)
    assert (code, report["drafts"], report["calendars_kept"]) == (0, {"ETH": "24/7"}, {"BTC": "XNYS"})
    assert "warning: --calendar 24/7 is for symbols that are not known yet; BTC (XNYS) keep the calendar" in told
    file.write_text(f"{header}\nETH,2024-06-02,1,1,1,1,1\n")
    assert "warning" not in run(*options, "--calendar", "24/7")[2]
    # Refused as a whole, it says so too: why the bars of a Saturday have no session is the calendar that counts.
    file.write_text(f"{header}\nBTC,2024-06-01,1,1,1,1,1\nBTC,2024-06-02,1,1,1,1,1\n")
    code, out, told = run(*options[:-2], "--calendar", "24/7")
    assert (code, out, told.count("\n")) == (1, "", 1)
    assert told.endswith("; BTC (XNYS) keep the calendar of their instrument, found 24/7 stated\n")
    file.write_text(f"{header}\nBTC,2024-06-03,0,1,0,1,1\n")
    assert "keep the calendar" not in run(*options[:-2], "--calendar", "24/7")[2]  # that is not why
