"""Trades: a record to the values of a print, its identity where the vendor gave none, and the row at the end.

A trade without an id is called by its moment and its place among the rows of its symbol and that moment, in the file's
order: `1717425000000001-2`. The same file, or another that holds whole moments, gives the same names; so another price
in such a row is a correction. A size of 0 withdraws a trade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from trading.identity import PRICE_SCALE, QUANTITY_SCALE, epoch_micros
from trading.ingestion.cells import CellError, decimal_of, text_of, utc, when_of
from trading.ingestion.payload import Cell, Record
from trading.ingestion.reader import Reader
from trading.ingestion.rows import RawRow

_SIDES = {"buy": "buy", "b": "buy", "sell": "sell", "s": "sell"}


def read(record: Record, reader: Reader) -> dict[str, Any]:
    """Return the trade's values; `about` is the date that decides its partition.

    Raises:
        CellError: a cell cannot be read.
    """
    del reader
    cells = record.cells
    timestamp = moment_of(cells["timestamp"])
    return {
        "about": timestamp.date() if timestamp else None,
        "symbol": text_of(cells["symbol"]),
        "trade_id": text_of(cells.get("trade_id")),
        "timestamp": timestamp,
        "price": decimal_of("price", cells["price"], PRICE_SCALE),
        "size": decimal_of("size", cells["size"], QUANTITY_SCALE),
        "side": side_of(cells.get("side")),
        "nominal_at": None,
    }


def moment_of(cell: Cell) -> datetime | None:
    """Return the cell as a moment in UTC, or None where it is missing.

    Raises:
        CellError: it cannot be read, or has no zone.
    """
    when = when_of("timestamp", cell)
    if when is None:
        return None
    if not isinstance(when, datetime):
        raise CellError("naive_timestamp", f"timestamp is {when}: a trade needs its moment with a zone")
    return utc(when)


def side_of(cell: Cell) -> str | None:
    """Return the cell as `buy` or `sell`, or None where it is missing.

    Raises:
        CellError: `unknown_side`, or no text.
    """
    text = text_of(cell)
    if text is None:
        return None
    if text.lower() not in _SIDES:
        raise CellError("unknown_side", f"side is {text!r}, expected buy or sell")
    return _SIDES[text.lower()]


def name_nameless(several: Iterable[dict[str, Any]], seen: Counter[tuple[str, datetime]] | None = None) -> None:
    """Give every trade without an id its name; `several` are the values of one payload in their order.

    `seen` counts those of a moment that were named before, where a payload is named part by part.
    """
    seen = Counter() if seen is None else seen
    for values in several:
        symbol, timestamp = values["symbol"], values["timestamp"]
        if values["trade_id"] is None and symbol is not None and timestamp is not None:
            seen[symbol, timestamp] += 1
            values["trade_id"] = f"{epoch_micros(timestamp)}-{seen[symbol, timestamp]}"


def place(values: dict[str, Any], lag: timedelta) -> None:
    """Set `nominal_at`, when the trade could first be known: its moment plus the source's lag."""
    values["nominal_at"] = values["timestamp"] + lag if values["timestamp"] is not None else None


def key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a trade within its source."""
    return (values["symbol"], values["trade_id"])


def row(values: Mapping[str, Any], source: str) -> RawRow:
    """Return the trade as a row of `raw.trades`; every value but `side` must be there (the gate has seen to it)."""
    content = tuple(values[name] for name in ("timestamp", "price", "size", "side"))
    return RawRow(source, key(values), content, values["nominal_at"])
