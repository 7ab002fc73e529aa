"""The learner's label deals in the lots of its symbol, as training, judging and sessions do."""

import pandas as pd
import pytest

from feature_store.declared.rewards import environment_reward
from trading.leaks import World
from trading.strategy import FEATURE_COLUMNS


def world_of(**columns: object) -> World:
    """A coin at 400,000 USD that opens as it closed and closes at 404,000 the day after."""
    times = pd.to_datetime(["2024-06-01", "2024-06-02"], utc=True).astype("datetime64[us, UTC]")
    prices = {"open": [400_000.0] * 2, "high": [404_000.0] * 2, "low": [400_000.0] * 2, "close": [4e5, 404_000.0]}
    row = {"symbol": "COIN", "timestamp": times, "known_at": times + pd.Timedelta("1D")}
    bars = pd.DataFrame({**row, **prices, "volume": 1.0, **columns})
    return World(bars=bars, features=pd.DataFrame({**row, **dict.fromkeys(FEATURE_COLUMNS, 1.0)}))


def test_a_reward_is_that_of_the_parts_that_a_coin_is_dealt_in() -> None:
    # 100,000 USD pay for 0.24987 coins at 400,200 (5 bps above the open) and the commission of 1 USD.
    paid = 0.24987 * 400_200 + 1
    (reward,) = environment_reward(world_of(lot_size=0.00001))["reward_usd"]
    assert reward == pytest.approx(0.24987 * 404_000 - paid, abs=1e-6)


@pytest.mark.parametrize("columns", [{"lot_size": 1.0}, {}])
def test_in_whole_lots_such_a_coin_is_not_bought(columns: dict[str, float]) -> None:
    assert list(environment_reward(world_of(**columns))["reward_usd"]) == [0.0]


def test_lots_that_another_future_names_are_not_dealt_in() -> None:
    as_it_is, otherwise = world_of(lot_size=0.00001), world_of(lot_size=[0.00001, 0.00002])
    assert environment_reward(as_it_is).equals(environment_reward(otherwise))
