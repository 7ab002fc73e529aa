"""The ordered fall-back lists: which source is asked first for a symbol, as known at a time; who served; who disagrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from trading.adapters.warehouse import take_watermark
from trading.errors import InputError
from trading.identity import row_hash
from trading.ingestion.ports import Ask
from trading.ingestion.reader import Kind
from trading.telemetry import current_trace_id

_LISTS = """
select distinct on (o.symbol) o.symbol, o.sources
from trading.source_orders as o
where o.kind = %s and o.known_at <= %s and o.watermark <= %s
order by o.symbol nulls first, o.known_at desc, o.watermark desc
"""

# How often each symbol was dealt with up to the end that was asked for last.
_TIMES = """
with asked as (
    select s.symbol, s.range_to, s.served_id
    from raw.served as s
    where s.kind = %(kind)s and s.interval = %(interval)s and s.range_from = %(start)s
        and s.symbol = any(%(symbols)s) and s.asked = %(symbols)s and (%(any_end)s or s.range_to = %(end)s)
),

newest as (select a.range_to from asked as a order by a.served_id desc limit 1)

select a.range_to, a.symbol, count(*)
from asked as a
inner join newest as n on a.range_to = n.range_to
group by a.range_to, a.symbol
"""

_DISAGREEMENTS = """
select d.symbol, d.interval, d.timestamp, d.source, d.other_source, d.field, d.price, d.other_price, d.difference
from raw.source_disagreements_as_of(%s, %s, %s, %s) as d
"""


@dataclass(frozen=True)
class PassedOver:
    """A source of the list that did not serve, and why."""

    source: str
    why: str


@dataclass(frozen=True)
class Disagreement:
    """One price of one bar that two sources tell apart; `difference` is a fraction of the smaller price."""

    symbol: str
    interval: str
    timestamp: datetime
    source: str
    other_source: str
    field: str
    price: Decimal
    other_price: Decimal
    difference: Decimal


def put_order(
    conn: psycopg.Connection, kind: Kind, symbols: Sequence[str | None], sources: Sequence[str], known_at: datetime
) -> int:
    """Write the list of each symbol (None: of every symbol without its own), known from `known_at`; return the watermark.

    An empty list withdraws the one before it.

    Raises:
        InputError: a source is named twice.
    """
    if len(set(sources)) != len(sources):
        raise InputError(f"expected each source once, found {', '.join(sources)}")
    watermark = take_watermark(conn, f"order of the sources of {kind}")
    for symbol in dict.fromkeys(symbols):
        identity = row_hash([kind, symbol, "|".join(sources), known_at])
        conn.execute(
            "insert into trading.source_orders (kind, symbol, sources, known_at, watermark, row_hash) "
            "values (%s, %s, %s, %s, %s, %s)",
            (kind, symbol, list(sources), known_at, watermark, identity),
        )
    return watermark


def order_of(conn: psycopg.Connection, kind: Kind, symbol: str, as_of: datetime, watermark: int) -> tuple[str, ...]:
    """Return the sources to ask for a symbol, the first first; empty where no list says any."""
    asked = (kind, symbol, as_of, watermark)
    row = conn.execute("select trading.source_order_as_of(%s, %s, %s, %s)", asked).fetchone()
    return tuple(row[0] or ()) if row else ()


def lists(conn: psycopg.Connection, kind: Kind, as_of: datetime, watermark: int) -> dict[str | None, tuple[str, ...]]:
    """Return every list that holds, that of every symbol under None."""
    found = conn.execute(_LISTS, (kind, as_of, watermark))
    return {symbol: tuple(sources) for symbol, sources in found if sources}


def record_served(
    conn: psycopg.Connection, ask: Ask, symbol: str, source: str | None, passed_over: Sequence[PassedOver]
) -> None:
    """Record who served a symbol of an ask, and who was passed over."""
    values = (ask.kind, symbol, ask.interval, ask.start, ask.end, list(ask.symbols), source)
    conn.execute(
        "insert into raw.served (kind, symbol, interval, range_from, range_to, asked, source, passed_over, trace_id) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (*values, Jsonb([asdict(one) for one in passed_over]), current_trace_id()),
    )


def unserved(conn: psycopg.Connection[Any], ask: Ask, *, any_end: bool) -> tuple[datetime, list[str]]:
    """Return the end up to which to ask, and which of the symbols are still to be dealt with, in their order.

    A call deals with every symbol once, so one that was dealt with less often than another was left by a stopped call
    for the same symbols. Where none was, all are to be dealt with anew.

    Args:
        any_end: A call up to another end counts as well.
    """
    asked = {"kind": ask.kind, "interval": ask.interval, "start": ask.start, "end": ask.end, "any_end": any_end}
    found = conn.execute(_TIMES, asked | {"symbols": list(ask.symbols)}).fetchall()
    times = {symbol: number for _, symbol, number in found}
    most = max(times.values(), default=0)
    missing = [symbol for symbol in ask.symbols if times.get(symbol, 0) < most]
    return (found[0][0], missing) if missing else (ask.end, list(ask.symbols))


def disagreements(
    conn: psycopg.Connection,
    as_of: datetime,
    watermark: int,
    *,
    tolerance: Decimal = Decimal("0.001"),
    symbols: Sequence[str] | None = None,
) -> list[Disagreement]:
    """Return the prices of one bar that two sources tell further apart than `tolerance` (a fraction), as known then."""
    asked: tuple[Any, ...] = (as_of, watermark, tolerance, list(symbols) if symbols else None)
    with conn.cursor(row_factory=class_row(Disagreement)) as cursor:
        return cursor.execute(_DISAGREEMENTS, asked).fetchall()
