"""The sentiment heads that the analyst serves: loaded from the registry, their weights verified, tested before use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from serving.following import VersionCache
from trading.errors import ModelError
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.head import SentimentHead
from trading.sentiment.scorers import HEAD_SCORER, HeadScorer, Text, Verdict

if TYPE_CHECKING:
    from trading.adapters.registry import ModelRegistry

_TEST_TEXTS = [
    Text("Quarterly profit rose to a record."),
    Text("The company recalled a product after injuries."),
    Text("The annual meeting is in May."),
]


@dataclass
class RegisteredHeads:
    """The versions of one registered head: a `serving.following.ModelSource`."""

    tracking_url: str
    name: str
    embeddings: WordLlamaEmbeddings = field(default_factory=WordLlamaEmbeddings)

    def resolve(self, alias: str) -> str:
        """Return the version that `alias` names."""
        return str(self._registry.alias(self.name, alias))

    def load(self, version: str) -> HeadScorer:
        """Return one version, its weights verified and its answers tested."""
        loaded = self._registry.load(self.name, version=version)
        try:
            head = SentimentHead.from_bytes(loaded.payload)
        except ValueError as error:
            raise ModelError(f"{self.name} version {version} is no sentiment head: {error}") from error
        scorer = HeadScorer(head, self.embeddings, loaded.version)
        test(scorer)
        return scorer

    @cached_property
    def _registry(self) -> ModelRegistry:
        from trading.adapters.registry import ModelRegistry

        return ModelRegistry(self.tracking_url)


@dataclass(frozen=True)
class PinnedHead:
    """A head by its version, loaded only if something is left to score: stored scores need no registry."""

    version: str
    versions: VersionCache[HeadScorer]
    name: str = HEAD_SCORER

    def score(self, texts: Sequence[Text]) -> list[Verdict]:
        """Return one verdict per text."""
        return self.versions.get(self.version).score(texts)


def test(scorer: HeadScorer) -> None:
    """Score a few fixed texts, alone and together.

    Raises:
        ModelError: a text alone gets another score than among others, or a score is out of range.
    """
    if scorer.score(_TEST_TEXTS) != [scorer.score([text])[0] for text in _TEST_TEXTS]:
        raise ModelError("expected the same scores alone and in a batch, found others; this head cannot be replayed")
