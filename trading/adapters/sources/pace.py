"""A vendor's declared limit, kept on our side: at most so many requests in any minute of this process.

Across processes the vendor's Dagster pool keeps runs apart (assets/vendors.py), and 429 says the rest.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_MINUTE = 60.0


class Pace:
    """Lets requests through, a burst too, as long as any minute has at most `most` of them."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing sent; `clock` in seconds."""
        self._sent: deque[float] = deque(maxlen=most)
        self._clock = clock
        self._lock = threading.Lock()

    def wait(self, pause: Callable[[float], None]) -> None:
        """Return when a request may be sent, and count it as sent then."""
        with self._lock:
            now = self._clock()
            full = len(self._sent) == self._sent.maxlen
            at = max(now, self._sent[0] + _MINUTE) if full else now
            self._sent.append(at)
        if at > now:
            pause(at - now)


_PACES: dict[str, Pace] = {}
_MAKING = threading.Lock()


def pace_of(vendor: str, requests_per_minute: int) -> Pace:
    """Return this process' pace of a vendor, made when it is first asked for."""
    with _MAKING:
        return _PACES.setdefault(vendor, Pace(requests_per_minute))
