"""Runs one command of `tradeloom` in this process and prints what it took: seconds, CPU, memory, and of what.

Run by growth.py in a process of its own. Deriving features is timed apart from taking the bars in: both are in the one
command, and they grow by different things.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[..., Any], into: dict[str, float], name: str) -> Callable[..., Any]:
    """Return `work`, which adds its seconds to `into`."""

    def run(*args: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return work(*args, **named)
        finally:
            into[name] = into.get(name, 0.0) + time.perf_counter() - begun

    return run


def main(arguments: list[str]) -> None:
    """Run `tradeloom ARGUMENTS`; the last line of the output is ours."""
    from feature_store import build
    from orchestration.cli import tradeloom
    from trading.adapters import warehouse

    parts: dict[str, float] = {}
    warehouse.advance_features = timed(warehouse.advance_features, parts, "advance")
    build.ensure_definitions = timed(build.ensure_definitions, parts, "definitions")
    begun = time.perf_counter()
    tradeloom.main(arguments, standalone_mode=False)
    used = resource.getrusage(resource.RUSAGE_SELF)
    took = {"wall": time.perf_counter() - begun, "cpu": used.ru_utime + used.ru_stime}
    sys.stdout.write(json.dumps({**took, **parts, "peak_mb": used.ru_maxrss / 1024}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
