"""The sentiment head: a multinomial logistic regression on a text's embedding and its features.

Inference is plain NumPy, one row at a time and summed exactly, so that a text's score has the same bits alone or in any
batch, on any number of threads. The bytes of a head are JSON with hexadecimal floats: no pickle, the same bytes for
the same weights. What is read of a text is in features.py and embeddings.py; the corpus and the honest split are in
corpus.py; registering a head is the business of assets.

Prior shift: Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
Probabilities" (2002).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trading.sentiment.features import BUCKETS, FEATURE_COUNT, FEATURES_VERSION, text_features
from trading.sentiment.scorers import LABELS, Label

_FORMAT: Final = "tradeloom-sentiment-head/1"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeadConfig:
    """How a head is trained.

    The corpus is balanced, news is not: most of it says nothing either way. The intercepts are therefore moved by
    ln(deployed / trained) per class, which turns the posterior under equal classes into the one under `deployed_prior`.
    """

    deployed_prior: tuple[float, float, float] = (0.28, 0.60, 0.12)  # in the order of LABELS
    inverse_l2: float = 0.1  # scikit-learn's C; 0.03 to 0.3 are alike in accuracy, this one is the best calibrated
    embedding_scale: float = 0.1  # per standard deviation; small beside the cues, which generalise better
    hashed_scale: float = 4.0  # the hashed words have length one, so this is their weight beside one cue


@dataclass(frozen=True, eq=False)
class SentimentHead:
    """A trained head: P = softmax(weights @ [embedding, features] + intercepts), a row per label in LABELS' order."""

    weights: Floats
    intercepts: Floats
    embedding_model: str
    features_version: str = FEATURES_VERSION

    def __post_init__(self) -> None:
        if self.features_version != FEATURES_VERSION:
            raise ValueError(
                f"expected features {FEATURES_VERSION}, found {self.features_version}; train the head again"
            )
        if self.weights.shape[0] != len(LABELS) or self.weights.shape[1] <= FEATURE_COUNT:
            raise ValueError(
                f"expected weights of {len(LABELS)} x more than {FEATURE_COUNT}, found {self.weights.shape}"
            )

    @property
    def embedding_width(self) -> int:
        """Return the width of the embeddings that the head reads."""
        return int(self.weights.shape[1]) - FEATURE_COUNT

    @property
    def sha256(self) -> str:
        """Return the hash of the head's bytes, which is its identity."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def probabilities(self, texts: Sequence[str], embeddings: ArrayLike) -> Floats:
        """Return P(positive), P(neutral), P(negative) per text.

        Args:
            texts: The texts themselves: the direction features are read from them.
            embeddings: One vector per text, of `embedding_model`.

        Raises:
            ValueError: a text is empty, or a vector is missing, not finite or of another width.
        """
        inputs = head_inputs(texts, embeddings, self.embedding_width)
        return np.array([self._row(row) for row in inputs]).reshape(len(texts), len(LABELS))

    def scores(self, texts: Sequence[str], embeddings: ArrayLike) -> list[float]:
        """Return P(positive) - P(negative) per text, in [-1, 1]."""
        return [float(row[0] - row[2]) for row in self.probabilities(texts, embeddings)]

    def labels(self, texts: Sequence[str], embeddings: ArrayLike) -> list[Label]:
        """Return the most probable label per text."""
        return [LABELS[int(row.argmax())] for row in self.probabilities(texts, embeddings)]

    def _row(self, row: Floats) -> list[float]:
        # fsum rounds once, so neither the order of the terms nor a BLAS kernel chosen by batch shape can show.
        used = np.flatnonzero(row)
        logits = [
            math.fsum([*(weights[used] * row[used]), intercept])
            for weights, intercept in zip(self.weights, self.intercepts, strict=True)
        ]
        powers = [math.exp(logit - max(logits)) for logit in logits]
        return [power / math.fsum(powers) for power in powers]

    def to_bytes(self) -> bytes:
        """Return the head as JSON with hexadecimal floats: equal heads give equal bytes on any machine."""
        content = {
            "format": _FORMAT,
            "labels": LABELS,
            "embedding_model": self.embedding_model,
            "features_version": self.features_version,
            "intercepts": [value.hex() for value in self.intercepts.tolist()],
            "weights": [[value.hex() for value in row] for row in self.weights.tolist()],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> SentimentHead:
        """Read a head back; the bits of its answers are those of the head that was written.

        Raises:
            ValueError: the bytes are not a head of this format, these labels and these features.
        """
        read = json.loads(content)
        if not isinstance(read, dict) or (read.get("format"), read.get("labels")) != (_FORMAT, list(LABELS)):
            raise ValueError(
                f"expected a head of format {_FORMAT} with labels {', '.join(LABELS)}; train the head again"
            )
        weights = np.array([[float.fromhex(value) for value in row] for row in read["weights"]])
        intercepts = np.array([float.fromhex(value) for value in read["intercepts"]])
        return cls(weights, intercepts, read["embedding_model"], read["features_version"])


def head_inputs(texts: Sequence[str], embeddings: ArrayLike, width: int) -> Floats:
    """Return the head's input, one row per text: its embedding, then its features.

    Raises:
        ValueError: a text is empty, or a vector is missing, not finite or of another width; names the item.
    """
    vectors = np.asarray(embeddings, dtype=np.float64).reshape(len(texts), -1) if len(texts) else np.empty((0, width))
    if vectors.shape[1] != width:
        raise ValueError(f"expected {len(texts)} embeddings of width {width}, found {np.shape(embeddings)}")
    rows = np.empty((len(texts), width + FEATURE_COUNT))
    for at, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        if not text.strip():
            raise ValueError(f"texts[{at}] is empty: expected some text to score; leave the item out")
        if not np.isfinite(vector).all():
            raise ValueError(f"embeddings[{at}] is not finite: embed the text again")
        rows[at] = np.concatenate([vector, text_features(text)])
    return rows


def train_head(
    texts: Sequence[str],
    embeddings: ArrayLike,
    labels: Sequence[Label],
    *,
    seed: int,
    embedding_model: str,
    config: HeadConfig | None = None,
) -> SentimentHead:
    """Fit a head on labelled texts; the same texts in another order give the same head.

    Args:
        texts: The sentences.
        embeddings: One vector per sentence.
        labels: One label per sentence; classes are weighted to be equal.
        seed: Kept with the version. The solver (L-BFGS from zero) draws nothing, so it changes no weight.
        embedding_model: What made the vectors, as stored beside them.
        config: Regularisation, block scales and the prior after training; HeadConfig() by default.

    Raises:
        ValueError: a text is empty, a vector is wrong, or a label is unknown or absent.
    """
    if set(labels) != set(LABELS) or len(labels) != len(texts):
        raise ValueError(f"expected {len(texts)} labels of {', '.join(LABELS)}, found {len(labels)}: {set(labels)}")
    config = config or HeadConfig()
    order = sorted(range(len(texts)), key=lambda at: (texts[at], labels[at]))
    vectors = np.asarray(embeddings, dtype=np.float64).reshape(len(texts), -1)[order]
    inputs = head_inputs([texts[at] for at in order], vectors, vectors.shape[1])
    scales, centre = _scales(inputs, vectors.shape[1], config)
    coefficients, intercepts = _fit(
        (inputs - centre) * scales, [LABELS.index(labels[at]) for at in order], seed, config
    )
    weights = coefficients * scales
    shift = np.log(np.array(config.deployed_prior) * len(LABELS))
    return SentimentHead(weights, intercepts - weights @ centre + shift, embedding_model)


def _scales(inputs: Floats, width: int, config: HeadConfig) -> tuple[Floats, Floats]:
    """Return each input's factor in training, and the embeddings' mean; both are folded into the weights after."""
    scales, centre = np.ones(inputs.shape[1]), np.zeros(inputs.shape[1])
    scales[:width] = config.embedding_scale / np.maximum(inputs[:, :width].std(axis=0), 1e-9)
    scales[-BUCKETS:] = config.hashed_scale
    centre[:width] = inputs[:, :width].mean(axis=0)
    return scales, centre


def _fit(inputs: Floats, classes: list[int], seed: int, config: HeadConfig) -> tuple[Floats, Floats]:
    # Imported here: a service that only scores needs no scikit-learn. One thread, so that its number cannot show.
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = LogisticRegression(C=config.inverse_l2, class_weight="balanced", max_iter=2000, random_state=seed)
    with threadpool_limits(limits=1):
        model.fit(inputs, classes)
    return np.asarray(model.coef_, dtype=np.float64), np.asarray(model.intercept_, dtype=np.float64)
