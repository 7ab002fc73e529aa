"""The labelled corpus of the sentiment head, an honest way to split it, and the measures of a head.

`corpus.csv` was written for this project, sentence by sentence and from templates of our own. An id is
`<family>-<number>`: sentences of one template share a family, a sentence written by itself has its own. The word lists of
cues.py were shaped on all of it, so a grouped split measures new templates but not new words: it flatters. The head is in
head.py; the held-out sentences are in the tests and are never trained on.

Expected calibration error: Guo et al., "On Calibration of Modern Neural Networks" (2017).
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from trading.sentiment.scorers import LABELS, Label

CORPUS_PATH: Final = Path(__file__).with_name("corpus.csv")
TOPICS: Final = (
    "earnings",
    "guidance",
    "deals",
    "lawsuits",
    "products",
    "ratings",
    "macro",
    "people",
    "operations",
)
_ALIKE: Final = 0.6  # share of words in common (Jaccard), figures masked, from which two sentences are one family


@dataclass(frozen=True)
class Sentence:
    """One labelled sentence; the label is an investor's view of the firm or market it speaks of."""

    id: str
    text: str
    label: Label
    topic: str

    @property
    def family(self) -> str:
        """Return the template that the sentence was written from."""
        return self.id.rpartition("-")[0]


@dataclass(frozen=True)
class Split:
    """Sentences to train on and sentences to judge by; no family is in both."""

    train: tuple[Sentence, ...]
    test: tuple[Sentence, ...]


@dataclass(frozen=True)
class Evaluation:
    """How well probabilities fit labels; the confusion has a row per true label, in LABELS' order, as shares of all."""

    count: int
    accuracy: float
    macro_f1: float
    confusion: tuple[tuple[float, ...], ...]
    log_loss: float
    expected_calibration_error: float


def load_corpus(path: Path = CORPUS_PATH) -> tuple[Sentence, ...]:
    """Read a corpus of id, text, label, topic.

    Raises:
        ValueError: a row has an empty text, an unknown label or an unknown topic, or an id comes twice.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        sentences = tuple(_sentence(row) for row in csv.DictReader(lines))
    twice = [name for name, count in Counter(sentence.id for sentence in sentences).items() if count > 1]
    if twice:
        raise ValueError(f"{path.name}: expected each id once, found {', '.join(twice[:5])} again")
    return sentences


def _sentence(row: Mapping[str, str]) -> Sentence:
    if not row["text"].strip() or row["label"] not in LABELS or row["topic"] not in TOPICS:
        raise ValueError(f"sentence {row['id']}: expected a text, a label and a topic of the corpus, found {dict(row)}")
    return Sentence(row["id"], row["text"], cast("Label", row["label"]), row["topic"])


def families(sentences: Sequence[Sentence]) -> list[int]:
    """Number the families: sentences of one template, or with most of their words in common, get one number."""
    parent = list(range(len(sentences)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = at = parent[parent[at]]
        return at

    by_template: dict[str, int] = {}
    for at, sentence in enumerate(sentences):
        parent[root(at)] = root(by_template.setdefault(sentence.family, at))
    for left, right in zip(*np.nonzero(np.triu(_overlap(sentences) >= _ALIKE, k=1)), strict=True):
        parent[root(int(left))] = root(int(right))
    return [root(at) for at in range(len(sentences))]


def _overlap(sentences: Sequence[Sentence]) -> NDArray[np.float64]:
    """Return the Jaccard overlap of the words of every two sentences, figures masked."""
    bags = [set(re.findall(r"[a-z']+|#", re.sub(r"\d[\d.,]*", "#", s.text.lower()))) for s in sentences]
    column = {word: at for at, word in enumerate(sorted(set().union(*bags)))}
    present = np.zeros((len(sentences), len(column)), dtype=np.float32)
    for at, bag in enumerate(bags):
        present[at, [column[word] for word in bag]] = 1.0
    shared = (present @ present.T).astype(np.float64)
    sizes = present.sum(axis=1, dtype=np.float64)
    return np.asarray(shared / np.maximum(sizes[:, None] + sizes[None, :] - shared, 1.0), dtype=np.float64)


def grouped_split(sentences: Sequence[Sentence], *, seed: int, test_share: float = 0.2) -> Split:
    """Split by family: what judges the head is no rewording of what trained it."""
    members: dict[int, list[Sentence]] = defaultdict(list)
    for number, sentence in zip(families(sentences), sentences, strict=True):
        members[number].append(sentence)
    test: list[Sentence] = []
    for at in np.random.default_rng(seed).permutation(len(members)):
        group = list(members.values())[at]
        if len(test) + len(group) <= test_share * len(sentences):
            test.extend(group)
    chosen = {sentence.id for sentence in test}
    return Split(tuple(s for s in sentences if s.id not in chosen), tuple(test))


def evaluate(
    labels: Sequence[Label], probabilities: NDArray[np.float64], *, mix: tuple[float, float, float] | None = None
) -> Evaluation:
    """Judge probabilities by the labels.

    Args:
        labels: The true labels.
        probabilities: One row per label, columns in the order of LABELS.
        mix: Shares of the classes to weight the sentences to, for a test set of another mix than the world's.

    Raises:
        ValueError: there is nothing to judge, or not one row per label.
    """
    if not labels or probabilities.shape != (len(labels), len(LABELS)):
        raise ValueError(f"expected {len(labels)} x {len(LABELS)} probabilities, found {probabilities.shape}")
    true = np.array([LABELS.index(label) for label in labels])
    weights = _weights(true, mix)
    guessed, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    confusion = np.zeros((len(LABELS), len(LABELS)))
    np.add.at(confusion, (true, guessed), weights)
    losses = -np.log(np.maximum(probabilities[np.arange(len(true)), true], 1e-12))
    return Evaluation(
        count=len(labels),
        accuracy=float(np.trace(confusion)),
        macro_f1=_macro_f1(confusion),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        log_loss=float(weights @ losses),
        expected_calibration_error=_calibration_error(guessed == true, sure, weights),
    )


def _weights(true: NDArray[np.intp], mix: tuple[float, float, float] | None) -> NDArray[np.float64]:
    counts = np.bincount(true, minlength=len(LABELS))
    weights = np.array(mix)[true] / counts[true] if mix else np.ones(len(true))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _macro_f1(confusion: NDArray[np.float64]) -> float:
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * np.diag(confusion) / np.maximum(both, 1e-12)))


def _calibration_error(
    right: NDArray[np.bool_], sure: NDArray[np.float64], weights: NDArray[np.float64], bins: int = 10
) -> float:
    """Return the mean gap between how sure the head is and how often it is right, over bins of sureness."""
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(float((weights * (right - sure))[place == at].sum())) for at in range(bins)]
    return float(sum(gaps))
