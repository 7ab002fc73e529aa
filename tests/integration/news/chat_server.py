"""A local server that speaks OpenAI's `/v1/chat/completions`, its failures included; also Ollama's `/api/chat`."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What the model says, or how it fails."""

    content: str = ""
    status: int = 200
    delay_seconds: float = 0.0


@dataclass
class ChatServer:
    """Answers with `replies` in turn, the last one for ever; remembers what it was asked."""

    replies: deque[Reply]
    asked: list[dict[str, Any]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Return http://host:port."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def url(self) -> str:
        """Return the base URL of the OpenAI protocol."""
        return f"{self.origin}/v1"

    def __enter__(self) -> ChatServer:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
                reply = outer.replies.popleft() if len(outer.replies) > 1 else outer.replies[0]
                time.sleep(reply.delay_seconds)
                write = _ollama if self.path == "/api/chat" else _openai
                payload = json.dumps(write(reply, body["model"])).encode()
                try:
                    self.send_response(reply.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(payload)))
                    self.send_header("Connection", "close")
                    if reply.status == 429:
                        self.send_header("Retry-After", "0")
                    self.end_headers()
                    self.wfile.write(payload)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client's patience ended; that is the test

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


def _openai(reply: Reply, model: str) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": "Rate limit reached", "type": "rate_limit", "param": None, "code": None}}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reply.content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 60, "completion_tokens": 12, "total_tokens": 72},
    }


def _ollama(reply: Reply, model: str) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": "too many requests"}
    return {
        "model": model,
        "created_at": "2026-11-20T00:00:00Z",
        "message": {"role": "assistant", "content": reply.content},
        "done": True,
        "done_reason": "stop",
    }
