# mypy: disallow-untyped-decorators=False
"""The oracle over HTTP: /predict, /decide, /version.

Only the HTTP face: what is decided is deciding.py's, which models serve is traders.py's. Nothing is read, loaded or
connected at import. The numeric environment is the workers' own (`envs`): BentoML imports numpy before it makes the
service, so that pinning it in `__init__` would be too late, and the fingerprint a lie.
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

from serving.environment import PINNED_ENVS, prepare_process
from serving.oracle.wire import DecideRequest, Decisions, Prediction, PredictRequest
from serving.refusals import plain_refusals
from serving.trace import TraceMiddleware

_VERSION = Starlette()


@bentoml.service(
    name="oracle",
    workers=1,
    threads=8,
    traffic={"timeout": 30, "max_concurrency": 256},
    logging={"access": {"enabled": False}},
    envs=PINNED_ENVS,
)
@bentoml.asgi_app(_VERSION)
class Oracle:
    """Decides by the model that the registry's alias names."""

    def __init__(self) -> None:
        prepare_process()
        from serving.oracle import bootstrap, metrics

        self._metrics = metrics
        self._oracle = bootstrap.assemble(bootstrap.OracleSettings.from_environment(os.environ))
        _VERSION.router.routes[:] = [Route("/version", self._version_page)]

    @bentoml.on_deployment
    @staticmethod
    def check_settings() -> None:
        """Refuse to start with a missing or wrong setting, once: a worker that fails is only started again, for ever."""
        from serving.oracle.bootstrap import OracleSettings

        OracleSettings.from_environment(os.environ)

    @bentoml.on_startup
    def follow(self) -> None:
        """Begin to follow the alias."""
        self._oracle.follower.start()

    @bentoml.on_shutdown
    def leave(self) -> None:
        """Stop following."""
        self._oracle.follower.stop()

    async def __is_ready__(self) -> bool:
        """Say on /readyz whether decisions can be given, and if not, why."""
        problem = await anyio.to_thread.run_sync(self._oracle.problem)
        if problem is not None:
            raise HTTPException(503, problem)
        return True

    @bentoml.api
    @plain_refusals
    async def predict(self, asked: PredictRequest, /) -> Prediction:
        """Decide on one raw state: [close, rsi, macd, volume, position(, sentiment)]."""
        if asked.model_version is None and asked.alias is None:
            trader = self._oracle.trader(None, None)
        else:  # the registry may have to be asked: not on the event loop
            trader = await anyio.to_thread.run_sync(self._oracle.trader, asked.model_version, asked.alias)
        prediction = self._oracle.predict(trader, asked.state)
        await self._oracle.predictions.keep(trader, asked.state, prediction)
        self._metrics.decided(trader.version, prediction.action)
        return prediction

    @bentoml.api
    @plain_refusals
    def decide(self, asked: DecideRequest, /) -> Decisions:
        """Decide on symbols, reading their features as known at the moment asked for."""
        trader = self._oracle.trader(asked.model_version, asked.alias)
        decisions = self._oracle.decide(trader, asked.requests, is_kept=asked.kept_by_caller)
        for decision in decisions.decisions:
            self._metrics.decided(trader.version, decision.action)
        return decisions

    @bentoml.api
    async def version(self) -> dict[str, Any]:
        """Say which model is served; also as GET."""
        return self._oracle.state()

    async def _version_page(self, _: Request) -> JSONResponse:
        return JSONResponse(self._oracle.state())


Oracle.add_asgi_middleware(TraceMiddleware)  # type: ignore[attr-defined]  # the decorator makes it a Service
