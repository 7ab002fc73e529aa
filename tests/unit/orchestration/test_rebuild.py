"""Which assets and months a rebuild materializes: those below what was changed, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from feature_store.blast_radius import Change, ConsumedSnapshot, Reach
from feature_store.blast_report import BlastRadius
from orchestration.rebuild import ScopeRun, plan_of, the_challenger_kept
from trading.adapters.consumed import ConsumedBacktest
from trading.adapters.registry import VersionInfo
from trading.scope_terms import ScopeTerms

DAY = datetime(2012, 9, 13, tzinfo=UTC)
DERIVED_FROM_BARS = {
    "staging/stg_price_bars",
    "intermediate/int_price_bars__newest",
    "intermediate/int_price_bars__adjusted",
    "marts/market_data",
    "marts/chart_bars",
    "marts/indicators",
    "marts/indicators_extended",
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
        "marts/indicators_extended",
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


LEARNED = {
    "features/training_set",
    "models/trader_daily_baseline",
    "models/trader_daily",
    "reports/evaluation__trader_daily",
}


def under(
    universe: str, asked: list[str], *, differ: int, identity: str = "s", interval: str = "1d"
) -> ConsumedSnapshot:
    read = {"symbols": ["AAPL", "IBM"], "asked_symbols": asked, "interval": interval, "adjustment": "split"}
    return replace(snapshot(0), snapshot_id=identity * 64, universe=universe, days=9, days_differ=differ, **read)  # type: ignore[arg-type]


def runs_of(
    *snapshots: ConsumedSnapshot, what: str = "universe", backtests: tuple[ConsumedBacktest, ...] = ()
) -> list[ScopeRun]:
    return plan_of(BlastRadius(Reach([change(what)], snapshots=list(snapshots)), backtests=list(backtests))).runs


def names(run: ScopeRun) -> set[str]:
    return {key.to_user_string() for key in run.assets}


def test_each_scope_is_made_again_under_what_it_was_asked_for():
    old, newest = under("big", [], differ=3), under("small", ["IBM"], differ=0, identity="t", interval="1h")
    first, second = runs_of(old, newest)
    assert (first.scope.universe, first.scope.symbols, first.scope.interval, first.scope.adjustment) == (
        "big", [], "1d", "split"
    )  # fmt: skip
    assert (second.scope.universe, second.scope.symbols, second.scope.interval) == ("small", ["IBM"], "1h")
    assert names(first) == LEARNED  # though the newest set would be the same
    assert names(second) == {"features/training_set"}


def test_tables_are_made_once_whatever_the_number_of_scopes():
    first, second = runs_of(under("big", [], differ=0), under("", [], differ=0), what="bar")
    assert names(first) == DERIVED_FROM_BARS | {"features/training_set"}
    assert names(second) == {"features/training_set"}


def test_one_scope_with_several_sets_is_one_run():
    (run,) = runs_of(under("big", [], differ=2), under("big", [], differ=0, identity="t"))
    assert names(run) == LEARNED


def test_a_membership_of_the_judging_window_only_walks_it_again():
    scope = ScopeTerms("sample", (), "big")
    backtests = tuple(ConsumedBacktest(str(n), "m", "1", DAY, DAY, scope, "universe", 5, n) for n in (0, 4))
    (run,) = runs_of(backtests=backtests)
    assert (names(run), run.walks_again) == ({"reports/evaluation__trader_daily"}, True)
    assert runs_of(backtests=backtests[:1]) == []


def test_a_set_whose_universe_nobody_noted_is_made_without_one_and_says_so():
    plan = plan_of(BlastRadius(Reach([change()], snapshots=[snapshot(rows_differ=0)])))
    assert plan.runs[0].scope.universe == ""
    assert plan.reasons[0] == (
        "training set ssssssssssss was frozen before its universe was recorded: it is made again without one"
    )


@pytest.mark.parametrize(
    ("own", "ends_at"), [("s", ["2", "1"]), ("t", ["1", "2"]), ("of another scope", ["1", "2", "alias stays"])]
)
def test_the_alias_of_the_challenger_ends_where_its_own_scope_is_made(
    monkeypatch: pytest.MonkeyPatch, own: str, ends_at: list[str]
):
    ran: list[str] = []

    class Registry:
        def __init__(self, uri: str) -> None: ...

        def versions(self, name: str) -> list[VersionInfo]:
            return [VersionInfo(name, "7", ("challenger",), "r", 0, {"snapshot_id": own * 64})]

        def set_alias(self, name: str, alias: str, version: str) -> None:
            ran.append("alias stays")

    monkeypatch.setenv("TRADELOOM_MLFLOW_URL", "http://nobody")
    monkeypatch.setattr("orchestration.rebuild.ModelRegistry", Registry)
    found = BlastRadius(Reach([change()], snapshots=[under("1", [], differ=1), under("2", [], differ=1, identity="t")]))
    with the_challenger_kept(found, plan_of(found).runs) as runs:
        ran += [run.scope.universe for run in runs]
    assert ran == ends_at
    assert names(runs[0]) > DERIVED_FROM_BARS
    assert not DERIVED_FROM_BARS & names(runs[1])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [((), "nothing was changed"), ((change(why="recalled"),), "1 recalled bars: no correction has come")],
)
def test_without_a_correction_nothing_is_rebuilt(changes: tuple[Change, ...], reason: str):
    plan = plan_of(BlastRadius(Reach(list(changes))))
    assert (plan.runs, plan.months, plan.reasons) == ([], {}, [reason])
