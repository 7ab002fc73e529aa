"""A text's vector has the same bits alone and in any batch, and nothing is fetched or reconfigured to make it."""

import logging
import subprocess
import sys

import pytest

from trading.sentiment.embeddings import EMBEDDING_WIDTH, WordLlamaEmbeddings

TEXTS = [
    "Profit rose.",
    "The company , based in Vaasa , makes pumps and valves for the process industry .",
    "EUR 5.1 mn",
]


def test_a_text_has_the_same_vector_alone_and_in_any_batch(embeddings: WordLlamaEmbeddings) -> None:
    alone = [embeddings.embed_query(text) for text in TEXTS]
    assert embeddings.embed_documents(TEXTS) == alone
    assert embeddings.embed_documents(TEXTS[::-1] * 50)[:3] == alone[::-1]


def test_vectors_have_the_stated_width_and_tell_texts_apart(embeddings: WordLlamaEmbeddings) -> None:
    vectors = embeddings.embed_documents(TEXTS)
    assert {len(vector) for vector in vectors} == {EMBEDDING_WIDTH}
    assert vectors[0] != vectors[1]


def test_model_names_the_installed_version(embeddings: WordLlamaEmbeddings) -> None:
    assert embeddings.model == f"wordllama-256@{embeddings.version}"
    assert embeddings.version.startswith("0.4")


def test_no_texts_give_no_vectors(embeddings: WordLlamaEmbeddings) -> None:
    assert embeddings.embed_documents([]) == []


def test_a_blank_text_is_refused_by_its_place(embeddings: WordLlamaEmbeddings) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\] is empty"):
        embeddings.embed_documents(["Profit rose.", " \n"])
    with pytest.raises(ValueError, match="the query is empty"):
        embeddings.embed_query("")


def test_import_loads_no_weights_and_the_first_text_leaves_logging_alone() -> None:
    script = (
        "import sys, logging, trading.sentiment.embeddings as e; assert 'wordllama' not in sys.modules; "
        "e.WordLlamaEmbeddings().embed_query('Profit rose.'); "
        "assert not logging.getLogger().handlers and logging.getLogger().level == logging.WARNING"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert logging.getLogger().level != logging.INFO
