"""A sentiment head as an MLflow pyfunc, by models-from-code: MLflow runs this file, it is imported by nothing.

In: texts. Out: float64[n], scores in [-1, 1]. The embeddings are WordLlama's, from its wheel.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.head import SentimentHead


class ScoringHead(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Embeds the texts and scores them."""

    def load_context(self, context: Any) -> None:
        """Read the weights and the embedding table."""
        self.head = SentimentHead.from_bytes(Path(context.artifacts["model"]).read_bytes())
        self.embeddings = WordLlamaEmbeddings()

    # Bare classes: MLflow takes any finer annotation here for a schema of its own; the signature says the shape.
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        """Return one score per text, float64[n]; MLflow hands a table of one column over."""
        texts = [str(text) for text in np.asarray(model_input).reshape(-1)]
        return np.array(self.head.scores(texts, self.embeddings.embed_documents(texts)), dtype=np.float64)


mlflow.models.set_model(ScoringHead())
