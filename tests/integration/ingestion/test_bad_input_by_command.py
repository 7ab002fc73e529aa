"""Every bad input of the first issue through `tradeloom ingest`: one line, exit code 1, nothing published, a good file goes in."""

from __future__ import annotations

import gzip
import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from orchestration import cli

pytestmark = pytest.mark.engines
Run = Callable[..., tuple[int, str, str]]
HEADER = "symbol,timestamp,open,high,low,close,volume"
GOOD = [f"{symbol},2024-05-{day},166.12,167.47,164.00,166.85,2700000" for symbol in ("IBM", "MSFT") for day in (29, 30)]
NEWS = "id,published_at,symbols,headline"
GOOD_NEWS = [f"n{number},2024-05-30,IBM,IBM opens plant number {number}" for number in range(6)]


@pytest.fixture
def run(
    database_url: str, object_store_settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the console script; return its exit code, its stdout and its stderr."""
    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", database_url)
    for name in ("endpoint", "access_key", "secret_key", "bucket"):
        monkeypatch.setenv(f"TRADELOOM_S3_{name.upper()}", getattr(object_store_settings, name))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tradeloom", "ingest", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def published(database_url: str) -> Callable[[], list[int]]:
    """Count what the warehouse holds of prices and news."""

    def count() -> list[int]:
        tables = ("raw.price_bars", "raw.news_items", "raw.session_quality")
        with psycopg.connect(database_url) as conn:
            return [conn.execute(f"select count(*) from {table}").fetchone()[0] for table in tables]  # type: ignore[index]

    return count


def csv(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def parquet() -> bytes:
    written = io.BytesIO()
    pd.read_csv(io.BytesIO(csv(*GOOD))).to_parquet(written)
    return written.getvalue()


WHOLE_FILES = [
    ("prices", "missing.csv", csv(*GOOD).replace(b",volume", b",shares"), "expected a column for volume"),
    ("prices", "empty.csv", b"", "found an empty file"),
    ("prices", "header.csv", csv(), "a header and nothing below it"),
    ("prices", "not.parquet", csv(*GOOD), "expected a Parquet file"),
    ("prices", "cut.csv", csv(*GOOD)[:-30], "the file is truncated"),
    ("prices", "cut.csv.gz", gzip.compress(csv(*GOOD))[:-9], "expected a whole gzip file"),
    ("prices", "cut.parquet", parquet()[:-100], "expected a Parquet file"),
    ("prices", "naive.csv", csv(*(line.replace("-29", "-29T09:30:00") for line in GOOD[::2])), "with a zone"),
    ("prices", "bad.csv", csv(*GOOD[:2], *(f"{line[:-8]},-1" for line in GOOD[2:])), "found 50% (2 of 4: negative_v"),
    (
        "prices",
        "shut.csv",
        csv(*(line.replace("-29", "-27") for line in GOOD[::2])),
        "; row 1, IBM 2024-05-27: is_in_s",
    ),
    (
        "news",
        "undated.csv",
        csv(*(line.replace("2024-05-30", "") for line in GOOD_NEWS), header=NEWS),
        "missing_value 6",
    ),
    ("news", "nobody.csv", csv(*(line.replace("IBM,", ",") for line in GOOD_NEWS), header=NEWS), "no_symbol 6"),
    ("news", "prices.csv", csv(*GOOD), "expected a column for id"),
    ("news", "headlines.csv", csv("IBM opens a plant", header="headline"), "expected a column for id"),
    ("prices", "news.csv", csv(*GOOD_NEWS, header=NEWS), "expected a column for"),
    ("prices", "table.xlsx", csv(*GOOD), "expected a file named .csv"),
]


@pytest.mark.parametrize(
    ("kind", "name", "payload", "complaint"), WHOLE_FILES, ids=[f"{k}-{n}" for k, n, *_ in WHOLE_FILES]
)
def test_a_bad_file_is_one_line_and_publishes_nothing(
    run: Run, published: Callable[[], list[int]], tmp_path: Path, kind: str, name: str, payload: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(payload)
    code, out, err = run(kind, "--source", "files", "--file", str(tmp_path / name))
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert complaint in err
    assert published() == [0, 0, 0]
    good = tmp_path / "good.csv"
    good.write_bytes(csv(*GOOD) if kind == "prices" else csv(*GOOD_NEWS, header=NEWS))
    assert run(kind, "--source", "files", "--file", str(good))[0] == 0
    assert sum(published()[:2]) == len(GOOD if kind == "prices" else GOOD_NEWS)


BAD_ROWS = {
    "non_positive_price": ["Z,2024-05-30,0,167,0,166,1", "N,2024-05-30,166,167,-1,166,1"],
    "missing_value": ["A,2024-05-30,NaN,167,164,166,1"],
    "unreadable_number": ["T,2024-05-30,dear,167,164,166,1"],
    "ohlc_order": ["H,2024-05-30,166,164,167,166,1"],
    "naive_timestamp": ["W,2024-05-30T09:30:00,166,167,164,166,1"],
    "conflicting_duplicate": ["D,2024-05-30,166,167,164,166,1", "D,2024-05-30,166,167,164,165,1"],
}


def test_bad_rows_are_counted_by_their_rule_and_the_good_ones_go_on(run: Run, tmp_path: Path) -> None:
    equal = "E,2024-05-30,166,167,164,166,1"
    bad = [line for lines in BAD_ROWS.values() for line in lines]
    file = tmp_path / "bars.csv"
    file.write_bytes(csv(*GOOD, equal, equal, *bad))
    code, out, _ = run("prices", "--source", "files", "--file", str(file), "--max-bad-share", "0.7", "--json")
    report = json.loads(out)
    assert code == 0
    assert {rule: report["quarantine"].get(rule) for rule in BAD_ROWS} == {
        rule: len(lines) for rule, lines in BAD_ROWS.items()
    }
    assert (report["rows_published"], report["rows_merged"], report["rows_quarantined"]) == (5, 1, len(bad))
    assert report["drafts"] == {"E": "XNYS"}, "a symbol that nobody knew; AAPL, IBM and MSFT are instruments already"


@pytest.mark.parametrize("engine", ["postgres", "s3"])
def test_an_engine_that_is_gone_is_one_line_and_a_rerun_completes(
    run: Run, published: Callable[[], list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    file = tmp_path / "bars.csv"
    file.write_bytes(csv(*(line.replace("IBM", engine.upper()) for line in GOOD)))
    asked = ("prices", "--source", "files", "--file", str(file))
    with socket.socket() as taken, monkeypatch.context() as gone:
        taken.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
        gone.setenv(
            *{
                "postgres": ("TRADELOOM_POSTGRES_URL", f"postgresql://nobody:x@{dead}/tradeloom"),
                "s3": ("TRADELOOM_S3_ENDPOINT", f"http://{dead}"),
            }[engine]
        )
        code, out, err = run(*asked)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert {"postgres": "expected PostgreSQL to answer", "s3": f"expected the object store at http://{dead}"}[
        engine
    ] in err
    assert "tradeloom up" in err
    assert published() == [0, 0, 0]
    assert run(*asked)[0] == 0
    assert published()[0] == len(GOOD)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--calendar", "MOON"], "found 'MOON'"),
        (["--map", "symbol=isin"], "expected a column for symbol (isin)"),
        (["--map", "sector=symbol"], "found sector"),
        (["--file", "absent.csv"], "expected a file to read at absent.csv"),
        (["--file", "."], "expected a file named .csv"),
    ],
)
def test_a_wrong_option_is_one_line_and_publishes_nothing(
    run: Run, published: Callable[[], list[int]], tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    file = tmp_path / "bars.csv"
    file.write_bytes(csv(*(line.replace("IBM", "NEW") for line in GOOD)))
    code, out, err = run("prices", "--source", "files", "--file", str(file), *arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert complaint in err
    assert published() == [0, 0, 0]
