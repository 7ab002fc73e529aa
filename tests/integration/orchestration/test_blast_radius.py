"""What Dagster is told of a correction: counts on the batch's materialization, and months that a delivery made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from assets.ingestion import PRICE_BARS, prices
from assets.scope import MarketScope
from feature_store.blast_radius import Change, Reach
from feature_store.blast_report import BlastRadius
from orchestration.rebuild import note_delivery


def told(result: Any) -> dict[str, Any]:
    """The blast radius in the metadata of raw/price_bars."""
    (event,) = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == PRICE_BARS and event.partition in (None, "2023-01-01")
    ]
    prefix = "blast radius: "
    return {name.removeprefix(prefix): value.value for name, value in event.metadata.items() if name.startswith(prefix)}


@pytest.mark.engines
def test_the_materialization_of_a_correction_carries_its_blast_radius(bench: Any) -> None:
    first = told(bench.run(prices))
    assert (first["changes"], first["feature rows"], first["decisions"]) == (0, 0, 0)
    file = bench.folder / "prices.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1].replace(",1000", ",1001"), ""]))
    live = MarketScope(source="files", prices_file=str(file), mode="live")
    second = told(bench.run(prices, scope=live))
    assert second["changes"] == 1
    assert second["feature rows"] == second["decisions"] == 0  # no definition was built here
    assert second["command"] == "tradeloom blast-radius --batch 2 --rebuild"


def test_a_month_that_a_delivery_made_is_noted_once_per_batch() -> None:
    def noted(*batches: int) -> BlastRadius:
        at = datetime(2012, 9, 13, tzinfo=UTC)
        return BlastRadius(
            Reach([Change("bar", "corrected", "s", "A", "1d", at, "k", 1, 2, batch, at, 9, "d") for batch in batches])
        )

    with dg.DagsterInstance.ephemeral() as instance:
        for batches in ((4,), (4,), (5,)):
            note_delivery(instance, PRICE_BARS, ["2012-09-01"], noted(*batches))
        found = instance.fetch_materializations(PRICE_BARS, limit=10).records
        assert [one.asset_materialization.metadata["batch"].value for one in found] == ["5", "4"]  # type: ignore[union-attr]
        assert {one.partition_key for one in found} == {"2012-09-01"}
