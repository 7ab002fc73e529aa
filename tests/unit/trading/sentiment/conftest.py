"""One corpus, one set of vectors and one head for all tests of the sentiment head."""

from pathlib import Path

import pytest

from trading.sentiment.corpus import Sentence, Split, grouped_split, load_corpus
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.head import SentimentHead, train_head

HELDOUT_PATH = Path(__file__).with_name("heldout.csv")


@pytest.fixture(scope="session")
def corpus() -> tuple[Sentence, ...]:
    return load_corpus()


@pytest.fixture(scope="session")
def heldout() -> tuple[Sentence, ...]:
    """Sentences written apart from the corpus, in the mix of real news; never trained on."""
    return load_corpus(HELDOUT_PATH)


@pytest.fixture(scope="session")
def embeddings() -> WordLlamaEmbeddings:
    return WordLlamaEmbeddings()


@pytest.fixture(scope="session")
def split(corpus: tuple[Sentence, ...]) -> Split:
    return grouped_split(corpus, seed=7)


@pytest.fixture(scope="session")
def head(split: Split, embeddings: WordLlamaEmbeddings) -> SentimentHead:
    """A head that has seen the training side of the grouped split only."""
    texts = [sentence.text for sentence in split.train]
    labels = [sentence.label for sentence in split.train]
    return train_head(texts, embeddings.embed_documents(texts), labels, seed=7, embedding_model=embeddings.model)
