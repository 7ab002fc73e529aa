"""A vendor on loopback: a real HTTP server that speaks a vendor's documented protocol, and its failures on request.

    with VendorServer(answer) as server:             # answer: (Request) -> Reply, the vendor's good behaviour
        server.fail(too_many("1"), failing(503))     # the next two requests go so, those after them are good
        server.fail(None, cut())                     # the next one is good, the one after it is cut
        environ = {"TRADELOOM_YFINANCE_URL": server.url}
        ...
        assert [request.path for request in server.requests] == [...]

Failures, each a change of the good reply: `too_many` (429 with Retry-After), `failing` (5xx), `refusing` (401, 403,
404), `cut` (the connection ends inside the body, or before any byte), `truncated` (a whole answer, with half of the
JSON), `empty`, `slow` (waits before it answers), `trickling` (waits before each byte), `changed` (any other edit of the
body, such as a renamed field), `instead` (another good body, such as a page without rows).
`json_reply` makes a good reply. `calls_to` makes the way to ask it without real waits: what would be slept is noted.
Import it as `vendor_server`: tests/vendors is on the path of the tests.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from trading.adapters.sources.calls import Calls, Patience


@dataclass(frozen=True)
class Request:
    """What was asked: path without the query, the query's values, headers with names in lower case, the body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What is answered; `cut_at` bytes of the body the connection ends (-1: before any byte), after `delay` seconds.

    Before each byte of the body it waits for `trickle` seconds.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    delay: float = 0.0
    trickle: float = 0.0


Failure = Callable[[Reply], Reply]


def json_reply(value: Any, status: int = 200) -> Reply:
    """Return a good reply of JSON, as compact as vendors write it."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode(), {"Content-Type": "application/json"})


def too_many(retry_after: str | None = "1") -> Failure:
    """429, with Retry-After in seconds or as a date, or without."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return lambda _: Reply(429, b'{"message":"too many requests"}', headers)


def failing(status: int = 503) -> Failure:
    """A failure of the vendor's own."""
    return lambda _: Reply(status, b"<html>upstream is gone</html>")


def refusing(status: int, body: bytes = b'{"message":"forbidden."}') -> Failure:
    """The vendor does not want: wrong credentials (401, 403), no such symbol (404), a bad request (400)."""
    return lambda _: Reply(status, body)


def cut(at: int = -1) -> Failure:
    """The connection ends after `at` bytes of the body, or before anything came."""
    return lambda good: replace(good, cut_at=at)


def truncated() -> Failure:
    """An answer that looks whole (its length is right) and holds only the first half."""
    return lambda good: replace(good, body=good.body[: len(good.body) // 2])


def empty() -> Failure:
    """An answer without a body."""
    return lambda good: replace(good, body=b"")


def slow(seconds: float) -> Failure:
    """The right answer, too late."""
    return lambda good: replace(good, delay=seconds)


def trickling(seconds: float) -> Failure:
    """The right answer, a byte at a time: no single read is slow."""
    return lambda good: replace(good, trickle=seconds)


def instead(body: bytes) -> Failure:
    """Another body, as good as the right one."""
    return lambda good: replace(good, body=body)


def changed(old: bytes, new: bytes) -> Failure:
    """The right answer with every `old` written as `new`: a renamed field."""
    return lambda good: replace(good, body=good.body.replace(old, new))


class VendorServer:
    """The server; use it as a context manager. `requests` are those of all threads, in order."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        """Answer by `answer`, on a free port of loopback."""
        self.answer = answer
        self.requests: list[Request] = []
        self._failures: deque[Failure | None] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, *failures: Failure | None) -> None:
        """Let the next requests go so, one each; None is a good one."""
        self._failures.extend(failures)

    def forget(self) -> None:
        """Begin anew: no requests noted, no failures to come."""
        self.requests.clear()
        self._failures.clear()

    def reply(self, request: Request) -> Reply:
        """Note the request and return what it gets."""
        self.requests.append(request)
        failure = self._failures.popleft() if self._failures else None
        good = self.answer(request)
        return failure(good) if failure else good

    def __enter__(self) -> VendorServer:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and close."""
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


def _handler_of(vendor: VendorServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            asked = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = vendor.reply(Request(self.command, asked.path, dict(parse_qsl(asked.query)), headers, body))
            time.sleep(reply.delay)
            self.close_connection = True
            if reply.cut_at == -1:
                return
            try:
                self._send(reply)
            except OSError:  # the client had enough: its own business
                return

        def _send(self, reply: Reply) -> None:
            (self.send_response_only if "Date" in reply.headers else self.send_response)(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            whole = reply.body[: reply.cut_at]
            for piece in [whole] if not reply.trickle else (bytes([byte]) for byte in whole):
                time.sleep(reply.trickle)
                self.wfile.write(piece)

        do_GET = do_POST = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the test looks at `requests`."""

    return Handler


def calls_to(
    server: VendorServer,
    vendor: str = "toy",
    *,
    secrets: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> tuple[Calls, list[float]]:
    """Return the way to ask the server, and the list of the waits that it would have slept (jitter at its longest)."""
    waits: list[float] = []
    patience = patience or Patience(most_tries=4, to_connect=2, to_answer=2)
    calls = Calls(
        vendor,
        server.url,
        10_000,
        secrets or {},
        patience=patience,
        pause=waits.append,
        jitter=lambda least, most: most,
    )
    return calls, waits
