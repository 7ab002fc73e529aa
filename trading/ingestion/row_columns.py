"""Single rows as columns: numbers as decimal texts at their scale, times in UTC without a zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trading.ingestion.candidates import Candidate

if TYPE_CHECKING:
    import polars as pl


def frame_of_rows(candidates: Iterable[Candidate], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Return rows as the columns of a schema, whose first is their number."""
    import polars as pl

    _, *names = schema
    rows = [
        {"number": candidate.number, **{name: held(candidate.values[name]) for name in names}}
        for candidate in candidates
    ]
    return pl.DataFrame(rows, schema=schema)


def held(value: Any) -> Any:
    """Return a value as the columns hold it."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
