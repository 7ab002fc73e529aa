"""The LangChain face of news retrieval: a retriever that never knows more than was known.

Import it where LangChain is at hand (the analyst); feature_store/vectors.py has the SQL and needs no LangChain.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from feature_store.vectors import Judged, NewsWindow, RetrievedNews, retrieve_nearest, retrieve_newest


class NewsRetriever(BaseRetriever):
    """Retrieves the news of one window, as known at its (as_of, watermark).

    A query gives the `k` nearest items, exactly; an empty query the `k` newest. Each document carries the stored score
    of `judged`, or None. `connect` opens the warehouse for one transaction.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    connect: Callable[[], AbstractContextManager[psycopg.Connection]]
    window: NewsWindow
    judged: Judged
    k: int
    embeddings: Embeddings
    embedding_model: str

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        vector = self.embeddings.embed_query(query) if query.strip() else None
        with self.connect() as conn:
            if vector is None:
                found = retrieve_newest(conn, self.window, self.judged, self.k)
            else:
                found = retrieve_nearest(
                    conn, self.window, self.judged, self.k, vector=vector, embedding_model=self.embedding_model
                )
        return [document_of(item) for item in found]


def document_of(item: RetrievedNews) -> Document:
    """Return a news item as a LangChain document: its text, and everything else as metadata."""
    return Document(
        page_content=item.text,
        metadata={
            "item_id": item.item_id,
            "news_id": item.news_id,
            "source": item.source,
            "headline": item.headline,
            "url": item.url,
            "published_at": item.published_at,
            "known_at": item.known_at,
            "score": item.score,
        },
    )
