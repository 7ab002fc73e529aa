"""How a service says no: a status and one line, in the body that every error of ours has, {"error": ...}.

BentoML hides the reason of a 5xx and wraps that of a 4xx in a list; a service method that carries `@plain_refusals`
answers with the reason itself.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar, cast

from starlette.responses import JSONResponse

from trading.errors import EngineError, IdentityError, InputError, ModelAnswerError, ModelError

P = ParamSpec("P")
T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class NotReady(Exception):
    """The service cannot answer now; the message says what it waits for."""


def plain_refusals(method: Callable[P, T]) -> Callable[P, T]:
    """Return `method` answering refusals as JSON; works on plain and on async methods."""
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def answer_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return await method(*args, **kwargs)
            except _REFUSED as refused:
                return refusal(refused)

        return cast("Callable[P, T]", answer_async)

    @functools.wraps(method)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return method(*args, **kwargs)
        except _REFUSED as refused:
            return refusal(refused)

    return cast("Callable[P, T]", answer)


def refusal(refused: Exception) -> JSONResponse:
    """Return the answer that says why not."""
    status = next(status for kind, status in _STATUS.items() if isinstance(refused, kind))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("refused", extra={"status": int(status), "reason": str(refused)})
    return JSONResponse({"error": str(refused)}, status_code=status)


# The caller's mistake is a 4xx; what a later try may mend, or what must not serve, is a 503.
_STATUS: dict[type[Exception], HTTPStatus] = {
    InputError: HTTPStatus.BAD_REQUEST,
    ModelAnswerError: HTTPStatus.BAD_GATEWAY,
    ModelError: HTTPStatus.NOT_FOUND,
    IdentityError: HTTPStatus.SERVICE_UNAVAILABLE,
    EngineError: HTTPStatus.SERVICE_UNAVAILABLE,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
}
_REFUSED = tuple(_STATUS)
