"""The mistakes that people make, each planted once: the gate must name the column and the mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame

from trading.leaks import World, feature, label, normalisation, series, split, strategy
from trading.leaks.declaring import declaration_of
from trading.leaks.judging import judge
from trading.leaks.specimen import specimen

PLANTED: list[Leak] = []
BARS = ("bars",)


@dataclass(frozen=True)
class Leak:
    """A definition, the column that leaks, and what the gate should take it for."""

    function: object
    column: str
    kind: str


def leak(column: str, kind: str):
    def planted(function):
        PLANTED.append(Leak(function, column, kind))
        return function

    return planted


def first(world: World) -> DataFrame:
    return world.first_prints()


def by_symbol(bars: DataFrame, column: str = "close"):
    return bars.groupby("symbol")[column]


def rows(bars: DataFrame, **columns) -> DataFrame:
    return bars[["symbol", "timestamp", "decision_at"]].assign(**columns)


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def backward_fill(world: World) -> DataFrame:
    bars = first(world)
    holes = bars["close"].where(bars.groupby("symbol").cumcount() % 7 != 3)
    return rows(bars, value=holes.groupby(bars["symbol"]).bfill())


@leak("value", "whole_column")
@feature(inputs=BARS)
def whole_column_scaler(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, value=(bars["close"] - bars["close"].mean()) / bars["close"].std())


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def centred_window(world: World) -> DataFrame:
    bars = first(world)
    smooth = by_symbol(bars).rolling(5, center=True).mean().droplevel(0)
    return rows(bars, value=smooth)


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def left_labelled_resample(world: World) -> DataFrame:
    weeks = by_symbol(first(world).set_index("timestamp")).resample("W-MON", label="left", closed="left").last()
    return weeks.rename("value").reset_index()


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def shift_minus_one(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, value=by_symbol(bars).shift(-1))


@leak("price", "same_bar_fill")
@strategy(inputs=BARS)
def same_bar_fill(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, action=by_symbol(bars).diff() > 0, price=bars["close"])


@leak("price", "same_bar_fill")
@strategy(inputs=BARS)
def fill_at_the_open_of_the_bar_decided_on(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, action=by_symbol(bars).diff() > 0, price=bars["open"])


@leak("action", "looks_ahead")
@strategy(inputs=BARS)
def decided_by_the_next_close(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, action=by_symbol(bars).shift(-1) > bars["close"], price=by_symbol(bars, "open").shift(-1))


@leak("price", "looks_ahead")
@strategy(inputs=BARS)
def fill_at_the_best_of_the_next_week(world: World) -> DataFrame:
    bars = first(world)
    ahead = pd.concat([by_symbol(bars, "low").shift(-n) for n in range(1, 6)], axis=1)
    return rows(bars, action=True, price=ahead.min(axis=1, skipna=False))


@leak("value", "restatement")
@feature(inputs=BARS)
def restated_price(world: World) -> DataFrame:
    bars = world.newest("bars").assign(decision_at=first(world)["decision_at"])
    return rows(bars, value=by_symbol(bars).pct_change())


@leak("value", "restatement")
@feature(inputs=BARS)
def forward_fill_from_a_revised_row(world: World) -> DataFrame:
    bars = first(world)
    newest = world.newest("bars")["close"].where(bars.groupby("symbol").cumcount() % 5 == 0)
    return rows(bars, value=newest.groupby(bars["symbol"]).ffill())


@leak("value", "restatement")
@feature(inputs=BARS)
def fundamental_joined_by_its_period(world: World) -> DataFrame:
    """The newest version of each bar joined by what it is about: `known_at` ignored, the timestamp used instead."""
    bars = first(world)
    merged = bars[["symbol", "timestamp", "decision_at"]].merge(
        world.newest("bars")[["symbol", "timestamp", "volume"]], on=["symbol", "timestamp"], validate="1:1"
    )
    return merged.rename(columns={"volume": "value"})


@leak("close", "actions")
@series
def later_adjustment_factor(world: World) -> DataFrame:
    """Back-adjusted: each price divided by the splits that came after it."""
    bars = first(world)
    factor = pd.Series(1.0, index=bars.index)
    for split_ in world.actions.query("kind == 'split'").itertuples():
        before = (bars["symbol"] == split_.symbol) & (bars["timestamp"] < split_.ex_date)
        factor[before] /= split_.ratio
    return rows(bars, close=bars["close"] * factor)


@leak("value", "news")
@feature
def back_dated_news(world: World) -> DataFrame:
    """News counted by the day it bears, not by when it could be read."""
    news = world.news.assign(timestamp=world.news["published_at"].dt.normalize())
    scores = news.groupby(["symbol", "timestamp"])["score"].mean()
    bars = first(world)
    return rows(bars, value=scores.reindex(pd.MultiIndex.from_frame(bars[["symbol", "timestamp"]])).to_numpy())


@leak("value", "news")
@feature
def post_dated_news(world: World) -> DataFrame:
    """A headline of after the close put on the day's own row."""
    bars = first(world)
    news = world.news.assign(day=world.news["published_at"].dt.normalize()).groupby(["symbol", "day"])["score"].last()
    return rows(bars, value=[news.get((row.symbol, row.timestamp), 0.0) for row in bars.itertuples()])


@leak("value", "news")
@feature
def sentiment_scored_with_items_published_later(world: World) -> DataFrame:
    bars = first(world)
    mean = world.news.groupby("symbol")["score"].mean()
    return rows(bars, value=bars["symbol"].map(mean))


@leak("(row)", "universe")
@feature
def universe_of_today(world: World) -> DataFrame:
    members = world.newest("universe").groupby("symbol")["is_member"].last()
    bars = first(world)
    bars = bars[bars["symbol"].map(members).fillna(value=False).astype(bool)]
    return rows(bars, value=by_symbol(bars).pct_change())


@leak("(row)", "actions")
@feature
def survivorship_by_delisting_date(world: World) -> DataFrame:
    gone = world.actions.query("kind == 'delisting'")["symbol"]
    bars = first(world)
    bars = bars[~bars["symbol"].isin(gone)]
    return rows(bars, value=bars["close"])


@leak("target", "looks_ahead")
@feature(inputs=BARS)
def target_among_the_features(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, momentum=by_symbol(bars).pct_change(5), target=by_symbol(bars).pct_change().shift(-1))


@leak("value", "fitted_later")
@normalisation
def normalisation_fitted_on_the_test_window(world: World, fitted_until) -> DataFrame:
    frame = world.first_prints("features")
    return frame[["symbol", "timestamp"]].assign(value=frame["rsi_14"] / frame["rsi_14"].max())


@leak("sessions_to_go", "sessions")
@feature
def calendar_that_knows_an_unscheduled_closing(world: World) -> DataFrame:
    sessions = world.newest("sessions")
    days = sessions.loc[sessions["is_open"], "session_date"].to_numpy()
    bars = first(world)
    ahead = np.searchsorted(days, (bars["timestamp"] + pd.Timedelta(days=14)).to_numpy())
    return rows(bars, sessions_to_go=ahead - np.searchsorted(days, bars["timestamp"].to_numpy()))


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def interpolated_holes(world: World) -> DataFrame:
    bars = first(world)
    holes = bars["close"].where(bars.groupby("symbol").cumcount() % 6 != 2)
    return rows(bars, value=holes.groupby(bars["symbol"]).transform(lambda one: one.interpolate()))


@leak("value", "whole_column")
@feature(inputs=BARS)
def rank_over_the_whole_column(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, value=by_symbol(bars).rank(pct=True))


@leak("value", "whole_column")
@feature(inputs=BARS)
def mean_of_all_time_by_symbol(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, value=bars["close"] / by_symbol(bars).transform("mean"))


@leak("part", "mixed_split")
@split(inputs=BARS)
def random_shuffle(world: World) -> DataFrame:
    bars = first(world)
    draw = np.random.default_rng(1).random(len(bars))
    return rows(bars, part=np.where(draw < 0.8, "train", "test"))


@leak("part", "mixed_split")
@split(horizon=5, inputs=BARS)
def split_without_an_embargo(world: World) -> DataFrame:
    bars = first(world)
    middle = bars["timestamp"].quantile(0.7)
    return rows(bars, part=np.where(bars["timestamp"] < middle, "train", "test"))


@leak("value", "whole_column")
@feature(inputs=BARS)
def global_minimum_and_maximum(world: World) -> DataFrame:
    bars = first(world)
    low, high = bars["low"].min(), bars["high"].max()
    return rows(bars, value=(bars["close"] - low) / (high - low))


@leak("forward_return", "horizon")
@label(horizon=1, inputs=BARS)
def label_that_looks_further_than_it_says(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, forward_return=by_symbol(bars).shift(-5) / bars["close"] - 1.0)


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def merge_asof_forward(world: World) -> DataFrame:
    bars = first(world).sort_values("timestamp", kind="stable")
    weekly = bars[bars["timestamp"].dt.day_of_week == 4][["symbol", "timestamp", "close"]]
    merged = pd.merge_asof(
        bars[["symbol", "timestamp", "decision_at"]], weekly, on="timestamp", by="symbol", direction="forward"
    )
    return merged.rename(columns={"close": "value"})


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def rolling_with_the_wrong_offset(world: World) -> DataFrame:
    """The window ends a bar too late: rolled, then shifted back."""
    bars = first(world)
    mean = by_symbol(bars).rolling(3, closed="both", min_periods=1).mean().droplevel(0)
    return rows(bars, value=mean.groupby(bars["symbol"]).shift(-1))


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def forward_indexer(world: World) -> DataFrame:
    bars = first(world)
    window = pd.api.indexers.FixedForwardWindowIndexer(window_size=3)
    return rows(
        bars, value=bars.groupby("symbol")["close"].transform(lambda one: one.rolling(window, min_periods=1).max())
    )


@leak("value", "not_repeatable")
@feature(inputs=BARS)
def unseeded_noise(world: World) -> DataFrame:
    bars = first(world)
    return rows(bars, value=bars["close"] + np.random.default_rng().normal(size=len(bars)))


@leak("(row)", "fails_without_future")
@feature(inputs=BARS)
def looks_a_future_row_up(world: World) -> DataFrame:
    bars = first(world)
    last = bars.set_index("timestamp")["close"].loc["2019-08-23"].iloc[0]
    return rows(bars, value=bars["close"] / last)


@leak("value", "whole_column")
@feature(inputs=BARS)
def principal_direction_of_all_rows(world: World) -> DataFrame:
    bars = first(world)
    matrix = bars[["open", "close", "volume"]].to_numpy()
    direction = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)[2][0]
    return rows(bars, value=matrix @ direction)


@leak("value", "late_bar")
@feature(inputs=BARS)
def late_bar_taken_as_if_on_time(world: World) -> DataFrame:
    """A bar that came two sessions late is in the windows of the sessions that did not have it."""
    bars = world.newest("bars").drop_duplicates(["symbol", "timestamp"])
    bars = bars.assign(decision_at=bars["timestamp"] + pd.Timedelta(hours=21, minutes=15))
    bars = bars[bars["symbol"] == "EEE"]
    original = world.first_prints().set_index(["symbol", "timestamp"])["close"]
    closes = bars.set_index(["symbol", "timestamp"]).index.map(original).to_numpy(dtype=float)
    return rows(bars, value=pd.Series(closes, index=bars.index).rolling(3).mean())


@leak("value", "looks_ahead")
@feature(inputs=BARS)
def warm_up_filled_from_behind(world: World) -> DataFrame:
    bars = first(world)
    means = by_symbol(bars).rolling(27).mean().droplevel(0)
    return rows(bars, value=means.groupby(bars["symbol"]).bfill(limit=3))


@leak("value", "late_bar")
@feature(inputs=BARS)
def decided_before_a_late_bar_came(world: World) -> DataFrame:
    """Without decision_at a row is decided on when its own bar was known, the late one before it or not."""
    bars = first(world)
    return bars[["symbol", "timestamp"]].assign(value=by_symbol(bars).diff())


@leak("value", "restatement")
@feature(inputs=BARS)
def restated_open(world: World) -> DataFrame:
    newest = world.newest("bars")[["symbol", "timestamp", "open"]].rename(columns={"open": "value"})
    bars = first(world)
    return rows(bars, value=bars.merge(newest, how="left", on=["symbol", "timestamp"])["value"])


@leak("value", "restatement")
@feature(inputs=("features",))
def feature_row_in_its_newest_version(world: World) -> DataFrame:
    newest = world.newest("features").set_index(["symbol", "timestamp"])["rsi_14"]
    made = world.first_prints("features")
    return rows(made, value=newest.reindex(pd.MultiIndex.from_frame(made[["symbol", "timestamp"]])).to_numpy())


@leak("value", "restatement")
@normalisation(inputs=("features",))
def normalisation_fitted_on_revised_rows(world: World, fitted_until) -> DataFrame:
    newest = world.newest("features")
    seen = newest.loc[newest["timestamp"] <= fitted_until, "close"]
    made = world.first_prints("features")
    return rows(made, value=(made["close"] - seen.mean()) / seen.std())


@leak("is_member", "universe")
@feature(inputs=("bars", "universe"))
def membership_by_its_date_alone(world: World) -> DataFrame:
    bars = first(world).sort_values("timestamp", kind="stable")
    changes = world.newest("universe").sort_values("effective_date", kind="stable")
    return pd.merge_asof(
        bars[["symbol", "timestamp", "decision_at"]], changes[["symbol", "effective_date", "is_member"]],
        left_on="timestamp", right_on="effective_date", by="symbol",
    ).drop(columns="effective_date")  # fmt: skip


SEEN: list[DataFrame] = []


@leak("value", "keeps_state")
@feature(inputs=BARS)
def remembers_the_largest_world(world: World) -> DataFrame:
    bars = first(world)
    if not SEEN or len(SEEN[0]) < len(bars):
        SEEN[:] = [bars]
    later = by_symbol(SEEN[0]).shift(-1)
    known = SEEN[0].assign(value=later)[["symbol", "timestamp", "value"]]
    return rows(bars).merge(known, on=["symbol", "timestamp"], how="left")


@pytest.fixture(scope="module")
def market() -> World:
    return specimen()


def test_there_are_at_least_twenty_and_the_page_lists_them():
    assert len(PLANTED) >= 20
    page = (Path(__file__).parents[4] / "docs" / "leak-gate.md").read_text()
    rows = {f"| {one.function.__name__.replace('_', ' ')} | `{one.kind}` |" for one in PLANTED}
    assert rows == set(re.findall(r"^\| [a-z ]+ \| `[a-z_]+` \|$", page, re.MULTILINE))


@pytest.mark.parametrize("planted", PLANTED, ids=lambda one: one.function.__name__)
def test_a_planted_leak_is_caught_and_named(planted: Leak, market: World):
    declared = declaration_of(planted.function)
    assert declared is not None
    found = {finding.column: finding for finding in judge(declared, market).findings}
    assert planted.column in found, found
    finding = found[planted.column]
    assert finding.kind == planted.kind, finding
    assert finding.remedy
    assert finding.changed_rows >= 1
    assert finding.symbol in finding.sentence()
