"""docs/features.md says what the registry of a fresh build says."""

from pathlib import Path

import pytest

from feature_store.pages import features_page
from trading.adapters.postgres import connection

pytestmark = pytest.mark.engines

PAGE = Path(__file__).resolve().parents[3] / "docs" / "features.md"


def test_the_page_of_the_features_is_current(built_url: str):
    with connection(built_url) as conn:
        made = features_page(conn)
    assert PAGE.read_text() == made, "run: tradeloom features docs > docs/features.md"


def test_every_feature_has_words_a_unit_and_a_place(built_url: str):
    with connection(built_url) as conn:
        rows = conn.execute(
            "select d.view, f.name from features.definitions as d cross join lateral unnest(d.columns) as f (name)"
            " left join features.described as w on w.definition = d.definition and w.feature = f.name"
            " where w.description = '' or w.unit = '' or w.warm_up_bars = 0 or w.feature is null"
        ).fetchall()
    assert rows == []
