"""The oracle and the analyst as the loop sees them: two HTTP clients that keep their connections open.

What lives here: the wire format of the two questions and their answers. What a late or broken answer means is one line
for people (`EngineUnavailableError`): nothing was written yet, so running again completes the bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import httpx

from trading.errors import EngineUnavailableError, ModelError
from trading.telemetry import TRACE_HEADER, current_trace_id

Json = dict[str, Any]


@dataclass(frozen=True)
class OracleQuestion:
    """What is asked of the model for one symbol: its position sign (-1, 0, 1) and the moment to know it at."""

    symbol: str
    position: int
    as_of: datetime
    watermark: int
    source: str


@dataclass(frozen=True)
class SentimentQuestion:
    """What is asked of the analyst for one symbol: the daily feature's value at `decision_at`, as known at `as_of`."""

    symbol: str
    as_of: datetime
    decision_at: datetime


@dataclass(frozen=True)
class FeatureIdentity:
    """Which feature row was served: enough to find and check it for ever; and its age at read beside its limit."""

    row_id: int
    row_hash: bytes
    timestamp: datetime
    known_at: datetime
    definition: str
    source: str
    sentiment: float | None
    age_sessions: int | None = None
    max_age_sessions: int | None = None


@dataclass(frozen=True)
class OracleAnswer:
    """One decision: action 0, 1 or 2, and what it was made from; None and a `reason` when no feature row was usable."""

    symbol: str
    action: int | None
    confidence: float | None
    vector: tuple[float, ...] | None
    feature_row: FeatureIdentity | None
    reason: str | None
    model_version: str
    weights_sha256: str
    snapshot_id: str | None
    environment: Json


@dataclass(frozen=True)
class SentimentAnswer:
    """The analyst's score in [-1, 1] for one symbol, with the items that made it and who scored them."""

    score: float
    items: tuple[Json, ...]
    scorer: str
    scorer_version: str


class OracleClient:
    """Asks the oracle for the decisions of one bar, all symbols in one request."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        """Open no connection yet; the first question does."""
        self._http = _Service("oracle", url, timeout_seconds)

    def decide(self, questions: Sequence[OracleQuestion], *, model_version: str) -> list[OracleAnswer]:
        """Return one answer per question, in their order.

        Raises:
            EngineUnavailableError: no answer in time.
            ModelError: the oracle refused, or answered for something else than it was asked.
        """
        requests = [
            {
                "symbol": question.symbol,
                "position": question.position,
                "as_of": question.as_of.isoformat(),
                "watermark": question.watermark,
                "source": question.source,
            }
            for question in questions
        ]
        asked = {"requests": requests, "model_version": model_version, "kept_by_caller": True}
        body = self._http.post("/decide", asked)
        answers = [_oracle_answer(answer) for answer in body["decisions"]]
        if [answer.symbol for answer in answers] != [question.symbol for question in questions]:
            raise ModelError(f"expected one answer for each of {[q.symbol for q in questions]}, found {answers}")
        return answers

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> OracleClient:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()


class AnalystClient:
    """Asks the analyst for the sentiment of the symbols of one bar, a few at a time."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0, connections: int = 4) -> None:
        """Open no connection yet; the first question does."""
        self._http = _Service("analyst", url, timeout_seconds)
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="analyst")

    def sentiment(
        self,
        questions: Sequence[SentimentQuestion],
        *,
        watermark: int,
        scorer: str,
        scorer_version: str,
        window_sessions: int,
    ) -> list[SentimentAnswer]:
        """Return one score per question, in their order.

        Raises:
            EngineUnavailableError: no answer in time.
            ModelError: the analyst refused.
        """
        trace_id = current_trace_id()

        def ask(question: SentimentQuestion) -> SentimentAnswer:
            body = {
                "symbol": question.symbol,
                "as_of": question.as_of.isoformat(),
                "decision_at": question.decision_at.isoformat(),
                "watermark": watermark,
                "window_sessions": window_sessions,
                "scorer": scorer,
                "scorer_version": scorer_version,
                "kept_by_caller": True,
            }
            return _sentiment_answer(self._http.post("/sentiment", body, trace_id=trace_id))

        return list(self._pool.map(ask, questions))

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        self._http.close()

    def __enter__(self) -> AnalystClient:
        """Use as a context manager."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()


class _Service:
    """One HTTP service: posts JSON, and turns every failure into one clear line."""

    def __init__(self, name: str, url: str, timeout_seconds: float) -> None:
        self._name, self._url, self._timeout = name, url, timeout_seconds
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds)

    def post(self, path: str, body: Json, *, trace_id: str | None = None) -> Json:
        try:
            answer = self._client.post(path, json=body, headers={TRACE_HEADER: trace_id or current_trace_id()})
        except httpx.TimeoutException as error:
            raise EngineUnavailableError(
                f"expected the {self._name} at {self._url} to answer within {self._timeout:g} s, found silence;"
                " run again"
            ) from error
        except httpx.TransportError as error:
            raise EngineUnavailableError(
                f"expected the {self._name} at {self._url} to answer, found: {error or type(error).__name__}; "
                "start it with `tradeloom up` and run again"
            ) from error
        return self._checked(path, answer)

    def _checked(self, path: str, answer: httpx.Response) -> Json:
        if answer.status_code >= 500 or answer.status_code == 429:
            raise EngineUnavailableError(
                f"expected the {self._name} to answer {path}, found status {answer.status_code}: {_reason(answer)};"
                " run again"
            )
        if answer.status_code >= 400:
            raise ModelError(f"the {self._name} refused {path} with status {answer.status_code}: {_reason(answer)}")
        body: Json = answer.json()
        return body

    def close(self) -> None:
        self._client.close()


def _reason(answer: httpx.Response) -> str:
    return " ".join(answer.text.split())[:300]


def _oracle_answer(body: Json) -> OracleAnswer:
    row, vector, model = body.get("feature_row"), body.get("vector"), body["model"]
    return OracleAnswer(
        symbol=body["symbol"],
        action=body.get("action"),
        confidence=None if body.get("confidence") is None else float(body["confidence"]),
        vector=None if vector is None else tuple(float(number) for number in vector),
        feature_row=None if row is None else _feature_identity(row),
        reason=body.get("reason"),
        model_version=str(model["version"]),
        weights_sha256=model["weights_sha256"],
        snapshot_id=model.get("snapshot_id"),
        environment=body.get("environment") or {},
    )


def _feature_identity(row: Json) -> FeatureIdentity:
    sentiment = row["sentiment"] if "sentiment" in row else row["values"]["sentiment"]
    return FeatureIdentity(
        row_id=int(row["row_id"]),
        row_hash=bytes.fromhex(row["row_hash"]),
        timestamp=datetime.fromisoformat(row["timestamp"]),
        known_at=datetime.fromisoformat(row["known_at"]),
        definition=row["definition"],
        source=row["source"],
        sentiment=None if sentiment is None else float(sentiment),
        age_sessions=row.get("age_sessions"),
        max_age_sessions=row.get("max_age_sessions"),
    )


def _item(item: Json) -> Json:
    """Return an item whose score jsonb gives back to the bit: it knows no negative zero."""
    score = item.get("score")
    return item if score is None else {**item, "score": float(score) + 0.0}


def _sentiment_answer(body: Json) -> SentimentAnswer:
    return SentimentAnswer(
        score=float(body["score"]),
        items=tuple(_item(item) for item in body["items"]),
        scorer=body["scorer"],
        scorer_version=str(body["scorer_version"]),
    )
