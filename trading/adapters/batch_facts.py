"""What the warehouse knows that the judgement of a batch rests on: asked before judging, and again under the watermark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache

import psycopg

from trading.adapters import warehouse
from trading.adapters.gaps import known_parts, unexplained_gaps
from trading.adapters.instruments import calendars_of
from trading.adapters.sources.registry import vendor_named
from trading.adapters.warehouse import Batch
from trading.ingestion.gaps import Days, Gap, Part, split_at
from trading.quality.gate import Facts


def facts_of(conn: psycopg.Connection, batch: Batch, days_of: Callable[[Sequence[Part]], Days]) -> Facts:
    """Return what the rules rest on; `days_of` gives the days of the batch's bars by symbol, named by the parts known."""
    first_live_at = warehouse.first_live_at(conn, batch.source, batch.kind)
    parts = known_parts(conn, batch.source) if batch.kind in ("prices", "actions") else ()
    if batch.kind != "prices":
        return Facts(batch.received_at, batch.mode, {}, first_live_at, parts=parts)
    days = days_of(parts)
    calendars = dict.fromkeys(days, batch.reader.calendar) | calendars_of(conn, days)
    gaps: tuple[Gap, ...] = ()
    if batch.reader.gap != "join":
        gaps = unexplained_gaps(conn, batch.source, days, calendars)
    if batch.reader.gap == "split":
        parts, gaps = tuple(split_at(gaps, parts)), tuple(gap for gap in gaps if gap.refused == "before")
    adjustments = warehouse.series_adjustments(conn, batch.source, {*days, *(part.name for part in parts)})
    lag = _declared_lag(batch.source) if batch.reader.is_page else timedelta(0)
    return Facts(batch.received_at, batch.mode, adjustments, first_live_at, gaps, parts, lag)


@cache
def _declared_lag(source: str) -> timedelta:
    """Return the lag that a vendor declares today; the one that is recorded for nominal times may be an earlier one."""
    return vendor_named(source).lag


def calendars_of_batch(
    conn: psycopg.Connection, batch: Batch, symbols: Iterable[str], parts: Sequence[Part]
) -> dict[str, str]:
    """Return the calendar of each symbol: of its instrument; of a new part that of the whole; else the stated one."""
    asked = set(symbols)
    wholes = {part.name: part.symbol for part in parts if part.name in asked}
    of_wholes = calendars_of(conn, wholes.values())
    inherited = {name: of_wholes[whole] for name, whole in wholes.items() if whole in of_wholes}
    return dict.fromkeys(asked, batch.reader.calendar) | inherited | calendars_of(conn, asked)
