"""docs/features.md says what the registry of a fresh build says."""

from pathlib import Path

import pytest

from feature_store.indicator_pages.page import BARS_THEMSELVES, SUBJECTS, is_current, made_files
from feature_store.pages import features_page
from trading.adapters.postgres import connection

pytestmark = pytest.mark.engines

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = DOCS / "features.md"


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


def test_the_pages_of_the_indicators_are_current_and_their_plots_show_the_numbers_that_sql_gives(built_url: str):
    with connection(built_url) as conn:
        made = made_files(conn)
    stale = [str(path) for path, text in made.items() if not is_current(DOCS / path, text)]
    assert stale == [], "run: tradeloom features docs --indicators docs"
    left = {path.relative_to(DOCS) for path in (DOCS / "indicators").iterdir()} - made.keys()
    assert left == set(), "no page is left of an indicator that is gone"


def test_every_column_of_the_indicators_is_on_exactly_one_page(built_url: str):
    with connection(built_url) as conn:
        found = conn.execute(
            "select view, unnest(columns) from features.definitions where view like 'marts.%'"
        ).fetchall()
    told = [(subject.view, column) for subject in SUBJECTS for column in subject.columns]
    assert len(told) == len(set(told))
    assert set(told) == {(view, column) for view, column in found if column not in BARS_THEMSELVES}
