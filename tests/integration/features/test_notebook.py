"""docs/notebooks/feature_store.ipynb: its cells run in order on the sample, and show what the page shows."""

from __future__ import annotations

import json
import re
import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.local.object_store import ObjectStoreSettings
from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.sample import Sample

pytestmark = pytest.mark.engines

run = runpy.run_path(str(Path(__file__).with_name("notebook.py")))["run"]
NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
FILE = Path(__file__).resolve().parents[3] / "docs" / "notebooks" / "feature_store.ipynb"


@pytest.fixture
def sample(built_warehouse: Any, object_store_settings: ObjectStoreSettings) -> Any:
    """A warehouse with the sample's prices and splits, and their features."""
    kind: Any
    given = object_store_settings
    store = ObjectStore(given.endpoint, given.access_key, given.secret_key, given.bucket)
    for kind, months in (("actions", None), ("prices", "2000-01..2005-03")):  # what the page asks about
        ingest(Sample(), kind, now=NOW, database_url=built_warehouse.url, object_store=store, partition=months)
    built_warehouse.advance()
    return built_warehouse


def test_the_cells_run_in_order_and_show_what_the_page_shows(
    sample: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pandas as pd

    monkeypatch.setenv("TRADELOOM_POSTGRES_URL", sample.url)
    monkeypatch.setenv("TRADELOOM_HOME", str(tmp_path))
    cells = json.loads(FILE.read_text())["cells"]
    options = ("display.float_format", None, "display.width", 80, "display.max_colwidth", 50)
    with pd.option_context(*options):  # a cell sets them for its reader
        shown = run(cells)
    told = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    assert [_plain(outputs) for outputs in shown] == [_plain(outputs) for outputs in told]
    assert sum(map(bool, told)) >= 7


def test_the_page_names_no_machine() -> None:
    assert re.search(r"/(?:tmp|home|root|work|Users)/|postgresql://|localhost|127\.0\.0\.1", FILE.read_text()) is None


def _plain(outputs: list[dict[str, Any]]) -> list[str]:
    return ["".join(one.get("text") or one["data"]["text/plain"]) for one in outputs]
