"""A vendor's websocket on loopback: speaks a documented protocol, and stalls, cuts, repeats and reorders on request.

    with StreamServer(alpaca_greeting) as server:
        server.say(frame)                # to whoever is subscribed, as soon as somebody is
        server.cut()                     # the connection ends without a word
        server.stall()                   # connected, pings answered, and nothing said until `resume`
        assert server.greetings == [...]

A greeting is (socket, heard) -> None: it answers the client until it is subscribed, noting what it heard.
Import it as `stream_server`: tests/vendors is on the path of the tests.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

Greeting = Callable[[ServerConnection, list[Any]], bool]
_CUT = object()


def alpaca_greeting(key: str = "PKALPACA7", secret: str = "s3cret-of-alpaca") -> Greeting:
    """docs.alpaca.markets, "WebSocket Stream": connected, auth, subscribe; 402 for a wrong key."""

    def greet(socket: ServerConnection, heard: list[Any]) -> bool:
        socket.send('[{"T":"success","msg":"connected"}]')
        auth = json.loads(socket.recv(timeout=5))
        heard.append(auth)
        if auth != {"action": "auth", "key": key, "secret": secret}:
            socket.send('[{"T":"error","code":402,"msg":"auth failed"}]')
            return False
        socket.send('[{"T":"success","msg":"authenticated"}]')
        asked = json.loads(socket.recv(timeout=5))
        heard.append(asked)
        channels = {name: symbols for name, symbols in asked.items() if name != "action"}
        socket.send(json.dumps([{"T": "subscription", "trades": [], "bars": [], "updatedBars": [], **channels}]))
        return True

    return greet


def refusing_greeting(code: int, said: str) -> Greeting:
    """Alpaca lets us in and then refuses the subscription."""

    def greet(socket: ServerConnection, heard: list[Any]) -> bool:
        socket.send('[{"T":"success","msg":"connected"}]')
        heard.append(json.loads(socket.recv(timeout=5)))
        socket.send('[{"T":"success","msg":"authenticated"}]')
        heard.append(json.loads(socket.recv(timeout=5)))
        socket.send(json.dumps([{"T": "error", "code": code, "msg": said}]))
        return False

    return greet


def binance_greeting(requests: int = 1) -> Greeting:
    """developers.binance.com, "Live Subscribing": each SUBSCRIBE is answered by its id."""

    def greet(socket: ServerConnection, heard: list[Any]) -> bool:
        for _ in range(requests):
            asked = json.loads(socket.recv(timeout=5))
            heard.append(asked)
            socket.send(json.dumps({"result": None, "id": asked["id"]}))
        return True

    return greet


class StreamServer:
    """The server; use it as a context manager. `heard` are the client's frames of all connections, in order."""

    def __init__(self, greeting: Greeting) -> None:
        """Greet by `greeting`, on a free port of loopback."""
        self.greeting = greeting
        self.heard: list[Any] = []
        self.connections = 0
        self._says: queue.Queue[Any] = queue.Queue()
        self._ends = threading.Event()
        self._server = serve(self._handle, "127.0.0.1", 0, compression=None)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}/v2/test"

    def __enter__(self) -> StreamServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._server.shutdown()
        self._thread.join()

    def say(self, *frames: str) -> None:
        """Send frames to the subscriber of now, or to the next one."""
        for frame in frames:
            self._says.put(frame)

    def cut(self) -> None:
        """End the connection after what was said before, without a closing handshake."""
        self._says.put(_CUT)

    def _handle(self, socket: ServerConnection) -> None:
        try:
            if not self.greeting(socket, self.heard):
                return
            self.connections += 1
            self._talk(socket)
        except (ConnectionClosed, TimeoutError):
            return

    def _talk(self, socket: ServerConnection) -> None:
        while not self._ends.is_set() and socket.state.name == "OPEN":
            try:
                frame = self._says.get(timeout=0.02)
            except queue.Empty:
                continue
            if frame is _CUT:
                socket.socket.shutdown(2)
                return
            socket.send(frame)
