"""A delivery of prices on its way into the warehouse (spooled_batch.py): gaps between its days, places in sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

import psycopg

from trading.adapters.bar_judging import BarJudging
from trading.adapters.bar_places import Places
from trading.adapters.bar_spool import BarSpool
from trading.adapters.bar_staging import BARS
from trading.adapters.payloads import Payload
from trading.adapters.placing import fill_sessions
from trading.adapters.spooled_batch import SpooledBatch
from trading.adapters.spooled_rows import Survey
from trading.adapters.staging import Staging
from trading.adapters.warehouse import Batch
from trading.ingestion.bar_columns import NUMBERS
from trading.ingestion.bar_hashes import bar_hashes
from trading.ingestion.candidates import Candidate
from trading.ingestion.gaps import Days, Part
from trading.quality.gate import Facts

if TYPE_CHECKING:
    import polars as pl


class BarBatch(SpooledBatch):
    """One batch of prices; a context, whose folder and session end with it."""

    staging: ClassVar[Staging] = BARS
    _spool: BarSpool

    def __init__(self, url: str, batch: Batch, payload: Payload) -> None:
        """Take the batch on; nothing is read yet."""
        super().__init__(url, batch, payload)
        self._days: tuple[tuple[Part, ...], Days] | None = None

    def _new_spool(self) -> BarSpool:
        return BarSpool(self._folder, self._batch.reader)

    def _days_of(self, parts: Sequence[Part]) -> Days:
        asked = tuple(parts)
        if self._days is None or self._days[0] != asked:
            self._days = asked, self._spool.days(asked)
        return self._days[1]

    def _judging(
        self, conn: psycopg.Connection, facts: Facts, calendars: dict[str, str], survey: Survey, turn: Lock
    ) -> BarJudging:
        fill_sessions(conn, set(calendars.values()), _ends(survey), self._batch.received_at)
        return BarJudging(self._batch, self._spool, facts, Places(conn, self._batch, calendars, turn))

    def _hashes(self, frame: pl.DataFrame, known_at: str) -> list[bytes]:
        return bar_hashes(frame, self._batch.source, self._batch.reader.adjustment, NUMBERS, known_at)


def _ends(survey: Survey) -> list[Candidate]:
    """The first and the last bar of each interval: sessions are needed from the one to the other."""
    return [
        Candidate(0, {"interval": interval, "timestamp": moment.replace(tzinfo=UTC)}, {})
        for interval, *ends in survey.ends
        for moment in ends
    ]
