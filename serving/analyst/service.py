# mypy: disallow-untyped-decorators=False
"""The analyst over HTTP: /sentiment, /score, /version.

Only the HTTP face: what is judged is judging.py's, which heads serve is heads.py's. Nothing is read, loaded or
connected at import.
"""

from __future__ import annotations

import os
from typing import Any

import anyio.to_thread
import bentoml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.analyst.wire import ScoreRequest, Scores, Sentiment, SentimentRequest
from serving.environment import PINNED_ENVS, prepare_process
from serving.refusals import plain_refusals
from serving.trace import TraceMiddleware

_VERSION = Starlette()


@bentoml.service(
    name="analyst",
    workers=1,
    threads=8,
    traffic={"timeout": 60, "max_concurrency": 256},
    logging={"access": {"enabled": False}},
    envs=PINNED_ENVS,
)
@bentoml.asgi_app(_VERSION)
class Analyst:
    """Says what the news means for a symbol, as of any moment."""

    def __init__(self) -> None:
        prepare_process()
        from serving.analyst import bootstrap, metrics

        self._metrics = metrics
        self._analyst = bootstrap.assemble(bootstrap.AnalystSettings.from_environment(os.environ))
        _VERSION.router.routes[:] = [Route("/version", self._version_page)]

    @bentoml.on_deployment
    @staticmethod
    def check_settings() -> None:
        """Refuse to start with a missing or wrong setting, once: a worker that fails is only started again, for ever."""
        from serving.analyst.bootstrap import AnalystSettings

        AnalystSettings.from_environment(os.environ)

    @bentoml.on_startup
    def follow(self) -> None:
        """Begin to follow the alias."""
        self._analyst.follower.start()

    @bentoml.on_shutdown
    def leave(self) -> None:
        """Stop following."""
        self._analyst.follower.stop()

    async def __is_ready__(self) -> bool:
        """Say on /readyz whether a sentiment can be given, and if not, why."""
        problem = await anyio.to_thread.run_sync(self._analyst.problem)
        if problem is not None:
            raise HTTPException(503, problem)
        return True

    @bentoml.api
    @plain_refusals
    def sentiment(self, asked: SentimentRequest, /) -> Sentiment:
        """Give a symbol's sentiment as known at the moment asked for."""
        sentiment = self._analyst.sentiment(asked)
        if not asked.kept_by_caller:
            self._analyst.keep(asked, sentiment)
        self._metrics.sentiments().labels(sentiment.scorer, "items" if sentiment.items else "nothing").inc()
        return sentiment

    @bentoml.api
    @plain_refusals
    def score(self, asked: ScoreRequest, /) -> Scores:
        """Score texts, each by itself."""
        scores = self._analyst.score(asked)
        self._analyst.scorings.keep(asked.texts, scores)
        for label in scores.labels:
            self._metrics.texts().labels(label).inc()
        return scores

    @bentoml.api
    async def version(self) -> dict[str, Any]:
        """Say which head is served; also as GET."""
        return self._analyst.state()

    async def _version_page(self, _: Request) -> JSONResponse:
        return JSONResponse(self._analyst.state())


Analyst.add_asgi_middleware(TraceMiddleware)  # type: ignore[attr-defined]  # the decorator makes it a Service
