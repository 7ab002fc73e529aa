"""Whole files: what cannot be read is refused in one line, with what was expected and what was found."""

from __future__ import annotations

import gzip
import io
from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trading.errors import InputError, MissingColumnError, NaiveTimeError, UnreadablePayloadError
from trading.ingestion.blocks import blocks
from trading.ingestion.candidates import parse
from trading.ingestion.payload import records
from trading.ingestion.reader import Reader, format_of

PRICES = Reader("prices", "csv")
HEADER = "symbol,timestamp,open,high,low,close,volume"
LINE = "IBM,2024-05-31,166.12,167.47,164.00,166.85,2700000"
FRAME = pd.DataFrame(
    {
        "ticker": ["IBM"],
        "date": [pd.Timestamp("2024-05-31")],
        "open": [1.1],
        "high": [2.2],
        "low": [1.0],
        "close": [2.0],
    }
    | {"adj_close": [1.9], "volume": [7]}
)


def _parquet(frame: Any) -> bytes:
    written = io.BytesIO()
    frame.to_parquet(written)
    return written.getvalue()


def _csv(*lines: str) -> bytes:
    return "\n".join([HEADER, *lines, ""]).encode()


@pytest.mark.parametrize(
    ("payload", "format_", "complaint"),
    [
        (b"", "csv", "found an empty file"),
        (b"\n\n", "csv", "only blank lines"),
        (HEADER.encode(), "csv", "a header and nothing below it"),
        (f"{HEADER}\n{LINE}\nIBM,2024-05-30,166".encode(), "csv", "the file is truncated"),
        (f'{HEADER}\n{LINE}\n"IBM,2024'.encode(), "csv", "is it truncated"),
        (b"\xff\xfe\x00", "csv", "expected text in UTF-8"),
        (gzip.compress(_csv(LINE) * 50)[:-20], "csv.gz", "expected a whole gzip file"),
        (_csv(LINE), "csv.gz", "expected a whole gzip file"),
        (_csv(LINE), "parquet", "expected a Parquet file"),
        (_parquet(FRAME)[:-100], "parquet", "expected a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(payload: bytes, format_: Any, complaint: str) -> None:
    with pytest.raises(UnreadablePayloadError, match=complaint) as caught:
        records(payload, Reader("prices", format_))
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named_with_what_was_found_and_the_way_out() -> None:
    with pytest.raises(MissingColumnError, match=r"column for close \(close\), found symbol, .*--map close=THEIRS"):
        records(b"symbol,date,open,high,low,volume\nIBM,2024-05-31,1,1,1,1\n", PRICES)
    with pytest.raises(MissingColumnError, match=r"column for symbol .* or add it, with the symbol in every row"):
        records(b"date,open,high,low,close,volume\n2024-05-31,1,1,1,1,1\n", PRICES)
    with pytest.raises(MissingColumnError, match="by commas, found a header separated by semicolons: symbol;date;open"):
        records(b"symbol;date;open\nIBM;2024-05-31;1\n", PRICES)
    with pytest.raises(MissingColumnError, match="column for headline"):
        records(b"id,published_at,symbols\n1,2024-05-31,IBM\n", Reader("news", "csv"))


def test_a_mapping_names_columns_and_its_mistakes_are_named_too() -> None:
    payload = b"isin,date,open,high,low,close,volume\nIBM,2024-05-31,1,1,1,1,1\n"
    (record,) = records(payload, Reader("prices", "csv", {"symbol": "isin"}))
    assert record.cells["symbol"] == "IBM"
    with pytest.raises(MissingColumnError, match="column for symbol \\(wkn\\)"):
        records(payload, Reader("prices", "csv", {"symbol": "wkn"}))
    with pytest.raises(MissingColumnError, match=r"a mapping onto one of .* found sector"):
        records(payload, Reader("prices", "csv", {"symbol": "isin", "sector": "isin"}))


def test_usual_names_are_recognised_whatever_their_case() -> None:
    (record,) = records(
        b"\xef\xbb\xbfTicker,Date,Open,High,Low,Close,Volume,Adj Close\nA,2024-05-31,1,1,1,1,1,1\n", PRICES
    )
    assert (record.cells["symbol"], record.cells["timestamp"]) == ("A", "2024-05-31")


def test_a_parquet_of_midnights_has_bare_dates_and_its_floats_their_shortest_text() -> None:
    (candidate,) = parse(_parquet(FRAME), Reader("prices", "parquet")).candidates
    assert candidate.values["timestamp"].date() == date(2024, 5, 31)
    assert [str(candidate.values[name]) for name in ("open", "close", "volume")] == [
        "1.100000",
        "2.000000",
        "7.00000000",
    ]
    narrow = FRAME.assign(open=FRAME["open"].astype("float32"))
    (candidate,) = parse(_parquet(narrow), Reader("prices", "parquet")).candidates
    assert str(candidate.values["open"]) == "1.100000"


def test_a_parquet_of_naive_date_times_is_refused() -> None:
    frame = FRAME.assign(date=[pd.Timestamp("2024-05-31 09:30")])
    with pytest.raises(NaiveTimeError, match="write the offset into the file"):
        parse(_parquet(frame), Reader("prices", "parquet"))


def test_a_parquet_with_two_columns_of_one_name_is_refused_where_the_name_is_read() -> None:
    def doubled(name: str) -> bytes:
        table = pa.Table.from_pandas(FRAME)
        buffer = io.BytesIO()
        pq.write_table(table.append_column(name, table.column(name)), buffer)
        return buffer.getvalue()

    reader = Reader("prices", "parquet")
    for read in (lambda payload: records(payload, reader), lambda payload: list(blocks(io.BytesIO(payload), reader))):
        with pytest.raises(
            UnreadablePayloadError, match="expected one column of each name, found volume more than once"
        ):
            read(doubled("volume"))
        assert len(read(doubled("adj_close"))) == 1


def test_a_partition_takes_its_months_only_and_unreadable_rows_with_them() -> None:
    lines = [LINE, "IBM,2024-04-30,1,1,1,1,1", "IBM,2024-03-28,1,1,1,1,1", "IBM,soon,1,1,1,1,1"]
    parsed = parse(_csv(*lines), Reader("prices", "csv", partition="2024-03..2024-04"))
    assert ([each.number for each in parsed.candidates], parsed.rows_in) == ([2, 3], 3)


@pytest.mark.parametrize("partition", ["2024", "2024-13", "2024-1", "2024-01..", "last month"])
def test_a_partition_is_a_month_or_months(partition: str) -> None:
    with pytest.raises(InputError, match="expected a month"):
        Reader("prices", "csv", partition=partition)


def test_the_name_of_a_file_promises_its_format() -> None:
    assert [format_of(name) for name in ("A.CSV", "a.csv.gz", "a.parquet", "a.pq")] == [
        "csv",
        "csv.gz",
        "parquet",
        "parquet",
    ]
    with pytest.raises(InputError, match=r"expected a file named \.csv"):
        format_of("prices.xlsx")


def test_a_reader_survives_being_recorded() -> None:
    reader = Reader("prices", "csv", {"symbol": "isin"}, adjustment="split", partition="2024-05")
    assert Reader.from_dict(reader.as_dict()) == reader
