"""Alpaca's corporate actions in our words (docs/corporate-actions.md): each of its lists to rows of one kind.

Not read: unit splits, redemptions, rights, and mergers paid in shares, none of which our kinds can say. They stay in
the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from trading.ingestion.actions import SCALE
from trading.ingestion.payload import Cell
from trading.ingestion.reader import Reader

_Action = Mapping[str, Any]


def actions(lists: Mapping[str, list[dict[str, Any]]], reader: Reader) -> Iterator[Mapping[str, Cell]]:
    """Yield the rows of every list that is understood, the dividends of one day as their sum.

    None from the end of the ask on, which may change until then; and no dividend from before its start, of whose day
    another one may have been processed before it.
    """
    rows = [
        row
        for name in sorted(_READ)
        for action in lists.get(name) or ()
        if _is_asked(row := _READ[name](action), reader)
    ]
    dividends: dict[tuple[str, str], dict[str, Cell]] = {}
    for row in rows:
        if row["kind"] != "dividend":
            # Where only the CUSIP changed, the symbol goes on.
            if row["symbol"] != row.get("new_symbol"):
                yield row
            continue
        of_day = dividends.setdefault((str(row["symbol"]), str(row["ex_date"])), row)
        if of_day is not row:
            of_day["amount"] = _sum(of_day["amount"], row["amount"])
    yield from dividends.values()


def _is_asked(row: Mapping[str, Cell], reader: Reader) -> bool:
    day, first, last = str(row["ex_date"] or ""), reader.details.get("from"), reader.details.get("to")
    if not day or not first or not last:
        return True  # of a row without a day the gate says so
    return day <= last and (row["kind"] != "dividend" or day >= first)


def _sum(one: Cell, other: Cell) -> Cell:
    """A special dividend beside the regular one of the day is one row: (symbol, kind, ex-date) has one value."""
    if isinstance(one, Decimal | int) and isinstance(other, Decimal | int):
        return one + other
    return None  # the gate refuses a dividend without an amount


def _split(action: _Action) -> dict[str, Cell]:
    ratio = _quotient(action.get("new_rate"), action.get("old_rate"))
    return {"symbol": action.get("symbol"), "kind": "split", "ex_date": action.get("ex_date"), "ratio": ratio}


def _stock_dividend(action: _Action) -> dict[str, Cell]:
    """0.05 new shares beside each old one make 1.05 of it."""
    rate = action.get("rate")
    ratio = 1 + rate if isinstance(rate, Decimal | int) else None
    return {"symbol": action.get("symbol"), "kind": "split", "ex_date": action.get("ex_date"), "ratio": ratio}


def _cash_dividend(action: _Action) -> dict[str, Cell]:
    return {
        "symbol": action.get("symbol"),
        "kind": "dividend",
        "ex_date": action.get("ex_date"),
        "amount": action.get("rate"),
        "currency": action.get("currency"),
    }


def _spin_off(action: _Action) -> dict[str, Cell]:
    return {
        "symbol": action.get("source_symbol"),
        "kind": "spin_off",
        "ex_date": action.get("ex_date"),
        "ratio": _quotient(action.get("new_rate"), action.get("source_rate")),
        "new_symbol": action.get("new_symbol"),
    }


def _name_change(action: _Action) -> dict[str, Cell]:
    return {
        "symbol": action.get("old_symbol"),
        "kind": "symbol_change",
        "ex_date": action.get("process_date"),
        "new_symbol": action.get("new_symbol"),
    }


def _cash_merger(action: _Action) -> dict[str, Cell]:
    return {
        "symbol": action.get("acquiree_symbol"),
        "kind": "delisting",
        "ex_date": action.get("effective_date"),
        "amount": action.get("rate"),
    }


def _worthless(action: _Action) -> dict[str, Cell]:
    return {"symbol": action.get("symbol"), "kind": "delisting", "ex_date": action.get("process_date"), "amount": 0}


_READ: dict[str, Callable[[_Action], dict[str, Cell]]] = {
    "forward_splits": _split,
    "reverse_splits": _split,
    "stock_dividends": _stock_dividend,
    "cash_dividends": _cash_dividend,
    "spin_offs": _spin_off,
    "name_changes": _name_change,
    "cash_mergers": _cash_merger,
    "worthless_removals": _worthless,
}


def _quotient(new: object, old: object) -> Cell:
    """Return new / old at the column's scale: 1 share for 3 has no end."""
    if not isinstance(new, Decimal | int) or not isinstance(old, Decimal | int) or old == 0:
        return None
    return (Decimal(new) / Decimal(old)).quantize(Decimal(1).scaleb(-SCALE), ROUND_HALF_EVEN)
