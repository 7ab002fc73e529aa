"""Ingests a file of prices and prints the greatest memory that this process ever held, in megabytes.

Run by case_ingest.py in a process of its own: URL of the warehouse, object store (JSON), the file.
"""

import json
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from trading.adapters.ingest import ingest
from trading.adapters.object_store import ObjectStore
from trading.adapters.sources.files import Files


def main(url: str, settings: str, file: str) -> None:
    """Ingest it as the source `files`."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    store = ObjectStore(**json.loads(settings))
    report = ingest(Files(Path(file)), "prices", now=now, database_url=url, object_store=store)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"rows": report.rows_published, "peak_mb": peak}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
