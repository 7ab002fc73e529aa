"""A decision model as an MLflow pyfunc, by models-from-code: MLflow runs this file, it is imported by nothing.

In: float64[n, 6], the states in the order of `trading.strategy.STATE`. Out: float64[n, 2], the action and its
confidence. The package `tradeloom` must be installed where it is loaded; no pickle is involved.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from trading.learners.loading import model_from_bytes
from trading.learners.model_card import ModelCard


class DecidingModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Loads the bytes by the card's kind and decides."""

    def load_context(self, context: Any) -> None:
        """Read the card and the weights that lie beside it."""
        card = ModelCard.from_json(Path(context.artifacts["card"]).read_bytes())
        self.model = model_from_bytes(card.kind, Path(context.artifacts["model"]).read_bytes())

    # The bare class: MLflow takes any finer annotation here for a schema of its own; the signature says the shape.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Return action and confidence per state, float64[n, 2]."""
        decisions = self.model.decide(np.asarray(model_input, dtype=np.float64))
        rows = [(float(decision.action), decision.confidence) for decision in decisions]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)


mlflow.models.set_model(DecidingModel())
