import warnings
from decimal import Decimal

import numpy as np
import pytest

from trading.backtest import BacktestSettings, run_backtest
from trading.costs import FREE, Costs
from trading.errors import InputError
from trading.learners.trading_env import TradingEnv
from trading.nouns import Action, Decision

CENT = Decimal("0.01")


class Script:
    """The actions of one walk, in order, as a model for the backtest."""

    kind = "script"
    sha256 = ""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = [Action(int(action)) for action in actions]

    def decide(self, vectors: np.ndarray) -> list[Decision]:
        return [Decision(self.actions.pop(0) if self.actions else Action.HOLD, 1.0) for _ in vectors]

    def to_bytes(self) -> bytes:
        return b""


def walk(env: TradingEnv, actions: np.ndarray, **options: object) -> tuple[list[float], Decimal, list[object]]:
    """Walk one episode; return its rewards, its last equity and its fills."""
    env.reset(seed=0, options=options)
    rewards, fills, ended = [], [], False
    for action in actions:
        assert not ended
        _, reward, terminated, ended, info = env.step(action)
        rewards.append(reward)
        fills += [info["fill"]] if info["fill"] else []
        assert not terminated
    assert ended
    return rewards, env.equity_usd, fills


def test_passes_the_checks_of_gymnasium_and_of_stable_baselines(make_world):
    from gymnasium.utils.env_checker import check_env as check_gymnasium
    from stable_baselines3.common.env_checker import check_env as check_stable_baselines

    env = TradingEnv([make_world("AAA"), make_world("BBB", seed=1)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*env.spec.*|.*render.*")
        check_gymnasium(env, skip_render_check=True)
    check_stable_baselines(env)


def test_observation_is_the_raw_state_with_the_position(make_world):
    series = make_world()
    env = TradingEnv([series], FREE)
    seen, _ = env.reset(seed=0)
    assert seen.tolist() == series.states[0].tolist()
    seen, *_ = env.step(Action.BUY)
    assert seen.tolist() == [*series.states[1][:4].tolist(), 1.0, series.states[1][5]]


def test_first_reward_by_hand(make_bar):
    """100,000 at 10 asks for 10,000 shares; the open of 10.10 with 5 bps costs 10.10505 and pays for 9,891."""
    from trading.series import MarketSeries

    bars = (make_bar("AAA", 0, "10", "10"), make_bar("AAA", 1, "10.1", "10.5"))
    env = TradingEnv([MarketSeries("AAA", bars, np.ones((2, 6)) * [10, 50, 0, 1, 0, 0])])
    env.reset(seed=0)
    _, reward, _, truncated, _ = env.step(Action.BUY)
    shares = 9891
    fee = shares * 0.005
    assert truncated
    assert reward == pytest.approx(shares * 10.5 - shares * 10.10505 - fee, abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_rewards_sum_to_final_minus_initial_equity_to_the_cent(make_world, seed):
    series = make_world(bars=60, seed=seed, splits={20: "2", 41: "1.5"})
    env = TradingEnv([series])
    rewards, equity, fills = walk(env, np.random.default_rng(seed).integers(3, size=59))
    assert fills
    assert abs(Decimal(sum(rewards)) - (equity - env.starting_cash_usd)) < CENT / 100


def _same_walk(make_world, seed: int) -> None:
    generator = np.random.default_rng(10_000 + seed)
    bars = int(generator.integers(5, 60))
    ratios = ["2", "0.1", "1.5", "7", "3"]
    splits = {int(index): str(generator.choice(ratios)) for index in generator.integers(1, bars, size=2)}
    series = make_world(bars=bars, seed=seed, splits=splits)
    costs = [Costs(), FREE, Costs(Decimal("0.01"), Decimal(5), Decimal(30))][seed % 3]
    cash = Decimal(int(generator.choice([500, 10_000, 100_000])))
    actions = generator.integers(3, size=bars - 1)
    _, equity, fills = walk(TradingEnv([series], costs, cash), actions)
    result = run_backtest(Script(actions), [series], BacktestSettings(cash, costs))
    assert result.equity_usd[-1] == equity
    assert [(one.side, one.quantity, one.price_usd, one.commission_usd) for one in result.fills] == [
        (one.side, one.quantity, one.price_usd, one.commission_usd) for one in fills
    ]


def test_environment_and_backtest_agree_exactly_over_200_random_walks(make_world):
    for seed in range(200):
        _same_walk(make_world, seed)


@pytest.mark.long
def test_environment_and_backtest_agree_exactly_over_1000_random_walks(make_world):
    for seed in range(200, 1200):
        _same_walk(make_world, seed)


def test_episodes_are_drawn_by_the_seed(make_world):
    env = TradingEnv([make_world(symbol, seed=ord(symbol)) for symbol in "ABCDE"], episode_bars=10)
    drawn = []
    for seed in range(12):
        first, info = env.reset(seed=seed)
        again, same = env.reset(seed=seed)
        assert first.tolist() == again.tolist()
        assert same["symbol"] == info["symbol"]
        drawn.append(info["symbol"])
    assert len(set(drawn)) > 2


def test_an_episode_may_be_named(make_world):
    env = TradingEnv([make_world("A"), make_world("B", seed=1)], episode_bars=5)
    seen, info = env.reset(seed=0, options={"symbol": "B", "start": 7})
    assert info["symbol"] == "B"
    assert seen.tolist() == make_world("B", seed=1).states[7].tolist()
    assert [env.step(0)[3] for _ in range(5)] == [False, False, False, False, True]


def test_series_without_a_next_bar_are_refused(make_world):
    with pytest.raises(InputError, match="2 bars"):
        TradingEnv([make_world(bars=1)])
    with pytest.raises(InputError, match="episodes"):
        TradingEnv([make_world()], episode_bars=0)
