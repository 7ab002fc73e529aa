"""Blocks of columns say what single rows say: the same bars, the same defects, the same refusals, wherever a block ends."""

from __future__ import annotations

import csv
import gzip
import io
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trading.errors import InputError, NaiveTimeError
from trading.ingestion import blocks as cutting
from trading.ingestion.bar_columns import read_bars, values_of
from trading.ingestion.candidates import Defect, parse
from trading.ingestion.cells import decimal_of
from trading.ingestion.exact_texts import texts_of
from trading.ingestion.reader import Reader

HEADER = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
CELLS = {
    "symbol": ["IBM", " MSFT ", "", "A,B", 'a"b', "nan", "\x00"],
    "timestamp": [
        "2024-05-31",
        "20240531",
        "2024-05-31T14:30:00Z",
        "2024-05-31T14:30:00",
        "31.5.2024",
        "",
        "1970-01-01",
    ],
    "number": [
        *["94.2", "0", "-0.0", "1e3", " 7 ", "007", "1_0", "0.1234567", "0.1000000", "999999999.999999"],
        *["1000000000", "-3", "", "NaN", "inf", "x", "1.", ".5", "٣", "12345678901234"],
    ],
}
FLOATS = [
    96.42428571428572,
    0.0000005,
    1.0000005,
    2.5e-7,
    94.2,
    0.1 + 0.2,
    1e9 - 1e-6,
    999999999.9999999,
    1e300,
    -0.0,
    -1.5,
]
FLOATS += [0.0, 5e-324, float("nan"), float("inf"), 1e11, 123456789.12345678, 2.0**53, 8.5e-9, 3.3333333333333335e6]


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BLOCK_ROWS", 3)


def _single(payload: bytes, reader: Reader) -> Any:
    try:
        parsed = parse(payload, reader)
    except InputError as error:
        return type(error)
    return [(c.number, c.values) for c in parsed.candidates], parsed.defects, parsed.days


def _blocks(payload: bytes, reader: Reader) -> Any:
    found: tuple[list[Any], list[Defect], dict[str, set[date]]] = [], [], {}
    try:
        for block in cutting.blocks(io.BytesIO(payload), reader):
            bars = read_bars(block, reader)
            found[0].extend((row["number"], values_of(row, reader)) for row in bars.frame.iter_rows(named=True))
            found[1].extend(bars.defects)
            for symbol, day in bars.days.iter_rows():
                found[2].setdefault(symbol, set()).add(day)
    except InputError as error:
        return type(error)
    return found


def _same(payload: bytes, reader: Reader) -> None:
    single, many = _single(payload, reader), _blocks(payload, reader)
    if isinstance(single, type):
        assert many == single or single is NaiveTimeError  # which a spool asks of all blocks together
    else:
        assert many == single
        assert repr(many[:2]) == repr(single[:2])  # -0.000000 too, which equals 0.000000


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue().encode()


ROWS = st.lists(
    st.one_of(
        st.tuples(
            *(st.sampled_from(CELLS[name]) for name in ("symbol", "timestamp")),
            *[st.one_of(st.sampled_from(CELLS["number"]), st.decimals(0, 10**6, places=4).map(str))] * 5,
        ).map(list),
        st.lists(st.sampled_from(["IBM", "2024-05-31", "1"]), min_size=1, max_size=9),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from([None, "2024-05"]), st.sampled_from(["1d", "1h"]))
def test_a_csv_says_the_same(rows: list[list[str]], partition: str | None, interval: str) -> None:
    reader = Reader("prices", "csv", partition=partition, interval=interval)
    _same(_csv(rows), reader)
    _same(gzip.compress(_csv(rows)), Reader("prices", "csv.gz", partition=partition, interval=interval))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbf" + _csv([["IBM", "2024-05-31", "1", "1", "1", "1", "1"]]),
        _csv([]),
        _csv([["IBM", "2024-05-31", "1", "1", "1", "1", "1"]] * 4).replace(b"\r\n", b"\r"),
        _csv([["IBM", "2024-05-31", "1", "1", "1", "1", "1"]] * 4).rstrip() + b"\n\nIBM,2024-05-31,1",
        _csv([["IBM", "2024-05-31", "1", "1", "1", "1", "1"]] * 4) + b'"IBM,2024-05-31,1',
        _csv([["IBM", "2024-05-31", "1", "1", "1", "1", "1"]] * 4) + b"\xff",
        b"symbol,date\nIBM,2024-05-31\n",
    ],
)
def test_a_file_is_refused_as_it_is_by_single_rows(payload: bytes) -> None:
    for format_ in ("csv", "csv.gz", "parquet"):
        _same(payload, Reader("prices", format_))


MOMENTS: dict[str, list[Any]] = {
    "dates": [date(2024, 5, 31), None],
    "midnights": [datetime(2024, 5, 31), None],  # noqa: DTZ001 a column without a zone is what this is about
    "times": [datetime(2024, 5, 31), datetime(2024, 5, 31, 9, 30)],  # noqa: DTZ001
    "zoned": [datetime(2024, 5, 31, 23, tzinfo=UTC)],
    "texts": ["2024-05-31 00:00:00", "2024-05-31T00:00:00.000", None],
    "mixed": ["2024-05-31 00:00:00", "2024-05-31"],
    "whole": [20240531, 7],
}
KINDS = {"f64": pa.float64(), "f32": pa.float32(), "i64": pa.int64(), "dec": pa.decimal128(20, 8), "text": pa.string()}


def _cell(value: float, kind: str) -> Any:
    if kind.startswith("f"):
        return value
    if not math.isfinite(value) or abs(value) > 1e11:
        return None
    return {"i64": int(value), "dec": round(Decimal(repr(value)), 8), "text": repr(value)}[kind]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), *[st.one_of(st.sampled_from(FLOATS), st.floats(0, 1e6))] * 5),
        min_size=1,
        max_size=9,
    ),
    st.sampled_from(sorted(MOMENTS)),
    st.sampled_from(sorted(KINDS)),
    st.booleans(),
)
def test_a_parquet_file_says_the_same(rows: list[Any], moments: str, kind: str, has_categories: bool) -> None:
    columns: dict[str, Any] = {
        "symbol": pa.array([f"S{row[0] % 3}" for row in rows]),
        "timestamp": pa.array([MOMENTS[moments][row[0] % len(MOMENTS[moments])] for row in rows]),
    }
    if has_categories:
        columns["symbol"] = columns["symbol"].dictionary_encode()
    columns |= {
        name: pa.array([_cell(row[at], kind) for row in rows], KINDS[kind]) for at, name in enumerate(HEADER[2:], 1)
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, row_group_size=4)
    _same(written.getvalue(), Reader("prices", "parquet"))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.floats(0, 1e12), st.integers(0, 2 * 10**9).map(lambda halves: halves * 0.0000005)),
    st.sampled_from([6, 8]),
)
@example(0.1234565, 6)
@example(1000000.0000005, 6)
def test_a_float_becomes_the_decimal_of_its_shortest_text(value: float, scale: int) -> None:
    texts, said = texts_of(pa.array([value]), scale)
    if said[0]:
        exact = decimal_of("x", value, scale)
        assert exact is not None
        assert texts[0] == format(exact, "f")


def test_plain_numbers_are_said_at_once() -> None:
    for column in (pa.array([94.2, 7.0, 1e8]), pa.array(["94.2", "7", "100000000.5"]), pa.array([94, 7, 10**8])):
        assert texts_of(column, 6)[1].all()


@pytest.mark.parametrize("column", ["symbol", "timestamp", "open"])
@pytest.mark.parametrize("odd", [pa.array([["A"], None]), pa.array([{"a": 1}, None])])
def test_a_column_of_lists_or_structs_is_refused_row_by_row(column: str, odd: Any) -> None:
    columns: dict[str, Any] = {"symbol": ["A", "B"], "timestamp": ["2024-05-31"] * 2}
    columns |= {name: [1.0, 2.0] for name in HEADER[2:]} | {column: odd}
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    _same(written.getvalue(), Reader("prices", "parquet"))


def test_very_many_times_and_intervals_in_one_block_are_told_apart() -> None:
    many = pa.array([f"word {number}" for number in range(50_000)])  # the square of this number is beyond 31 bits
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 49_999], pa.int32()), many)
    columns: dict[str, Any] = dict.fromkeys(HEADER, pa.array(["1", "1"])) | {"timestamp": texts, "interval": texts}
    found = read_bars(cutting.Block(1, columns), Reader("prices", "csv")).defects
    assert [defect.content["interval"] for defect in found] == ["word 0", "word 49999"]


@pytest.mark.parametrize(
    ("timestamp", "interval"),
    [
        ("0001-01-01T00:00:00+05:00", "1h"),
        ("9999-12-31T23:00:00-05:00", "1h"),
        ("9999-12-31T22:30:00Z", "1h"),
        ("9999-12-31", "1d"),
        ("9999-12-31", "1w"),
        ("9999-12-31", "1mo"),
    ],
)
def test_a_time_at_the_end_of_the_calendar_is_a_bad_row(timestamp: str, interval: str) -> None:
    payload = _csv([["IBM", timestamp, "1", "1", "1", "1", "1"], ["IBM", "20240531", "1", "1", "1", "1", "1"]])
    reader = Reader("prices", "csv", interval=interval, parser=2)
    _same(payload, reader)
    assert parse(payload, reader).defects[0].rule == "unreadable_timestamp"


@pytest.mark.parametrize("timestamp", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59Z"])
def test_such_a_time_is_a_bad_row_of_trades_and_news_too(timestamp: str) -> None:
    trades = f"symbol,timestamp,price,size\nIBM,{timestamp},1,1\n".encode()
    news = f"id,published_at,symbols,headline\n1,{timestamp},IBM,up\n".encode()
    found = [parse(payload, Reader(kind, "csv")).defects for kind, payload in (("trades", trades), ("news", news))]
    assert [[defect.rule for defect in defects] for defects in found] == [["unreadable_timestamp"]] * 2
