"""Freezing a training set: the memory that it takes at ten times the rows, a process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from case_asof import SESSIONS
from feature_table import FeatureTable, fill
from harness import CHECKOUT, HERE, Bench, Case, Sides

LARGE = SESSIONS // 2
SMALL = LARGE // 10


@contextmanager
def memory(bench: Bench) -> Iterator[Sides]:
    """Both sides are ours: the greatest resident memory of the large set beside that of the small one."""
    with bench.database() as large_url, bench.database() as small_url, bench.object_store() as server:
        large, small = fill(large_url, sessions=LARGE), fill(small_url, sessions=SMALL)
        settings = json.dumps({
            "endpoint": server.settings.endpoint,
            "access_key": server.settings.access_key,
            "secret_key": server.settings.secret_key,
            "bucket": server.settings.bucket,
        })  # fmt: skip
        yield Sides(
            ours=lambda: _peak_mb(large_url, settings, large, LARGE),
            peer=lambda: _peak_mb(small_url, settings, small, SMALL),
            notes=[f"Peak resident memory of a process that freezes {LARGE * 200:,} rows beside {SMALL * 200:,} rows."],
        )


def _peak_mb(url: str, settings: str, table: FeatureTable, sessions: int) -> float:
    service = json.dumps(table.service.to_dict())
    done = subprocess.run(
        [sys.executable, str(HERE / "freeze.py"), url, settings, service],
        cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["rows"] == sessions * 200, answer
    return float(answer["peak_mb"])


CASES = [
    Case(
        "snapshot, peak memory", f"{LARGE * 200:,} rows x 20 features", "ours at a tenth of the rows", memory,
        goal=1.2, unit="MB",
    ),
]  # fmt: skip
