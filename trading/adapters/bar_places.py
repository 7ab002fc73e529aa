"""Bars of a delivery to their places in sessions, block by block: each (calendar, interval, time) is placed once.

A place is given by `placing.place_bars`, as to single rows; blocks have most of their times in common, so what is found
is kept for the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

import psycopg

from trading.adapters.placing import place_bars
from trading.adapters.warehouse import Batch
from trading.ingestion.candidates import Candidate

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("ends_at", "is_in_session", "nominal_at")
_KEY = ("calendar", "interval", "timestamp")
_KEPT = 20_000  # the dates of a lifetime; of moments within days there is no end


class Places:
    """The places of a delivery's bars, by the sessions recorded now."""

    def __init__(self, conn: psycopg.Connection, batch: Batch, calendars: Mapping[str, str], turn: Lock) -> None:
        """Begin with none; `calendars` names that of each symbol, under `turn` the session may be asked."""
        self._conn, self._batch, self._calendars, self._turn = conn, batch, dict(calendars), turn
        self._known: pl.DataFrame | None = None

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the bars of a frame with `COLUMNS`, times as UTC without a zone; null where a bar has no place."""
        import polars as pl

        calendar = pl.col("symbol").replace_strict(self._calendars, default=None, return_dtype=pl.String)
        frame = frame.with_columns(calendar=calendar)
        asked = frame.group_by(_KEY).agg(pl.col("symbol").first())
        known = self._with_places_of(asked)
        return frame.join(known, on=_KEY, how="left", nulls_equal=True, maintain_order="left")

    def of_single(self, candidates: list[Candidate]) -> None:
        """Place single rows."""
        with self._turn:
            place_bars(self._conn, self._batch.source, candidates, self._calendars, self._batch.reader.parser)

    def _with_places_of(self, asked: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        if self._known is None:
            found = self._placed(asked)
        else:
            lacking = asked.join(self._known, on=_KEY, how="anti", nulls_equal=True)
            found = pl.concat([self._known, self._placed(lacking)]) if len(lacking) else self._known
        self._known = found if len(found) <= _KEPT else None
        return found

    def _placed(self, asked: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        moment = asked.schema["timestamp"]
        schema: dict[str, Any] = {"ends_at": moment, "is_in_session": pl.Boolean, "nominal_at": moment}
        rows = asked.select("symbol", "interval", "timestamp").iter_rows()
        ones = [
            Candidate(0, {"symbol": symbol, "interval": interval, "timestamp": _zoned(when)}, {})
            for symbol, interval, when in rows
        ]
        self.of_single(ones)
        found = [tuple(_naive(one.values[name]) for name in COLUMNS) for one in ones]
        return asked.select(_KEY).hstack(pl.DataFrame(found, schema=schema, orient="row"))


def _zoned(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value
