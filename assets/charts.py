"""Chart bars as an asset: what ingestion advances after each batch, here as a step of its own.

What a chart is lives in trading/chart_bars; which charts are kept, in `marts.charts` (`tradeloom charts`).
"""

import dagster as dg

from assets.ingestion import PRICE_BARS
from assets.warehouse import WAREHOUSE_GROUP
from trading.adapters.chart_bars import advance_charts
from trading.adapters.charts import kept
from trading.adapters.postgres import Warehouse

CHART_BARS = dg.AssetKey(["marts", "chart_bars"])


@dg.asset(key=CHART_BARS, deps=[PRICE_BARS], group_name=WAREHOUSE_GROUP, kinds={"postgres"})
def chart_bars(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Closed bars of every chart that is kept, from trades or finer bars; every version of each."""
    added = sum(one.versions for one in advance_charts(warehouse.url))
    charts = kept(warehouse.url)
    lines = [f"- {one.sentence()}" for one in charts] or ["- no chart is kept: `tradeloom charts add`"]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": added,
            "charts": len(charts),
            "bars": sum(one.bars for one in charts),
            "kept": dg.MetadataValue.md("\n".join(lines)),
        }
    )
