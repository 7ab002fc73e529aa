"""No false alarm: what is right passes, on a market in which everything happens that leaks."""

import pandas as pd
import pytest
from pandas import DataFrame

from trading.errors import InputError
from trading.leaks import World, feature, label, normalisation, series, split, strategy
from trading.leaks.declaring import declaration_of
from trading.leaks.judging import judge
from trading.leaks.specimen import specimen

BARS = ("bars",)


def rows(bars: DataFrame, **columns) -> DataFrame:
    return bars[["symbol", "timestamp", "decision_at"]].assign(**columns)


@feature(inputs=BARS)
def trailing(world: World) -> DataFrame:
    bars = world.first_prints()
    closes = bars.groupby("symbol")["close"]
    return rows(
        bars,
        return_5d=closes.pct_change(5),
        mean_20=closes.rolling(20).mean().droplevel(0),
        rank_so_far=closes.expanding().rank().droplevel(0),
        ema=closes.transform(lambda one: one.ewm(span=12, adjust=False).mean()),
    )


@feature(inputs=BARS)
def weekly_by_its_end(world: World) -> DataFrame:
    closes = world.first_prints().set_index("timestamp").groupby("symbol")["close"]
    return closes.resample("W-FRI", label="right", closed="right").last().rename("value").reset_index()


@feature(inputs=("bars", "news"))
def news_known_by_the_decision(world: World) -> DataFrame:
    bars = world.first_prints().sort_values("decision_at", kind="stable")
    news = world.news.sort_values("known_at", kind="stable")
    scores = news.assign(value=news.groupby("symbol")["score"].transform(lambda one: one.expanding().mean()))
    return pd.merge_asof(
        bars[["symbol", "timestamp", "decision_at"]], scores[["symbol", "known_at", "value"]],
        left_on="decision_at", right_on="known_at", by="symbol",
    ).drop(columns="known_at")  # fmt: skip


@feature(inputs=("bars", "universe"))
def membership_as_of(world: World) -> DataFrame:
    bars = world.first_prints().sort_values("decision_at", kind="stable")
    changes = world.universe.sort_values("known_at", kind="stable")
    return pd.merge_asof(
        bars[["symbol", "timestamp", "decision_at"]], changes[["symbol", "known_at", "is_member"]],
        left_on="decision_at", right_on="known_at", by="symbol",
    ).drop(columns="known_at")  # fmt: skip


@feature(inputs=("bars", "sessions"))
def sessions_ahead_as_scheduled_then(world: World) -> DataFrame:
    bars = world.first_prints()
    bars = bars[bars["symbol"] == "AAA"].iloc[52:60]  # around the first unforeseen closing
    counts = []
    for moment in bars["decision_at"]:
        sessions = world.as_of(moment).sessions
        ahead = sessions[(sessions["session_date"] > moment) & sessions["is_open"]]
        counts.append(int((ahead["session_date"] <= moment + pd.Timedelta(days=14)).sum()))
    return rows(bars, sessions_ahead=counts)


@series
def forward_adjusted(world: World) -> DataFrame:
    bars = world.first_prints()
    factor = pd.Series(1.0, index=bars.index)
    for one in world.actions.query("kind == 'split'").itertuples():
        factor[(bars["symbol"] == one.symbol) & (bars["timestamp"] >= one.ex_date)] *= one.ratio
    return rows(bars, close=bars["close"] * factor)


@label(horizon=5, inputs=BARS)
def five_bars_ahead(world: World) -> DataFrame:
    bars = world.first_prints()
    closes = bars.groupby("symbol")["close"]
    return rows(bars, forward_return=closes.shift(-5) / bars["close"] - 1.0)


@normalisation
def scaled_by_the_training_window(world: World, fitted_until) -> DataFrame:
    frame = world.first_prints("features")
    seen = frame.loc[frame["known_at"] <= fitted_until, "rsi_14"]
    return frame[["symbol", "timestamp"]].assign(value=(frame["rsi_14"] - seen.mean()) / seen.std())


@strategy(inputs=BARS)
def filled_at_the_next_open(world: World) -> DataFrame:
    bars = world.first_prints()
    by_symbol = bars.groupby("symbol")
    return rows(bars, action=by_symbol["close"].diff() > 0, price=by_symbol["open"].shift(-1))


@split(horizon=5, inputs=BARS)
def cut_by_time_with_an_embargo(world: World) -> DataFrame:
    bars = world.first_prints()
    place = bars["timestamp"].rank(method="dense")
    kept = bars[(place <= 90) | (place > 105)]
    return rows(kept, part=(place[kept.index] <= 90).map({True: "train", False: "test"}))


CLEAN = [
    trailing,
    weekly_by_its_end,
    news_known_by_the_decision,
    membership_as_of,
    sessions_ahead_as_scheduled_then,
    forward_adjusted,
    five_bars_ahead,
    scaled_by_the_training_window,
    filled_at_the_next_open,
    cut_by_time_with_an_embargo,
]


@pytest.fixture(scope="module")
def market() -> World:
    return specimen()


@pytest.mark.parametrize("function", CLEAN, ids=lambda one: one.__name__)
def test_what_uses_the_past_only_passes(function, market: World):
    declared = declaration_of(function)
    assert declared is not None
    report = judge(declared, market)
    assert report.passed, report.sentences()
    assert report.rows >= 7
    assert report.columns


def test_the_specimen_is_the_same_each_time():
    one, two = specimen(), specimen()
    for name, frame in one.frames().items():
        pd.testing.assert_frame_equal(frame, two.frames()[name])


def test_nothing_of_what_was_known_differs_in_another_future(market: World):
    at = market.bars["known_at"].median()
    other = market.scrambled(at, 7)
    for name, frame in market.frames().items():
        known = frame["known_at"] <= at
        pd.testing.assert_frame_equal(frame[known], other.frames()[name][known])
        later = frame[~known].drop(columns="known_at")
        assert later.empty or not later.equals(other.frames()[name][~known].drop(columns="known_at")), name


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, r"expected .* a DataFrame with symbol and timestamp, found NoneType"),
        (DataFrame({"symbol": ["A"], "value": [1.0]}), "found symbol, value"),
        (DataFrame({"symbol": ["A"], "timestamp": [pd.Timestamp("2019-01-02")]}), "expected zoned timestamps"),
        (DataFrame({"symbol": ["A"] * 2, "timestamp": [pd.Timestamp("2019-01-02", tz="UTC")] * 2}), "A'.* twice"),
        (
            DataFrame({"symbol": ["A"], "timestamp": [pd.Timestamp("2019-01-02", tz="UTC")]}),
            "expected at least one column of values of odd, found symbol, timestamp only",
        ),
        (DataFrame({"symbol": [], "timestamp": pd.DatetimeIndex([], tz="UTC")}), "that can be judged, found 0 rows"),
    ],
)
def test_an_answer_that_cannot_be_judged_is_refused_in_one_line(made, said: str, market: World):
    @feature
    def odd(world: World) -> DataFrame:
        return made

    with pytest.raises(InputError, match=said):
        judge(declaration_of(odd), market)


def test_a_definition_that_exits_is_refused_in_one_line(market: World):
    @feature
    def leaving(world: World) -> DataFrame:
        raise SystemExit(0)

    with pytest.raises(InputError, match="expected leaving to return rows, found SystemExit: 0"):
        judge(declaration_of(leaving), market)


def test_a_definition_is_handed_the_inputs_it_declares_and_no_others(market: World):
    @feature(inputs=("bars",))
    def greedy(world: World) -> DataFrame:
        assert world.news.empty
        return trailing(world)

    assert judge(declaration_of(greedy), market).passed


def test_an_unknown_input_is_refused():
    with pytest.raises(InputError, match=r"expected inputs of bars, .* found tea_leaves"):
        feature(inputs=("tea_leaves",))
