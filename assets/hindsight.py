"""What hindsight is worth on the judging window: today's members, and the latest versions of bars and features.

The numbers go beside the verdict and into the report; no choice rests on them.
"""

from dataclasses import dataclass

from assets.scope import MarketScope
from assets.series import members_rows, series_of, training_rows
from feature_store.services import FeatureService
from feature_store.store import FeatureStore
from trading.adapters.comparisons import ComparisonTerms, record_comparison
from trading.adapters.postgres import Warehouse
from trading.adapters.warehouse import newest_watermark
from trading.backtest import BacktestSettings
from trading.evaluation.comparison import Comparison, compared
from trading.ports import DecisionModel
from trading.series import MarketSeries


@dataclass(frozen=True)
class Judge:
    """The model that walks the window, under its name, with the features that it reads."""

    name: str
    version: str
    service: FeatureService
    decides: DecisionModel


def hindsight(
    scope: MarketScope, warehouse: Warehouse, judge: Judge, settings: BacktestSettings | None = None
) -> Comparison:
    """Walk the judging window as it was, with today's members and in its latest versions; keep what came of it."""
    with warehouse.connection() as conn:
        cut = scope.cut(conn)
        todays = scope.todays_symbols(conn, cut)
        watermark = newest_watermark(conn)
    window = cut.windows.judging
    rows = members_rows(warehouse, judge.service, scope, cut.symbols, window)
    was = series_of(warehouse, rows, scope, window)
    todays_rows = training_rows(warehouse, judge.service, scope.source, todays, window)
    newest = FeatureStore(warehouse.url).features(judge.service, cut.symbols, source=scope.source)
    same_days = newest.merge(rows[["symbol", "timestamp"]], on=["symbol", "timestamp"])
    latest = series_of(warehouse, same_days, scope, window, latest=True)
    found = compared(judge.decides, was, series_of(warehouse, todays_rows, scope, window), latest, settings)
    terms = ComparisonTerms(
        source=scope.source,
        universe=scope.universe,
        model_name=judge.name,
        model_version=judge.version,
        first_timestamp=rows["timestamp"].min().to_pydatetime(),
        last_timestamp=rows["timestamp"].max().to_pydatetime(),
        members=[one.symbol for one in was],
        todays_members=todays,
        restated_bars=_restated(was, latest),
        watermark=watermark,
    )
    with warehouse.connection() as conn:
        record_comparison(conn, terms, found)
    return found


def metadata_of(found: Comparison) -> dict[str, float]:
    """Return the four differences as metadata, fractions of the starting cash."""
    return {
        "survivorship_buy_and_hold": found.survivorship.buy_and_hold,
        "survivorship_champion": found.survivorship.model,
        "restatement_buy_and_hold": found.restatement.buy_and_hold,
        "restatement_champion": found.restatement.model,
    }


def _restated(was: list[MarketSeries], latest: list[MarketSeries]) -> int:
    newest = {(one.symbol, bar.timestamp): bar for one in latest for bar in one.bars}
    return sum(newest.get((one.symbol, bar.timestamp)) != bar for one in was for bar in one.bars)
