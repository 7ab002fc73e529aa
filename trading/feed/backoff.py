"""How long to wait before connecting anew: doubling, with jitter, so that many feeds do not come back at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Waits in seconds: `first`, doubled each time up to `longest`; jitter takes up to half."""

    first: float = 0.5
    longest: float = 60.0

    def wait(self, attempt: int, jitter: Callable[[float, float], float]) -> float:
        """Return the wait before attempt `attempt`, from 1; `jitter` gives a number between two."""
        longest = min(self.first * 2.0 ** min(attempt - 1, 32), self.longest)
        return jitter(longest / 2, longest)
