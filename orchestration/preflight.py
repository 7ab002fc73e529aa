"""What can be refused before any step runs: files that cannot be read, names nobody knows, too short a history.

Of files this is before any engine starts, and only they are read; what a single bad row is, the gate says later. What a
vendor delivered is in the warehouse, so it is looked at once that is up.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from assets.scope import MarketScope
from trading.adapters.postgres import connection
from trading.calendar import exchange_sessions
from trading.errors import InputError
from trading.ingestion.candidates import Candidate, parse, span
from trading.ingestion.ports import Source
from trading.ingestion.reader import Kind
from trading.windows import windows_of

_DAYS = """
select distinct timestamp::date from raw.price_bars
where source = %s and interval = %s and (%s::text[] is null or symbol = any(%s)) order by 1
"""
_WAYS_OUT = {
    "unreadable_timestamp": "write days as 2024-06-03",
    "unreadable_number": "write numbers as 1234567.89",
    "too_many_decimals": "round them, or save as Parquet, whose floats are rounded",
}
SAMPLE_DAYS = (date(2000, 3, 1), date(2013, 3, 1))


def examined(scope: MarketScope) -> tuple[date, date]:
    """Return the first and the last day of the scope's data, prices and news together.

    Raises:
        InputError: a file cannot be read or has no row with a date, the calendar or a symbol is unknown, or the history
            is too short to train, judge and replay.
    """
    if scope.source == "sample" and not scope.symbols:
        return SAMPLE_DAYS
    _known_calendar(scope.calendar)
    bars, first, last = _rows_and_days(scope.price_source(), "prices", "timestamp")
    _known_symbols(scope.symbols, bars)
    _long_enough(scope.symbols, bars)
    if scope.source == "sample":
        return SAMPLE_DAYS
    if scope.has("news"):
        _, news_first, news_last = _rows_and_days(scope.news_source(), "news", "published_at")
        first, last = min(first, news_first), max(last, news_last)
    return first, last


def days_there(scope: MarketScope, database_url: str) -> tuple[date, date]:
    """Return the first and the last day of the bars that are there of a vendor.

    Raises:
        InputError: there are none of the scope's symbols, or the history is too short to train, judge and replay.
    """
    asked = scope.symbols or None
    with connection(database_url) as conn:
        found = conn.execute(_DAYS, (scope.source, scope.interval, asked, asked)).fetchall()
        days = [row[0] for row in found]
        if not days:
            raise InputError(
                f"expected bars of {scope.source}, found none; add --symbols A,B --from 2022-01-01 to fetch them first"
            )
        scope.cut(conn)
    return days[0], days[-1]


def _rows_and_days(source: Source, kind: Kind, column: str) -> tuple[list[Candidate], date, date]:
    delivery = source.deliver(kind, None)
    parsed = parse(delivery.payload, delivery.reader)
    found = span(parsed.candidates, column)
    if found is None:
        why = f": {parsed.defects[0].rule}, {parsed.defects[0].detail}" if parsed.defects else ""
        way_out = _WAYS_OUT.get(parsed.defects[0].rule if parsed.defects else "", "check the columns")
        raise InputError(f"expected {kind} with dates in {delivery.name}, found none{why}; {way_out}")
    return parsed.candidates, *found


def _known_calendar(name: str) -> None:
    if name != MarketScope.model_fields["calendar"].default:
        today = datetime.now(UTC).date()
        exchange_sessions(name, today, today)


def _known_symbols(asked: list[str], bars: list[Candidate]) -> None:
    there = {bar.values["symbol"] for bar in bars} - {None}
    if unknown := [symbol for symbol in asked if symbol not in there]:
        shown = ", ".join(sorted(there)[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
        raise InputError(f"expected --symbols among {shown}, found {', '.join(unknown)}")


def _long_enough(asked: list[str], bars: list[Candidate]) -> None:
    """Refuse what is too short even if every row of it is good."""
    wanted = [bar.values for bar in bars if not asked or bar.values["symbol"] in asked]
    windows_of(sorted({values["timestamp"].date() for values in wanted if values["timestamp"] is not None}))
