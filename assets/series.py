"""The series that training and judging walk over: raw bars and splits beside the features known when each was decided on."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from feature_store.services import FeatureService
from feature_store.store import FeatureStore
from trading.adapters.market_data import MarketData
from trading.adapters.postgres import Warehouse
from trading.series import MarketSeries, market_series
from trading.windows import Window

if TYPE_CHECKING:
    from pandas import DataFrame

# What of a row is the same in every warehouse that was given the same data: its numbers of rows and watermarks are not.
_OF_ONE_WAREHOUSE = ["row_id", "watermark"]


def training_rows(
    warehouse: Warehouse, service: FeatureService, source: str, symbols: Sequence[str], window: Window
) -> "DataFrame":
    """Return the feature rows of a window, each as it was known when it was decided on, ordered by symbol and time."""
    frame = FeatureStore(warehouse.url).training_set(
        service, symbols, midnight(window.first), midnight(window.last), source=source
    )
    return frame.drop(columns=_OF_ONE_WAREHOUSE)


def series_of(warehouse: Warehouse, rows: "DataFrame", source: str, window: Window) -> list[MarketSeries]:
    """Return one series per symbol of `rows`, with the bars and splits of the window."""
    symbols = sorted(rows["symbol"].unique())
    with warehouse.connection() as conn:
        newest = conn.execute("select raw.newest_watermark()").fetchone()
        data = MarketData(source, symbols, "1d", newest[0] if newest else 0)
        groups = list(data.groups(conn, midnight(window.first), midnight(window.last)))
        splits = data.splits(conn, window.first, window.last)
    met = [bar for group in groups for bar in group.bars.values()]
    adjusted = {bar.bar.symbol for bar in met if bar.adjustment != "raw"}
    moving = [known.split for known in splits if known.split.symbol not in adjusted]
    return market_series(rows, [bar.bar for bar in met], moving)


def midnight(day: date) -> datetime:
    """Return the label of a daily bar: 00:00 UTC of its session date."""
    return datetime.combine(day, time(), UTC)
