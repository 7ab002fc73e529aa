"""Binance's stream on loopback, in a process of its own: says bars when it is asked to, and tells when each was sent."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import datetime, timedelta
from typing import Any

from websockets.sync.server import ServerConnection, serve

_subscribed = threading.Event()
_listener: list[ServerConnection] = []


def _handle(socket: ServerConnection) -> None:
    asked = 0
    for frame in socket:
        told = json.loads(frame)
        asked += len(told["params"])
        socket.send(json.dumps({"result": None, "id": told["id"]}))
        _listener[:] = [socket]
        _subscribed.set()


def _candle(pair: str, at: datetime, number: int) -> str:
    start = int(at.timestamp() * 1000)
    close = 100 + (number * 7919 % 1000) / 100
    told: dict[str, Any] = {
        "t": start, "T": start + 59_999, "s": pair, "i": "1m", "f": 1, "L": 3, "o": f"{close:.2f}", "c": f"{close + 0.5:.2f}",
        "h": f"{close + 1:.2f}", "l": f"{close - 1:.2f}", "v": f"{number % 977 + 1}.5", "n": 3, "x": True,
    }  # fmt: skip
    stream = f"{pair.lower()}@kline_1m"
    return json.dumps({"stream": stream, "data": {"e": "kline", "E": start + 60_000, "s": pair, "k": told}})


def _say(asked: dict[str, Any]) -> list[tuple[str, str, float]]:
    _subscribed.wait(30)
    time.sleep(0.2)
    pairs, first = asked["pairs"], datetime.fromisoformat(asked["first"])
    frames = [
        (pair, at, _candle(pair.replace("/", ""), at, place * 7 + second))
        for second in range(asked["seconds"])
        for at in [first + timedelta(minutes=second)]
        for place, pair in enumerate(pairs)
    ]
    said, begun = [], time.time()
    for number, (pair, at, frame) in enumerate(frames):
        second, place = divmod(number, len(pairs))
        due = begun + second + (0 if asked["burst"] else place / len(pairs))
        if (left := due - time.time()) > 0:
            time.sleep(left)
        said.append((pair, at.isoformat(), time.time()))
        _listener[0].send(frame)
    return said


def main() -> None:
    with serve(_handle, "127.0.0.1", 0, compression=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps({"address": f"ws://127.0.0.1:{server.socket.getsockname()[1]}/stream"}), flush=True)  # noqa: T201
        for line in sys.stdin:
            print(json.dumps({"said": _say(json.loads(line))}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
