"""`tradeloom demo` on a mistake: one line, exit code 1, before any engine is started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration import cli

HEADER = "symbol,timestamp,open,high,low,close,volume"
NEWS = "id,published_at,symbols,headline,url\nn1,2023-03-01,AAA,AAA opens a plant,\n"
DAYS = [day for n in range(200) if (day := date(2023, 1, 2) + timedelta(days=n)).weekday() < 5]


def bars(count: int, header: str = HEADER) -> str:
    rows = [f"{symbol},{day},10,11,9,10.5,1000" for day in DAYS[:count] for symbol in ("AAA", "BBB")]
    return "\n".join([header, *rows, ""])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `tradeloom demo` beside the files; return exit code, stdout and stderr. No engine may start."""
    monkeypatch.setenv("TRADELOOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(bars(140))
    (tmp_path / "short.csv").write_text(bars(119))
    (tmp_path / "other.csv").write_text(bars(140, header="isin,day,o,h,l,c,v"))
    (tmp_path / "news.csv").write_text(NEWS)
    (tmp_path / "headlines.csv").write_text("headline\nAAA opens a plant\n")
    (tmp_path / "undated.csv").write_text("id,published_at,symbols,headline\nn1,,AAA,AAA opens a plant\n")
    (tmp_path / "soon.csv").write_text(f"{HEADER}\nAAA,soon,1,1,1,1,1\n")
    (tmp_path / "naive.csv").write_text(f"{HEADER}\nAAA,2023-03-01T09:30:00,1,1,1,1,1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "cut.csv").write_text(bars(140)[:-20])
    (tmp_path / "not.parquet").write_text(bars(140))
    (tmp_path / "sheet.xlsx").write_text(bars(140))
    (tmp_path / "folder.csv").mkdir()

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tradeloom", "demo", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (int(end.value.code or 0), *capsys.readouterr())

    return call


MISTAKES = [
    (["--news", "news.csv"], "expected --prices FILE beside --news, found none"),
    (["--map", "symbol=isin"], "expected --prices FILE beside --map, found none"),
    (["--adjustment", "split"], "expected --prices FILE beside --adjustment"),
    (["--calendar", "XLON"], "expected --prices FILE beside --calendar"),
    (["--prices", "absent.csv"], "expected a file to read at"),
    (["--prices", "folder.csv"], "Is a directory"),
    (["--prices", "empty.csv"], "found an empty file"),
    (["--prices", "cut.csv"], "the file is truncated; deliver it whole"),
    (["--prices", "not.parquet"], "expected a Parquet file"),
    (["--prices", "sheet.xlsx"], "expected a file named .csv, .csv.gz or .parquet"),
    (["--prices", "news.csv"], "expected a column for symbol (symbol or ticker)"),
    (["--prices", "other.csv"], "name it with --map symbol=THEIRS"),
    (["--prices", "soon.csv"], "unreadable_timestamp, timestamp is 'soon'"),
    (["--prices", "naive.csv"], "expected date-times with a zone"),
    (["--prices", "short.csv"], "expected at least 120 sessions to train, judge and replay, found 119"),
    (["--prices", "good.csv", "--map", "symbol"], "expected --map OUR_COLUMN=YOUR_COLUMN, found 'symbol'"),
    (["--prices", "good.csv", "--map", "symbol=isin"], "expected a column for symbol (isin)"),
    (["--prices", "good.csv", "--map", "sector=symbol"], "found sector"),
    (["--prices", "good.csv", "--calendar", "MOON"], "found 'MOON'"),
    (["--prices", "good.csv", "--symbols", "AAA,ZZZ"], "expected --symbols among AAA, BBB, found ZZZ"),
    (["--prices", "good.csv", "--news", "absent.csv"], "expected a file to read at"),
    (["--prices", "good.csv", "--news", "headlines.csv"], "expected a column for id"),
    (["--prices", "good.csv", "--news", "undated.csv"], "expected news with dates in undated.csv, found none"),
    (["--prices", "good.csv", "--news", "good.csv"], "expected a column for id"),
    (["--symbols", "AAPL,ZZZ"], "found ZZZ"),
    (["--prices", "good.csv", "--source", "yfinance"], "expected --prices FILE or --source VENDOR, found both"),
    (["--source", "files"], "expected a vendor of prices such as yfinance, found --source files"),
    (["--source", "rss"], "expected a vendor of prices such as yfinance, found --source rss"),
    (["--from", "2024-01-01"], "expected --source VENDOR beside --from, found none"),
    (["--prices", "good.csv", "--from", "2024-01-01"], "expected --source VENDOR beside --from, found none"),
    (["--source", "yfinance", "--from", "2024-01-01"], "expected --symbols beside --from, found none"),
    (
        ["--source", "yfinance", "--symbols", "AAPL", "--from", "2199-01-01"],
        "found 0 since 2199-01-01; give an earlier",
    ),
    (["--source", "ccxt:moon", "--symbols", "A/B", "--from", "2024-01-01"], "expected an exchange that ccxt knows"),
    (["--source", "alpaca", "--symbols", "AAPL", "--from", "2024-01-01"], "expected APCA_API_KEY_ID and APCA_API"),
]


@pytest.mark.parametrize(("arguments", "complaint"), MISTAKES, ids=[" ".join(one) for one, _ in MISTAKES])
def test_a_mistake_is_one_line_before_anything_starts(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert complaint in err
    assert not (tmp_path / "home").exists(), "nothing was started"


def test_a_file_that_may_not_be_read_is_one_line(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))  # who runs this may be root, whom no mode stops

    monkeypatch.setattr(Path, "read_bytes", denied)
    code, out, err = run("--prices", "good.csv")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "good.csv, found: Permission denied" in err


def test_a_mapping_speaks_of_each_file_by_its_own_names(tmp_path: Path) -> None:
    from assets.scope import MarketScope
    from orchestration.preflight import examined

    prices, news = tmp_path / "prices.csv", tmp_path / "news.csv"
    prices.write_text(bars(140, header="isin,day,open,high,low,close,volume"))
    news.write_text("id,when,isin,headline\nn1,2022-12-30,AAA,AAA opens a plant\n")
    columns = {"symbol": "isin", "timestamp": "day", "symbols": "isin", "published_at": "when"}
    scope = MarketScope(source="files", prices_file=str(prices), news_file=str(news), columns=columns)
    assert examined(scope) == (date(2022, 12, 30), DAYS[139])
