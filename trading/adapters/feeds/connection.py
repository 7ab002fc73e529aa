"""One connection to a vendor's websocket: opened, greeted, heard; kept alive by pings; any end of it is a ConnectionCut."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from trading.adapters.sources.answers import ConnectionCut
from trading.errors import InputError

_LARGEST_FRAME = 1 << 24
_FRAMES_AHEAD = 50_000  # heard while a batch is being published; a vendor cuts off who is slower
_AT_ONCE = 5_000

_LOG = logging.getLogger("tradeloom.feed")
_LOG.setLevel(logging.WARNING)  # below it the library tells every frame, the one with our credentials too


@dataclass(frozen=True)
class Timeouts:
    """How long a connection is waited for, in seconds."""

    to_open: float = 10.0
    to_greet: float = 10.0
    ping_every: float = 15.0
    ping_within: float = 15.0


@dataclass(frozen=True)
class Link:
    """An open connection."""

    _socket: ClientConnection
    _timeouts: Timeouts

    def send(self, text: str) -> None:
        """Send one frame."""
        with _cuts():
            self._socket.send(text)

    def hear(self) -> str:
        """Return the next frame, which a vendor that greets sends soon.

        Raises:
            ConnectionCut: none came in time, or the connection ended.
        """
        found = self.frames(self._timeouts.to_greet, most=1)
        if not found:
            raise ConnectionCut("no answer in time")
        return found[0]

    def frames(self, seconds: float, most: int = _AT_ONCE) -> list[str]:
        """Return the frames that are here, at least one unless none comes within `seconds`.

        Raises:
            ConnectionCut: the connection ended, and everything heard before was returned.
        """
        found: list[str] = []
        until = monotonic() + seconds
        while len(found) < most:
            try:
                frame = self._socket.recv(timeout=0 if found else max(0.0, until - monotonic()))
            except TimeoutError:
                break
            except ConnectionClosed as error:
                if found:
                    break  # the next call says so
                raise ConnectionCut(_told(error)) from error
            # Bytes that are no text are no JSON either, and the reader says so.
            found.append(frame if isinstance(frame, str) else frame.decode(errors="replace"))
        return found


@contextmanager
def linked(address: str, timeouts: Timeouts) -> Iterator[Link]:
    """Yield a connection to `address`.

    Raises:
        ConnectionCut: it cannot be opened now.
        InputError: the address is none.
    """
    try:
        socket = connect(
            address,
            open_timeout=timeouts.to_open,
            close_timeout=1,
            ping_interval=timeouts.ping_every,
            ping_timeout=timeouts.ping_within,
            max_size=_LARGEST_FRAME,
            max_queue=_FRAMES_AHEAD,
            compression=None,
            logger=_LOG,
        )
    except InvalidURI as error:
        raise InputError(f"expected an address such as wss://host/path, found {address!r}") from error
    except (OSError, InvalidHandshake) as error:  # TimeoutError is an OSError
        raise ConnectionCut(f"no connection ({type(error).__name__})") from error
    with socket:
        yield Link(socket, timeouts)


@contextmanager
def _cuts() -> Iterator[None]:
    try:
        yield
    except ConnectionClosed as error:
        raise ConnectionCut(_told(error)) from error


def _told(error: ConnectionClosed) -> str:
    frame = error.rcvd
    return f"the connection was closed ({frame.code})" if frame else "the connection was cut"
