"""From raw units to what a network can learn from: statistics of the training window, pooled over its symbols.

    close   c / (|c| + median close)         volume  v / (|v| + median volume)
    rsi     rsi / 100                        macd    macd / (|c| + tiny), the MACD as a fraction of the price

then (x - mean) / deviation of the training rows, cut at +-5. Position and sentiment pass as they are. No symbol is
needed, and only + - * / occur, so the same row has the same bits on any machine. The numbers travel inside the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trading.errors import InputError
from trading.strategy import CLOSE, MACD, POSITION, RSI, SENTIMENT, STATE_WIDTH, VOLUME

CUT = 5.0  # deviations: a price far above the training window's must not saturate the network
TINY = 1e-9
_MARKET = (CLOSE, RSI, MACD, VOLUME)


@dataclass(frozen=True, eq=False)
class Standardisation:
    """The statistics, at float32 because that is what the network is trained on.

    Attributes:
        scales: float32[2], the median close and the median volume.
        mean: float32[6]; 0 for position and sentiment.
        deviation: float32[6]; 1 for position and sentiment, and for a column that never moved.
    """

    scales: NDArray[np.float32]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def fit(cls, states: NDArray[np.float64]) -> Standardisation:
        """Return the statistics of the training rows, float64[n, 6].

        Raises:
            InputError: no row, or closes or volumes that are mostly zero.
        """
        if not len(states):
            raise InputError("expected training rows to standardise by, found none")
        scales = np.array([np.median(states[:, CLOSE]), np.median(states[:, VOLUME])], dtype=np.float32)
        if not (scales > 0).all():
            raise InputError(f"expected positive median close and volume in training, found {scales.tolist()}")
        ratios = _ratios(states, scales.astype(np.float64))
        mean, deviation = np.zeros(STATE_WIDTH), np.ones(STATE_WIDTH)
        for column in _MARKET:
            mean[column] = math.fsum(ratios[:, column]) / len(ratios)
            spread = math.sqrt(math.fsum((ratios[:, column] - mean[column]) ** 2) / len(ratios))
            deviation[column] = spread if spread > TINY else 1.0
        return cls(scales, mean.astype(np.float32), deviation.astype(np.float32))

    def apply(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows a network reads, float64[n, 6]; each from its own row alone."""
        ratios = _ratios(states, self.scales.astype(np.float64))
        rows: NDArray[np.float64] = np.clip((ratios - self.mean) / self.deviation, -CUT, CUT)
        return rows


def _ratios(states: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
    close, volume = states[:, CLOSE], states[:, VOLUME]
    columns: dict[int, NDArray[np.float64]] = {
        CLOSE: close / (np.abs(close) + scales[0]),
        RSI: states[:, RSI] / 100.0,
        MACD: states[:, MACD] / (np.abs(close) + TINY),
        VOLUME: volume / (np.abs(volume) + scales[1]),
        POSITION: states[:, POSITION],
        SENTIMENT: states[:, SENTIMENT],
    }
    return np.stack([columns[index] for index in range(STATE_WIDTH)], axis=1)
