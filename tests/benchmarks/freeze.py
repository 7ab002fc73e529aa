"""Freezes a training set in batches and prints the greatest memory that this process ever held, in megabytes.

Run by case_snapshots.py in a process of its own: URL of the warehouse, object store (JSON), service (JSON).
"""

import json
import resource
import sys
from datetime import UTC, datetime

from feature_store import FeatureStore
from feature_store.services import FeatureService
from feature_store.snapshots import write_snapshot
from trading.adapters.object_store import ObjectStore


def main(url: str, settings: str, service: str) -> None:
    """Freeze everything there is of the first 200 symbols."""
    store = FeatureStore(url)
    symbols = [f"S{number:04}" for number in range(1, 201)]
    first, last = datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    batches = store.training_batches(FeatureService.from_dict(json.loads(service)), symbols, first, last)
    snapshot = write_snapshot(batches, ObjectStore(**json.loads(settings)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"rows": snapshot.rows, "peak_mb": peak}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
