"""The torch half of a policy: the standardisation as a features extractor, and the export of what decides.

Imports torch and Stable-Baselines3 at its top: import this module inside functions only.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from trading.learners.policy_network import PolicyNetwork
from trading.learners.standardisation import CUT, TINY, Standardisation
from trading.strategy import CLOSE, MACD, POSITION, RSI, SENTIMENT, STATE_WIDTH, VOLUME


class StandardisedState(BaseFeaturesExtractor):  # type: ignore[misc]
    """`Standardisation.apply` in torch; its numbers are buffers, so that they are part of the policy's state dict."""

    def __init__(self, observation_space: gymnasium.spaces.Box, standardisation: Standardisation) -> None:
        """Take the statistics of the training window."""
        super().__init__(observation_space, features_dim=STATE_WIDTH)
        for name in ("scales", "mean", "deviation"):
            self.register_buffer(name, torch.from_numpy(getattr(standardisation, name).copy()))

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Return what the layers read, float32[n, 6]."""
        close, volume = observations[:, CLOSE], observations[:, VOLUME]
        columns = {
            CLOSE: close / (close.abs() + self.scales[0]),
            RSI: observations[:, RSI] / 100.0,
            MACD: observations[:, MACD] / (close.abs() + TINY),
            VOLUME: volume / (volume.abs() + self.scales[1]),
            POSITION: observations[:, POSITION],
            SENTIMENT: observations[:, SENTIMENT],
        }
        ratios = torch.stack([columns[index] for index in range(STATE_WIDTH)], dim=1)
        return torch.clamp((ratios - self.mean) / self.deviation, -CUT, CUT)


def exported(policy: ActorCriticPolicy) -> PolicyNetwork:
    """Return what decides: the policy's own layers, without the value's."""
    layers = [*(one for one in policy.mlp_extractor.policy_net if isinstance(one, torch.nn.Linear)), policy.action_net]
    tensors: dict[str, NDArray[np.float32]] = {
        f"standardisation.{name}": _array(buffer) for name, buffer in policy.features_extractor.named_buffers()
    }
    for index, layer in enumerate(layers):
        tensors[f"layers.{index}.weight"] = _array(layer.weight)
        tensors[f"layers.{index}.bias"] = _array(layer.bias)
    return PolicyNetwork(tensors)


def _array(tensor: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.detach().cpu().numpy().astype(np.float32)
    return values
