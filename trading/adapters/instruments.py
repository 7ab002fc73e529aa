"""Instruments in the warehouse, as ingestion needs them: calendars, drafts for unknown symbols, new versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import psycopg

from trading.identity import PRICE_SCALE, QUANTITY_SCALE, at_scale, row_hash

# What a draft assumes until somebody says better; only the calendar is stated by who delivers.
_TICK, _LOT, _MULTIPLIER = Decimal("0.01"), Decimal(1), Decimal(1)
_LOT_OF_CRYPTO = Decimal("0.00001")  # Binance's step of BTC/USDT; whole coins would be out of many an account's reach


@dataclass(frozen=True)
class InstrumentRow:
    """What a version of an instrument says, in the order of the columns and of its identity."""

    symbol: str
    asset_class: str
    calendar: str
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    multiplier: Decimal
    sector: str | None
    listed_on: date | None
    delisted_on: date | None
    is_draft: bool


def calendars_of(conn: psycopg.Connection, symbols: Iterable[str]) -> dict[str, str]:
    """Return the exchange calendar of each symbol that has an instrument, by its newest version."""
    found = conn.execute(
        "select distinct on (symbol) symbol, calendar from trading.instruments where symbol = any(%s) "
        "order by symbol, watermark desc",
        (sorted(set(symbols)),),
    )
    return {str(symbol): str(calendar) for symbol, calendar in found}


def newest_instruments(conn: psycopg.Connection, symbols: Iterable[str]) -> dict[str, tuple[InstrumentRow, datetime]]:
    """Return the newest version of each symbol's instrument, with the latest time since which one is known."""
    found = conn.execute(
        "select distinct on (i.symbol) i.symbol, i.asset_class, i.calendar, i.currency, i.tick_size, i.lot_size, "
        "i.multiplier, i.sector, i.listed_on, i.delisted_on, i.is_draft, max(i.known_at) over (partition by i.symbol) "
        "from trading.instruments as i where i.symbol = any(%s) order by i.symbol, i.watermark desc",
        (sorted(set(symbols)),),
    )
    return {row[0]: (InstrumentRow(*row[:-1]), row[-1]) for row in found}


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
        insert_version(conn, draft(symbol, calendars[symbol]), since[symbol], watermark)
    return new


def draft(symbol: str, calendar: str) -> InstrumentRow:
    """Return what is assumed of a symbol that nobody has described."""
    asset_class, lot = ("crypto", _LOT_OF_CRYPTO) if calendar == "24/7" else ("equity", _LOT)
    sizes = (at_scale(_TICK, PRICE_SCALE), at_scale(lot, QUANTITY_SCALE), at_scale(_MULTIPLIER, QUANTITY_SCALE))
    return InstrumentRow(symbol, asset_class, calendar, "USD", *sizes, None, None, None, True)


def insert_version(conn: psycopg.Connection, row: InstrumentRow, known_at: datetime, watermark: int) -> None:
    """Write one version of an instrument, known from `known_at` on."""
    stated = (*vars(row).values(), known_at)
    conn.execute(
        "insert into trading.instruments (symbol, asset_class, calendar, currency, tick_size, lot_size, multiplier, "
        "sector, listed_on, delisted_on, is_draft, known_at, watermark, row_hash) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*stated, watermark, row_hash(stated)),
    )
