"""The trace id of a request: taken from its header, in force while it is answered, given back with the answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trading.telemetry import TRACE_HEADER, tracing

_HEADER = TRACE_HEADER.encode()
_LONGEST = 128


class TraceMiddleware:
    """ASGI middleware: logs written while a request is answered carry the caller's trace id, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request under its trace id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), None)
        with tracing(given[:_LONGEST] if given else None) as trace_id:

            async def send_with_trace(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message)[TRACE_HEADER] = trace_id
                await send(message)

            await self._app(scope, receive, send_with_trace)
