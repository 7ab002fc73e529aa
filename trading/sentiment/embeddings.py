"""Text embeddings for news: WordLlama's 256-wide vectors, from the weights that are inside its wheel.

Offline: nothing is fetched, and a missing weight file is an error rather than a download. Each text is embedded by
itself, so that its vector has the same bits alone, in any batch and beside texts of any length. Where the vectors are
stored is feature_store's business; what is read out of them, head.py's.

WordLlama: https://github.com/dleemiller/WordLlama (mean-pooled token embeddings, no network at inference).
"""

from __future__ import annotations

import importlib.metadata
import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_core.embeddings import Embeddings

if TYPE_CHECKING:
    from wordllama.inference import WordLlamaInference

EMBEDDING_WIDTH: Final = 256


class WordLlamaEmbeddings(Embeddings):
    """LangChain embeddings over WordLlama; the weights are loaded at the first text, once per process."""

    name: Final = f"wordllama-{EMBEDDING_WIDTH}"

    @property
    def version(self) -> str:
        """Return the installed version of WordLlama: the weights come with it."""
        return importlib.metadata.version("wordllama")

    @property
    def model(self) -> str:
        """Return the key under which these vectors are stored: name@version."""
        return f"{self.name}@{self.version}"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, in order.

        Raises:
            ValueError: a text is empty or blank; the message names its place.
        """
        return [_embed(text, f"texts[{at}]") for at, text in enumerate(texts)]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one text: the same as embed_documents gives it.

        Raises:
            ValueError: the text is empty or blank.
        """
        return _embed(text, "the query")


def _embed(text: str, item: str) -> list[float]:
    if not text.strip():
        raise ValueError(f"{item} is empty: expected some text to embed; leave the item out")
    vector: list[float] = _wordllama().embed([text])[0].tolist()
    return vector


@cache
def _wordllama() -> WordLlamaInference:
    # Importing wordllama calls logging.basicConfig(INFO): the process's own logging is put back afterwards.
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    import wordllama
    from wordllama import WordLlama

    root.handlers[:] = handlers
    root.setLevel(level)
    return WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
