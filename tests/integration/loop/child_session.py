"""A process of its own that runs the test session and may be told to die; run by test_crash.py, never imported."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("loop_world", Path(__file__).with_name("conftest.py"))
assert SPEC is not None
assert SPEC.loader is not None
world = importlib.util.module_from_spec(SPEC)
sys.modules["loop_world"] = world
SPEC.loader.exec_module(world)


class Folder:
    """Keeps objects as files: what one process stored, the next one finds."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def put_at(self, key: str, payload: bytes) -> None:
        """Keep an object."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)


def main() -> None:
    """Run the session; `TRADELOOM_CRASH_AT` says where to die."""
    url, services, folder = sys.argv[1:]
    settings = world.LoopSettings(
        url, services, services, "", "", "", "", crash_at=os.environ.get("TRADELOOM_CRASH_AT"), timeout_seconds=5
    )
    terms = replace(world.TERMS, costs=world.COSTS)
    world.run_session(terms, settings, registry=world.Registry(), anchors=Folder(folder))


main()
