"""Instruments in the warehouse, as ingestion needs them: the calendar of a symbol, and drafts for unknown symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import psycopg

from trading.identity import PRICE_SCALE, QUANTITY_SCALE, at_scale, row_hash

# What a draft assumes until somebody says better; only the calendar is stated by who delivers.
_TICK, _LOT, _MULTIPLIER = Decimal("0.01"), Decimal(1), Decimal(1)


def calendars_of(conn: psycopg.Connection, symbols: Iterable[str]) -> dict[str, str]:
    """Return the exchange calendar of each symbol that has an instrument, by its newest version."""
    found = conn.execute(
        "select distinct on (symbol) symbol, calendar from trading.instruments where symbol = any(%s) "
        "order by symbol, watermark desc",
        (sorted(set(symbols)),),
    )
    return {str(symbol): str(calendar) for symbol, calendar in found}


def publish_drafts(
    conn: psycopg.Connection, since: Mapping[str, datetime], calendars: Mapping[str, str], watermark: int
) -> dict[str, str]:
    """Make a draft instrument for each symbol of `since` that has none; return symbol -> calendar of the new ones.

    A draft is known since the symbol's first bar is. Where older bars of a draft arrive later, it gets a version that
    is known as early as they are.
    """
    known = {
        symbol: (is_draft, known_at)
        for symbol, is_draft, known_at in conn.execute(
            "select symbol, bool_and(is_draft), min(known_at) from trading.instruments "
            "where symbol = any(%s) group by symbol",
            (sorted(since),),
        )
    }
    new = {symbol: calendars[symbol] for symbol in since if symbol not in known}
    older = [symbol for symbol, (is_draft, at) in known.items() if is_draft and since[symbol] < at]
    for symbol in sorted([*new, *older]):
        _insert_draft(conn, symbol, calendars[symbol], since[symbol], watermark)
    return new


def _insert_draft(conn: psycopg.Connection, symbol: str, calendar: str, known_at: datetime, watermark: int) -> None:
    asset_class = "crypto" if calendar == "24/7" else "equity"
    sizes = (at_scale(_TICK, PRICE_SCALE), at_scale(_LOT, QUANTITY_SCALE), at_scale(_MULTIPLIER, QUANTITY_SCALE))
    stated = (symbol, asset_class, calendar, "USD", *sizes, None, None, None, True, known_at)
    conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, "
        "sector, listed_on, delisted_on, is_draft, known_at, watermark, row_hash) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*stated, watermark, row_hash(stated)),
    )
