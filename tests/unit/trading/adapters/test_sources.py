"""Sources by name: what each takes, what each delivers, and a clear line where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading.adapters.sources import source_named
from trading.errors import InputError
from trading.ingestion.candidates import parse


@pytest.mark.parametrize("kind", ["prices", "actions", "news"])
def test_the_sample_delivers_every_kind_and_every_row_can_be_read(kind: str) -> None:
    delivery = source_named("sample").deliver(kind, None)  # type: ignore[arg-type]
    parsed = parse(delivery.payload, delivery.reader)
    assert parsed.defects == []
    assert parsed.rows_in >= 3


def test_the_users_file_is_delivered_untouched_with_what_he_said_of_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(b"isin,date\r\n")
    delivery = source_named("files", file=file, columns={"symbol": "isin"}, adjustment="split").deliver(
        "prices", "2024-05"
    )
    assert (delivery.payload, delivery.name) == (b"isin,date\r\n", "mine.csv")
    assert (delivery.reader.columns, delivery.reader.adjustment, delivery.reader.partition) == (
        {"symbol": "isin"},
        "split",
        "2024-05",
    )


@pytest.mark.parametrize(
    ("name", "file", "complaint"),
    [
        ("bloomberg", None, "expected a source of files, sample, .*yfinance, found 'bloomberg'"),
        ("files", None, "expected --file with the source files"),
        ("sample", Path("a.csv"), "expected no --file"),
    ],
)
def test_a_source_is_refused_with_the_way_out(name: str, file: Path | None, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        source_named(name, file=file)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"expected a file to read at /nowhere/a.csv, found: No such file"):
        source_named("files", file=Path("/nowhere/a.csv")).deliver("prices", None)
