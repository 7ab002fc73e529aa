"""The series that training and judging walk over: raw bars and splits beside the features known when each was decided on.

A symbol counts on the days on which it belonged to the universe, as that was known at each decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from assets.scope import MarketScope
from feature_store.services import FeatureService
from feature_store.store import FeatureStore
from trading.adapters.market_data import MarketData, SessionBar
from trading.adapters.memberships import memberships
from trading.adapters.postgres import Warehouse
from trading.adapters.warehouse import newest_watermark
from trading.nouns import Bar, Split
from trading.series import MarketSeries, market_series
from trading.windows import Window

if TYPE_CHECKING:
    from pandas import DataFrame

# What of a row is the same in every warehouse that was given the same data: its numbers of rows and watermarks are not.
_OF_ONE_WAREHOUSE = ["row_id", "watermark"]


def training_rows(
    warehouse: Warehouse,
    service: FeatureService,
    source: str,
    symbols: Sequence[str],
    window: Window,
    watermark: int | None = None,
) -> "DataFrame":
    """Return the feature rows of a window, each as it was known when it was decided on, ordered by symbol and time.

    Args:
        watermark: The publication up to which is read; default: the newest.
    """
    frame = FeatureStore(warehouse.url).training_set(
        service, symbols, midnight(window.first), midnight(window.last), watermark=watermark, source=source
    )
    return frame.drop(columns=_OF_ONE_WAREHOUSE)


def members_rows(
    warehouse: Warehouse,
    service: FeatureService,
    scope: MarketScope,
    symbols: Sequence[str],
    window: Window,
    watermark: int | None = None,
) -> "DataFrame":
    """Return `training_rows` of the days on which each symbol was a member, as known when the day was decided on."""
    rows = training_rows(warehouse, service, scope.source, symbols, window, watermark)
    return only_members(warehouse, scope, rows, watermark)


def only_members(
    warehouse: Warehouse, scope: MarketScope, rows: "DataFrame", watermark: int | None = None
) -> "DataFrame":
    """Return the rows of the days on which their symbol was a member, as known at each row's own time.

    Without a named universe all are: a symbol belongs to the built-in one as soon as it has bars.
    """
    if not scope.universe:
        return rows
    with warehouse.connection() as conn:
        known = memberships(conn, scope.universe, newest_watermark(conn) if watermark is None else watermark)
    columns = zip(rows["symbol"], rows["timestamp"], rows["known_at"], strict=True)
    kept = [known.is_member(symbol, at.date(), decided) for symbol, at, decided in columns]
    return rows[kept].reset_index(drop=True)


def series_of(
    warehouse: Warehouse, rows: "DataFrame", scope: MarketScope, window: Window, *, latest: bool = False
) -> list[MarketSeries]:
    """Return one series per symbol of `rows`, with the bars and splits of the window, in the lots of today's instrument.

    Args:
        rows: The days that count; of a named universe, bars of other days are left out.
        latest: Bars and splits in their newest version instead of their first; when each was met stays.
    """
    symbols = sorted(rows["symbol"].unique())
    with warehouse.connection() as conn:
        data = MarketData(scope.source, symbols, "1d", newest_watermark(conn))
        instruments = data.instruments(conn)
        groups = list(data.groups(conn, midnight(window.first), midnight(window.last)))
        splits = data.splits(conn, window.first, window.last, latest=latest)
        restated = data.latest_prices(conn, midnight(window.first), midnight(window.last)) if latest else {}
    met = [bar for group in groups for bar in group.bars.values()]
    adjusted = {bar.bar.symbol for bar in met if bar.adjustment != "raw"}
    moving: list[Split] = [known.split for known in splits if known.split.symbol not in adjusted]
    if scope.universe:
        counted = {(symbol, at.to_pydatetime()) for symbol, at in zip(rows["symbol"], rows["timestamp"], strict=True)}
        met = [bar for bar in met if (bar.bar.symbol, bar.bar.timestamp) in counted]
    found = market_series(rows, [_as_restated(bar, restated) for bar in met], moving)
    return [replace(one, lot_size=instruments[one.symbol].lot_size) for one in found]


def _as_restated(bar: SessionBar, restated: Mapping[tuple[str, datetime], Sequence[Decimal]]) -> Bar:
    found = restated.get((bar.bar.symbol, bar.bar.timestamp))
    if found is None:
        return bar.bar
    opened, high, low, close, volume = found
    return replace(bar.bar, open=opened, high=high, low=low, close=close, volume=volume)


def midnight(day: date) -> datetime:
    """Return the label of a daily bar: 00:00 UTC of its session date."""
    return datetime.combine(day, time(), UTC)
