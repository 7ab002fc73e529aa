"""Corporate actions: splits, dividends, symbol changes, delistings, spin-offs, each in force from its `ex_date` on.

An action is nominally known at 00:00 UTC of its ex-date, after the previous session and before the one it applies to:
what vendors give has no date of announcement, and the first bar that needs it closes later on that day.

A file says the kind of each row; or it has no such column, and a row with a ratio is a split and one with an amount a
dividend. In a file of prices (it has a column `close`) an empty cell, a ratio of 0 or 1 and an amount of 0 mean that
there was no action, and one row may hold two. In a file of actions with a column for each, a row that fills both cells
or none is read like that too; one that fills one alone says what it says, an action withdrawn perhaps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from trading.calendar import bar_label
from trading.identity import at_scale
from trading.ingestion.cells import CellError, decimal_of, is_missing, text_of, when_of
from trading.ingestion.payload import Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow

SCALE = 10
KINDS = ("split", "dividend", "symbol_change", "delisting", "spin_off")
_ALSO_CALLED = {
    "stock_split": "split",
    "forward_split": "split",
    "reverse_split": "split",
    "cash_dividend": "dividend",
    "ticker_change": "symbol_change",
    "delisted": "delisting",
    "spinoff": "spin_off",
}
_HAS_RATIO = frozenset({"split", "spin_off"})
_HAS_AMOUNT = frozenset({"dividend", "delisting", "spin_off"})
_ONE = at_scale(Decimal(1), SCALE)
_CURRENCY = re.compile(r"[A-Z]{3}")


def read(record: Record, reader: Reader) -> list[dict[str, Any]]:
    """Return the values of the row's actions; `about` is the date that decides the partition.

    Raises:
        CellError: a cell cannot be read, is not what its kind needs, or the action is of no kind that we know.
    """
    if reader.parser == 1:
        return [_split_of_parser_1(record)]
    return [_values(record, kind) for kind in _kinds(record, reader)]


def _split_of_parser_1(record: Record) -> dict[str, Any]:
    kind = text_of(record.cells.get("kind")) or "split"
    if kind != "split":
        raise CellError("unknown_action", f"kind is {kind!r}, expected split")
    return _values(record, kind)


def _kinds(record: Record, reader: Reader) -> list[str]:
    cells = record.cells
    if "kind" in cells:
        return [_known_kind(text_of(cells["kind"]))]
    given = [kind for kind, name in (("split", "ratio"), ("dividend", "amount")) if not is_missing(cells.get(name))]
    has_both = reader.parser >= 3 and {"ratio", "amount"} <= cells.keys()
    if "close" in cells or (has_both and len(given) != 1):
        return [kind for kind in given if _says_something(record, kind)]
    return given or ["split" if "ratio" in cells else "dividend"]


def _known_kind(text: str | None) -> str:
    written = (text or "split").lower().replace(" ", "_").replace("-", "_")
    kind = _ALSO_CALLED.get(written, written)
    if kind not in KINDS:
        raise CellError("unknown_action", f"kind is {text!r}, expected one of {', '.join(KINDS)}")
    return kind


def _says_something(record: Record, kind: str) -> bool:
    """In a file of prices most rows have no action: a ratio of 1 or 0, an amount of 0."""
    if kind == "dividend":
        return decimal_of("amount", record.cells["amount"], SCALE) != 0
    return decimal_of("ratio", record.cells["ratio"], SCALE) not in (0, 1)


def _values(record: Record, kind: str) -> dict[str, Any]:
    cells = record.cells
    ex_date = when_of("ex_date", cells["ex_date"])
    if isinstance(ex_date, datetime):
        ex_date = ex_date.date()
    symbol = text_of(cells["symbol"])
    return {
        "about": ex_date,
        "symbol": symbol,
        "kind": kind,
        "ex_date": ex_date,
        "ratio": _ratio(record, kind),
        **_amount(record, kind),
        "new_symbol": _new_symbol(record, kind, symbol),
        "nominal_at": bar_label(ex_date) if ex_date else None,
    }


def _ratio(record: Record, kind: str) -> Decimal | None:
    if kind not in _HAS_RATIO:
        return _ONE
    found = decimal_of("ratio", record.cells.get("ratio"), SCALE)
    return _ONE if found is None and kind == "spin_off" else found


def _amount(record: Record, kind: str) -> dict[str, Any]:
    if kind not in _HAS_AMOUNT:
        return {"amount": None, "currency": None}
    amount = decimal_of("amount", record.cells.get("amount"), SCALE)
    if amount is None and kind == "dividend":
        raise CellError("missing_value", "amount: expected the cash per share of a dividend, found none")
    currency = text_of(record.cells.get("currency"))
    if currency is not None and not _CURRENCY.fullmatch(currency):
        raise CellError("unknown_currency", f"currency is {currency!r}, expected three capital letters such as USD")
    return {"amount": amount, "currency": currency if amount is not None else None}


def _new_symbol(record: Record, kind: str, symbol: str | None) -> str | None:
    new_symbol = None if kind in ("split", "dividend") else text_of(record.cells.get("new_symbol"))
    if kind == "symbol_change" and new_symbol is None:
        raise CellError("missing_value", "new_symbol: expected what the symbol becomes, found none")
    if kind == "delisting" and new_symbol not in (None, symbol):
        raise CellError("unknown_action", f"a delisting that goes on as {new_symbol} is a symbol_change")
    if kind == "spin_off" and new_symbol is not None and new_symbol == symbol:
        raise CellError("unknown_action", f"new_symbol is {symbol} itself, expected the symbol spun off, or none")
    return new_symbol


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies an action within its source."""
    return (values["symbol"], values["kind"], values["ex_date"])


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the action as a row of `raw.corporate_actions`. A split's identity is that of before there were others."""
    content = tuple(values[name] for name in ("ratio", "amount", "currency", "new_symbol"))
    hashed = content[:1] if values["kind"] == "split" else None
    return RawRow(source, key(values), content, values["nominal_at"], hashed)
