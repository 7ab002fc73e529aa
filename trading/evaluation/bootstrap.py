"""Could the lead be luck? The stationary bootstrap of Politis and Romano (1994) on paired daily returns.

Returns cluster, so single days must not be drawn alone: blocks of geometric length (mean `block`) are drawn from the
series laid in a circle. The differences are centred, so the resamples show what a lead of zero looks like.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trading.errors import InputError


def lead_p_value(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    *,
    seed: int,
    resamples: int = 2_000,
    block: float = 10.0,
) -> float:
    """Return the probability of a mean lead at least as great as found, if there were none (one-sided).

    Args:
        ours: Returns per bar, float64[n].
        theirs: Returns on the same bars.
        seed: The draw's seed.
        resamples: Paths drawn; the smallest p that can be found is 1 / (resamples + 1).
        block: Mean length of a block, in bars.

    Raises:
        InputError: the two are not paired, or there are fewer than two bars.
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise InputError(f"expected paired returns of at least 2 bars, found {len(ours)} and {len(theirs)}")
    lead = ours - theirs
    found = lead.mean()
    places = _stationary_places(len(lead), resamples, block, np.random.default_rng(seed))
    drawn = (lead - found)[places].mean(axis=1)
    return float((1 + np.count_nonzero(drawn >= found - 1e-15)) / (resamples + 1))


def _stationary_places(bars: int, resamples: int, block: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return int64[resamples, bars]: each place follows the one before it, or with probability 1/block is drawn
    anew."""
    fresh = generator.integers(bars, size=(resamples, bars))
    breaks = generator.random((resamples, bars)) < 1.0 / block
    places = fresh.copy()
    for bar in range(1, bars):
        places[:, bar] = np.where(breaks[:, bar], fresh[:, bar], (places[:, bar - 1] + 1) % bars)
    return places
