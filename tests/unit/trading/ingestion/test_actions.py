"""How a file of actions is read: by the parser of then for a batch of then, by the newest for a new one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from trading.errors import InputError, MissingColumnError
from trading.ingestion.candidates import parse
from trading.ingestion.reader import Reader

OF_0_1_0: dict[str, Any] = {
    "kind": "actions",
    "format": "csv",
    "columns": {},
    "interval": "1d",
    "adjustment": "raw",
    "calendar": "XNYS",
    "partition": None,
    "parser": 1,
}
NEW = Reader("actions", "csv", parser=2)


def _csv(*lines: str) -> bytes:
    return "\n".join([*lines, ""]).encode()


def _said(payload: bytes, reader: Reader) -> list[tuple[Any, ...]]:
    return [(c.values["kind"], c.values["ratio"], c.values["amount"]) for c in parse(payload, reader).candidates]


def test_a_reader_of_0_1_0_is_read_and_written_as_it_was() -> None:
    assert Reader.from_dict(OF_0_1_0).as_dict() == OF_0_1_0


def test_a_payload_of_0_1_0_gives_the_rows_that_it_gave() -> None:
    payload = _csv(
        "symbol,kind,ex_date,ratio,amount", "A,split,2024-05-01,2,7", "A,dividend,2024-05-02,1,7", "A,,2024-05-03,1,"
    )
    parsed = parse(payload, Reader.from_dict(OF_0_1_0))
    assert [(c.number, c.values["kind"], c.values["ratio"]) for c in parsed.candidates] == [
        (1, "split", Decimal(2)),
        (3, "split", Decimal(1)),
    ]
    assert [(defect.number, defect.rule) for defect in parsed.defects] == [(2, "unknown_action")]
    assert {c.values["amount"] for c in parsed.candidates} == {None}


def test_a_file_of_prices_says_nothing_where_there_was_no_action() -> None:
    header = "symbol,date,close,stock_splits,dividends"
    lines = ("A,2024-05-01,1,0,0.0", "A,2024-05-02,1,1,", "A,2024-05-03,1,,nan", "A,2024-05-06,1,7,0.5")
    assert _said(_csv(header, *lines), NEW) == [("split", Decimal(7), None), ("dividend", Decimal(1), Decimal("0.5"))]


def test_a_file_with_a_column_for_each_action_says_nothing_where_there_was_none() -> None:
    header = "Date,Ticker,Stock Splits,Dividends"
    both = (
        "2024-05-01,A,2.0,0.0",
        "2024-05-02,A,0.0,0.25",
        "2024-05-03,A,0.0,0.0",
        "2024-05-06,A,,",
        "2024-05-07,A,3,0.5",
    )
    actions = [("split", Decimal(2), None), ("dividend", Decimal(1), Decimal("0.25"))]
    last = [("split", Decimal(3), None), ("dividend", Decimal(1), Decimal("0.5"))]
    wide = Reader("actions", "csv", parser=3)
    assert _said(_csv(header, *both), wide) == [*actions, *last]
    withdrawn = ("2024-05-01,A,1,", "2024-05-02,A,,0")
    assert _said(_csv(header, *withdrawn), wide) == [("split", Decimal(1), None), ("dividend", Decimal(1), Decimal(0))]
    # A batch of before is read again as it was: a split by nothing, which the gate refused with its dividend.
    assert [kind for kind, _, _ in _said(_csv(header, both[1]), NEW)] == ["split", "dividend"]


def test_a_mapping_finds_the_columns_of_a_price_file() -> None:
    reader = Reader("actions", "csv", {"ratio": "factor", "amount": "div"}, parser=2)
    payload = _csv("symbol,date,close,factor,div", "A,2024-05-01,1,1,0", "A,2024-05-02,1,2,0")
    assert _said(payload, reader) == [("split", Decimal(2), None)]


@pytest.mark.parametrize("word", ["spin_off", "Spin-off", "spin off", "spinoff"])
def test_a_kind_is_understood_as_it_is_commonly_written(word: str) -> None:
    payload = _csv("symbol,kind,ex_date,amount", f"A,{word},2024-05-01,3")
    assert _said(payload, NEW) == [("spin_off", Decimal(1), Decimal(3))]


def test_a_file_with_nothing_to_tell_an_action_by_is_refused() -> None:
    with pytest.raises(MissingColumnError, match=r"expected a column for ratio .*name it with --map ratio=THEIRS"):
        parse(_csv("symbol,date,close", "A,2024-05-01,1"), NEW)


def test_a_reader_of_a_later_release_is_refused() -> None:
    with pytest.raises(InputError, match="needs a newer release"):
        Reader("actions", "csv", parser=4)
