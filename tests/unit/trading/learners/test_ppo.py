import io
from decimal import Decimal

import numpy as np
import pytest

from trading.backtest import BacktestSettings, run_backtest
from trading.costs import FREE
from trading.errors import InputError
from trading.learners.ppo import PpoConfig, train_ppo
from trading.nouns import Action

TINY = PpoConfig(timesteps=2048, environments=4, rollout_steps=128, batch_size=256, epochs=2, episode_bars=60)


def test_a_world_where_the_price_follows_macd_is_learned(make_world):
    """Trained on one world, judged on another: the rule, not the path, must have been learned."""
    config = PpoConfig(timesteps=24_576, environments=8, rollout_steps=128, batch_size=256, epochs=8, gamma=0.9)
    learned = train_ppo([make_world(bars=600, seed=1, macd_leads=True)], config, FREE).network
    unseen = make_world("NEW", bars=300, seed=2, macd_leads=True)
    for position, right in ((0, Action.BUY), (1, Action.SELL)):
        states = np.stack([unseen.state(index, position) for index in range(len(unseen))])
        wrong_side = states[:, 2] > 0 if position == 0 else states[:, 2] < 0
        asked = learned.decide(states)
        hits = [decision.action is right for decision, moves in zip(asked, wrong_side, strict=True) if moves]
        stays = [decision.action is not right for decision, moves in zip(asked, wrong_side, strict=True) if not moves]
        assert sum(hits) / len(hits) > 0.95
        assert sum(stays) / len(stays) > 0.95
    result = run_backtest(learned, [unseen], BacktestSettings(Decimal(100_000), FREE))
    assert result.equity_usd[-1] > 5 * result.equity_usd[0]


def test_same_seed_gives_the_same_weights_and_another_seed_others(make_world):
    series = [make_world("AAA", bars=120), make_world("BBB", bars=120, seed=1)]
    first = train_ppo(series, TINY).network.sha256
    assert train_ppo(series, TINY).network.sha256 == first
    assert train_ppo(series, TINY.with_seed(8)).network.sha256 != first


def test_the_exported_policy_is_torchs_to_1e_6(make_world):
    from stable_baselines3 import PPO

    series = make_world(bars=300, seed=4)
    trained = train_ppo([series], TINY)
    learner = PPO.load(io.BytesIO(trained.resume_zip), device="cpu")
    states = np.stack([series.state(index, index % 2) for index in range(len(series))])
    observed, _ = learner.policy.obs_to_tensor(states)
    theirs = learner.policy.get_distribution(observed).distribution.probs.detach().numpy()
    assert np.abs(trained.network.probabilities(states) - theirs).max() < 1e-6


def test_training_reports_its_progress_and_what_it_was_made_of(make_world):
    seen: list[tuple[int, int]] = []
    trained = train_ppo([make_world(bars=100)], TINY, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(512, 2048), (1024, 2048), (1536, 2048), (2048, 2048)]
    assert trained.timesteps == 2048
    assert trained.symbols == ("AAA",)
    assert trained.config.to_dict()["seed"] == 7


def test_normalisation_comes_from_the_training_rows_only(make_world):
    series = make_world(bars=200)
    part = series.between(series.bars[0].timestamp, series.bars[99].timestamp)
    scales = train_ppo([part], TINY).network.tensors["standardisation.scales"]
    assert scales[0] == np.float32(np.median(part.states[:, 0]))


def test_a_batch_that_does_not_divide_the_rollout_is_refused():
    with pytest.raises(InputError, match="multiple of batch_size"):
        PpoConfig(batch_size=300)


def test_symbols_too_short_to_act_on_are_left_out_by_name(make_world):
    short = make_world("NEW", bars=1)
    assert train_ppo([make_world("AAA", bars=100), short], TINY).symbols == ("AAA",)
    with pytest.raises(InputError, match="longer history"):
        train_ppo([short], TINY)
