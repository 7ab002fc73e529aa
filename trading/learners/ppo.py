"""Proximal policy optimisation (arXiv 1707.06347) by Stable-Baselines3, seeded, on one CPU thread.

In: series whose features are as of their own decision times. Out: the policy as a `PolicyNetwork`, and the learner's
own zip to resume from, which nothing that serves ever opens (it is a pickle). Rewards are scaled by their running
deviation inside training only; the environment pays dollars.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trading.costs import Costs
from trading.errors import InputError
from trading.learners.policy_network import PolicyNetwork
from trading.learners.standardisation import Standardisation
from trading.series import MarketSeries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv

Progress = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class PpoConfig:
    """What is learned with. `rollout_steps` x `environments` steps are gathered between two updates.

    The defaults are for the demo, 10 to 20 s per seed on a shared core. They were chosen by the return on the sample's
    training window alone: with fewer passes or a longer horizon most seeds only learn to buy and hold.
    """

    seed: int = 7
    timesteps: int = 60_000
    environments: int = 8
    rollout_steps: int = 256
    batch_size: int = 256
    epochs: int = 8
    learning_rate: float = 1e-3
    gamma: float = 0.9  # ten bars ahead: what the indicators can say anything about
    gae_lambda: float = 0.95
    entropy_weight: float = 0.005
    hidden: tuple[int, ...] = (64, 64)
    episode_bars: int = 252  # one trading year

    def __post_init__(self) -> None:
        """Refuse what would leave an update without a whole batch."""
        if self.rollout_steps * self.environments % self.batch_size:
            raise InputError(
                f"expected rollout_steps x environments ({self.rollout_steps * self.environments}) to be a multiple of "
                f"batch_size ({self.batch_size}); change one of them"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as a run logs it."""
        return {**asdict(self), "hidden": list(self.hidden)}

    def with_seed(self, seed: int) -> PpoConfig:
        """Return the same configuration under another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """What came of training: the policy that serves, and the zip that training may be resumed from."""

    network: PolicyNetwork
    config: PpoConfig
    resume_zip: bytes
    seconds: float
    timesteps: int
    symbols: tuple[str, ...] = field(default=())


def train_ppo(
    series: Sequence[MarketSeries],
    config: PpoConfig | None = None,
    costs: Costs | None = None,
    progress: Progress | None = None,
) -> TrainedPolicy:
    """Learn a policy on `series`; the same series, configuration and numeric environment give the same bits.

    A series of fewer than two bars has nothing to fill at and is left out; `TrainedPolicy.symbols` names those used.

    Raises:
        InputError: no series is left.
    """
    chosen, started = config or PpoConfig(), time.perf_counter()
    series = [one for one in series if len(one) > 1]
    if not series:
        raise InputError("expected at least one symbol with 2 bars to train on, found none; ingest a longer history")
    from stable_baselines3.common.logger import Logger

    with _one_torch_thread():
        learner = _learner(series, chosen, costs or Costs())
        learner.set_logger(Logger(folder=None, output_formats=[]))  # its own would leave a folder in /tmp per training
        learner.learn(total_timesteps=chosen.timesteps, callback=_callback(progress, chosen.timesteps))
        from trading.learners.torch_policy import exported

        network = exported(learner.policy)
        resume = io.BytesIO()
        learner.save(resume, exclude=["env"])
    return TrainedPolicy(
        network=network,
        config=chosen,
        resume_zip=resume.getvalue(),
        seconds=time.perf_counter() - started,
        timesteps=int(learner.num_timesteps),
        symbols=tuple(one.symbol for one in series),
    )


def _learner(series: Sequence[MarketSeries], config: PpoConfig, costs: Costs) -> PPO:
    import torch
    from stable_baselines3 import PPO

    from trading.learners.torch_policy import StandardisedState

    standardisation = Standardisation.fit(np.concatenate([one.states for one in series]))
    return PPO(
        "MlpPolicy",
        _environments(series, config, costs),
        n_steps=config.rollout_steps,
        batch_size=config.batch_size,
        n_epochs=config.epochs,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy_weight,
        seed=config.seed,
        device="cpu",
        policy_kwargs={
            "features_extractor_class": StandardisedState,
            "features_extractor_kwargs": {"standardisation": standardisation},
            "net_arch": list(config.hidden),
            "activation_fn": torch.nn.ReLU,  # exact in IEEE arithmetic; a tanh is not (see policy_network.py)
        },
    )


def _environments(series: Sequence[MarketSeries], config: PpoConfig, costs: Costs) -> VecEnv:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from trading.learners.trading_env import TradingEnv

    def make() -> Monitor:
        return Monitor(TradingEnv(series, costs, episode_bars=config.episode_bars))

    return VecNormalize(DummyVecEnv([make] * config.environments), norm_obs=False, gamma=config.gamma)


def _callback(progress: Progress | None, total: int) -> Any:
    if progress is None:
        return None
    report = progress
    from stable_baselines3.common.callbacks import BaseCallback

    class Report(BaseCallback):  # type: ignore[misc]
        """Says after each rollout how far training has come."""

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            report(int(self.num_timesteps), total)

    return Report()


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Train on one thread: sums in another order are other bits. The process gets its own count back."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
