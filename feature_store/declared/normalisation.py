"""The learner's normalisation, as trading/learners does it: statistics of the training window, applied to every row."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from trading.leaks import World, normalisation

if TYPE_CHECKING:
    from pandas import DataFrame


@normalisation(inputs=("features",))
def ppo_normalisation(world: World, fitted_until: datetime) -> DataFrame:
    """Fit on the rows known by `fitted_until`, each as first decided on, and apply to all: what the policy network reads."""
    import numpy as np
    from pandas import DataFrame

    from trading.learners.standardisation import Standardisation
    from trading.strategy import FEATURE_COLUMNS, POSITION, STATE

    frame = world.first_prints("features").dropna(subset=list(FEATURE_COLUMNS)).reset_index(drop=True)
    states = np.insert(frame[list(FEATURE_COLUMNS)].to_numpy(dtype=np.float64), POSITION, 0.0, axis=1)
    fitted = Standardisation.fit(states[(frame["known_at"] <= fitted_until).to_numpy()])
    scaled = DataFrame(fitted.apply(states), columns=list(STATE))
    return frame[["symbol", "timestamp"]].join(scaled)
