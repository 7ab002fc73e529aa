"""Sources, one module each: `sample` and `files`, chosen by name here; vendors behind a network in registry.py."""

from __future__ import annotations

from pathlib import Path

from trading.adapters.sources.files import Files
from trading.adapters.sources.registry import VENDORS
from trading.adapters.sources.sample import Sample
from trading.errors import InputError
from trading.ingestion.ports import Source
from trading.ingestion.reader import Adjustment, Gap
from trading.intervals import Interval

NAMES = ("files", "sample")


def source_named(
    name: str,
    *,
    file: Path | None = None,
    columns: dict[str, str] | None = None,
    adjustment: Adjustment | None = None,
    calendar: str = "XNYS",
    interval: str | None = None,
    gap: Gap = "refuse",
) -> Source:
    """Return the source of this name; only `files` takes a file and the words that describe it.

    Raises:
        InputError: no source has this name, or the options are not its own.
    """
    if name == "sample":
        if file is not None or columns or adjustment is not None or interval is not None or gap != "refuse":
            raise InputError(
                "expected no --file, --map, --adjustment, --interval or --gap with the source sample: "
                "it brings its own data"
            )
        return Sample()
    if name == "files":
        if file is None:
            raise InputError("expected --file with the source files: a CSV or Parquet file")
        length = Interval.parse(interval or "1d").name
        return Files(file, columns or {}, adjustment or "raw", calendar, length, gap)
    raise InputError(f"expected a source of {', '.join([*NAMES, *VENDORS])}, found {name!r}")
