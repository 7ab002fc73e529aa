"""Blocks of columns say of trades what single rows say: the same values, the same defects, the same identities."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.errors import InputError, NaiveTimeError
from trading.identity import at_scale
from trading.ingestion import blocks as cutting
from trading.ingestion import moment_columns, text_columns, trade_columns
from trading.ingestion.candidates import Parsed, parse, read_into
from trading.ingestion.payload import Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow
from trading.ingestion.trade_columns import read_trades, values_of
from trading.ingestion.trade_hashes import trade_hashes

HEADER = ["symbol", "timestamp", "price", "size", "trade_id", "side"]
CELLS: dict[str, list[str]] = {
    "symbol": ["IBM", " MSFT ", "", "A,B", "nan", "\x00"],
    "timestamp": [
        *["2024-05-31T14:30:00Z", "2024-05-31 14:30:00.5+02:00", "2024-06-01T00:30:00.123456-00:30", "2024-05-31"],
        *["2024-02-30T14:30:00Z", "2024-05-31T24:00:00Z", "2024-05-31T14:30:00", "2024-05-31T14:30:60Z", "", "nan"],
        *["2024-05-31T14:30:00.123456789Z", "2024-05-31t14:30Z", " 2024-05-31T14:30:00Z ", "20240531T143000Z", "x"],
        *["0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00Z", "1850-01-01T00:00:00Z", "2024-05-31T14:30:00+05:30:20"],
    ],
    "price": ["94.2", "0", "-0.0", "1e3", " 7 ", "1.23456789", "-1", "", "NaN", "x", "0.1000000", "1000000000"],
    "size": ["100", "0", "0.00000001", "1e-9", "", "-3", "12345678901234"],
    "trade_id": ["7", "t 7", " t7", "", "é", "nan", "a\x00", '"', "x" * 300],
    "side": ["buy", "S", "", "B ", "hold", "\x00"],
}


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BLOCK_ROWS", 3)


def _same(payload: bytes, reader: Reader) -> None:
    """What is said of single rows, trades without an id left without one."""
    single = Parsed()
    try:
        for block in cutting.blocks(io.BytesIO(payload), reader):
            for record in block.records(0, len(block)):
                read_into(single, record, reader)
    except InputError as error:
        with pytest.raises(type(error)):
            parse(payload, reader)
        return
    found: list[Any] = []
    defects: list[Any] = []
    for block in cutting.blocks(io.BytesIO(payload), reader):
        trades = read_trades(block, reader)
        found += [(row["number"], values_of(row)) for row in trades.frame.iter_rows(named=True)]
        defects += trades.defects
    assert repr(found) == repr([(one.number, one.values) for one in single.candidates])  # -0.000000 too
    assert defects == single.defects


ROWS = st.lists(
    st.one_of(
        st.tuples(*(st.sampled_from(CELLS[name]) for name in HEADER)).map(list),
        st.lists(st.sampled_from(["IBM", "2024-05-31T14:30:00Z", "1"]), min_size=1, max_size=8),
    ),
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sampled_from([None, "2024-05"]), st.integers(4, 6))
def test_a_csv_says_the_same(rows: list[list[str]], partition: str | None, columns: int) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER[:columns], *(row[: columns if len(row) == len(HEADER) else 9] for row in rows)])
    _same(text.getvalue().encode(), Reader("trades", "csv", partition=partition))


@pytest.mark.parametrize("cell", [*CELLS["timestamp"], "2024-05-31T14:30:00.1Z", "2000-02-29T23:59:59.999999+14:59"])
def test_every_way_to_write_a_moment_is_read_as_in_a_single_row(cell: str) -> None:
    written = f"{','.join(HEADER[:4])}\nIBM,2024-05-31T14:30:00Z,1,1\nIBM,{cell},1,1\n"
    _same(written.encode(), Reader("trades", "csv"))


COLUMNS: dict[str, list[Any]] = {
    "timestamp": [
        pa.array([1, None, 2**40], pa.timestamp("ns", "UTC")),
        pa.array([1, None, 2**40], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([-(2**55), 0, 2**57], pa.timestamp("us", "UTC")),
        pa.array([1, None, 2**40], pa.timestamp("us")),
        pa.array([date(2024, 5, 31), None, None]),
        pa.array(["2024-05-31T14:30:00Z", "2024-05-31", None], pa.large_string()),
        pa.array([20240531, 7, None]),
    ],
    "trade_id": [
        pa.array([7, None, 2**60]),
        pa.array([7.0, None, 0.1]),
        pa.array([True, None, False]),
        pa.array(["a", " ", "a"]).dictionary_encode(),
        pa.array([["a"], None, []]),
    ],
    "symbol": [pa.array(["A", None, "A"]).dictionary_encode(), pa.array([1, 2, None])],
    "price": [pa.array([94.2, float("nan"), -1.0]), pa.array([96.42428, None, 0.0], pa.float32()), pa.array([1, 2, 3])],
    "side": [pa.array([1, None, 0]), pa.array(["buy", "sell", "x"]).dictionary_encode()],
}


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, kinds in COLUMNS.items() for at in range(len(kinds))])
def test_a_parquet_file_says_the_same_of_a_column_of_any_type(name: str, at: int) -> None:
    columns: dict[str, Any] = {
        "symbol": pa.array(["IBM"] * 3),
        "timestamp": pa.array([datetime(2024, 5, 31, 14, 30, tzinfo=UTC)] * 3),
        "price": pa.array([1.0, 2.0, 3.0]),
        "size": pa.array([1, 2, 3]),
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns | {name: COLUMNS[name][at]}), written)
    try:
        _same(written.getvalue(), Reader("trades", "parquet"))
    except NaiveTimeError:
        assert name == "timestamp"


def test_a_vendor_s_cells_say_the_same() -> None:
    """A page of a vendor has Python's own values; Decimals become texts, moments stay."""
    rows: list[dict[str, Any]] = [
        {"symbol": "A", "timestamp": datetime(2024, 5, 31, tzinfo=UTC), "price": Decimal("1.5"), "size": Decimal(3)},
        {"symbol": "A", "timestamp": datetime(2024, 5, 31, 14, 30), "price": Decimal("NaN"), "size": 0.5},  # noqa: DTZ001
        {"symbol": None, "timestamp": None, "price": True, "size": [], "trade_id": 7, "side": "sell"},
    ]
    names = ("symbol", "timestamp", "price", "size", "trade_id", "side")
    reader, single = Reader("trades", "csv"), Parsed()
    for number, row in enumerate(rows, 1):
        read_into(single, Record(number, {name: row.get(name) for name in names}), reader)
    cells = {name: [row.get(name) for row in rows] for name in names}
    found = read_trades(cutting.Block(1, cells), reader)
    assert [values_of(row) for row in found.frame.iter_rows(named=True)] == [one.values for one in single.candidates]
    assert found.defects == single.defects


def test_plain_trades_are_never_taken_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["IBM,2024-05-31T14:30:00.5Z,94.2,100,t7,buy", "IBM,2024-05-31 14:30:00+02:00,94,0.5,,", "MSFT,,,,8,S"]
    written = "\n".join([",".join(HEADER), *rows, ""]).encode()
    monkeypatch.setattr(trade_columns, "read_into", pytest.fail)
    monkeypatch.setattr(moment_columns, "said_of", pytest.fail)
    monkeypatch.setattr(text_columns, "_one_by_one", pytest.fail)
    (block,) = cutting.blocks(io.BytesIO(written), Reader("trades", "csv"))
    assert len(read_trades(block, Reader("trades", "csv")).frame) == 3


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=200)
MOMENTS = st.datetimes(datetime(1901, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 hypothesis wants none
PRICES = st.integers(0, 10**15 - 1).map(lambda units: at_scale(Decimal(units).scaleb(-6), 6))
SIZES = st.integers(0, 10**20 - 1).map(lambda units: at_scale(Decimal(units).scaleb(-8), 8))
SIDES = st.sampled_from([None, "buy", "sell"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, MOMENTS, PRICES, SIZES, SIDES, MOMENTS, MOMENTS), min_size=1, max_size=5))
def test_the_identity_of_a_trade_is_that_of_its_row(trades: list[tuple]) -> None:  # type: ignore[type-arg]
    columns = ("symbol", "trade_id", "timestamp", "price", "size", "side", "nominal_at", "known_at")
    rows = [dict(zip(columns, trade, strict=True)) for trade in trades]
    frame = pl.DataFrame(
        [{**row, **{name: format(row[name], "f") for name in ("price", "size")}} for row in rows],
        schema_overrides=dict.fromkeys(("timestamp", "nominal_at", "known_at"), pl.Datetime("us"))
        | {"side": pl.String},
    )
    assert trade_hashes(frame, "files", "known_at") == [
        RawRow(
            "files",
            (row["symbol"], row["trade_id"]),
            (row["timestamp"].replace(tzinfo=UTC), row["price"], row["size"], row["side"]),
            row["nominal_at"].replace(tzinfo=UTC),
        ).hash_when_known(row["known_at"].replace(tzinfo=UTC))
        for row in rows
    ]
