"""Which assets and months a rebuild materializes: those below what was changed, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from feature_store.blast_radius import Change, ConsumedSnapshot, Reach
from feature_store.blast_report import BlastRadius
from orchestration.rebuild import plan_of

DAY = datetime(2012, 9, 13, tzinfo=UTC)
DERIVED_FROM_BARS = {
    "staging/stg_price_bars",
    "intermediate/int_price_bars__newest",
    "intermediate/int_price_bars__adjusted",
    "marts/market_data",
    "marts/indicators",
    "features/daily",
}


def change(what: str = "bar", why: str = "corrected", at: datetime = DAY) -> Change:
    return Change(what, why, "sample", "IBM", "1d", at, "k", 1, 2, 4, DAY, 9, "close 1 -> 2")


def snapshot(rows_differ: int) -> ConsumedSnapshot:
    symbols = ["AAPL", "IBM"]
    return ConsumedSnapshot("s" * 64, "f" * 64, "k", "features.daily", "d", "sample", symbols, 7, 100, 10, rows_differ)


def planned(*changes: Change, snapshots: tuple[ConsumedSnapshot, ...] = ()) -> tuple[set[str], dict[str, list[str]]]:
    plan = plan_of(BlastRadius(Reach(list(changes), snapshots=list(snapshots))))
    months = {key.to_user_string(): months for key, months in plan.months.items()}
    return {key.to_user_string() for key in plan.assets}, months


def test_a_corrected_bar_rebuilds_what_derives_from_bars_and_notes_its_month():
    assets, months = planned(change(), change(at=datetime(2012, 11, 1, tzinfo=UTC)), change())
    assert assets == DERIVED_FROM_BARS
    assert months == {"raw/price_bars": ["2012-09-01", "2012-11-01"]}


def test_a_late_split_leaves_what_derives_from_bars_alone():
    assets, months = planned(change("split", "late"))
    assert assets == {
        "staging/stg_corporate_actions",
        "intermediate/int_price_bars__adjusted",
        "marts/indicators",
        "features/daily",
    }
    assert months == {"raw/corporate_actions": ["2012-09-01"]}


def test_a_revised_headline_is_scored_and_its_days_made_and_no_price_is_touched():
    assets, months = planned(change("news"))
    assert assets == {"features/news_embeddings", "features/news_scores", "staging/stg_news_items", "features/daily"}
    assert months == {"raw/news_items": ["2012-09-01"]}


def test_a_training_set_that_freezes_the_same_again_trains_nothing():
    assets, _ = planned(change(), snapshots=(snapshot(rows_differ=0),))
    assert assets == DERIVED_FROM_BARS | {"features/training_set"}


def test_a_training_set_that_would_differ_trains_and_judges_again_on_its_own_symbols():
    plan = plan_of(BlastRadius(Reach([change()], snapshots=[snapshot(rows_differ=3)])))
    assert {key.to_user_string() for key in plan.assets} == DERIVED_FROM_BARS | {
        "features/training_set",
        "models/trader_daily_baseline",
        "models/trader_daily",
        "reports/evaluation__trader_daily",
    }
    (run,) = plan.runs
    assert (run.scope.source, run.scope.symbols) == ("sample", ["AAPL", "IBM"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [((), "nothing was changed"), ((change(why="recalled"),), "1 recalled bars: no correction has come")],
)
def test_without_a_correction_nothing_is_rebuilt(changes: tuple[Change, ...], reason: str):
    plan = plan_of(BlastRadius(Reach(list(changes))))
    assert (plan.runs, plan.months, plan.reasons) == ([], {}, [reason])
