"""A delivery of trades on its way into the warehouse (spooled_batch.py)."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, ClassVar

import psycopg

from trading.adapters import warehouse
from trading.adapters.spooled_batch import SpooledBatch
from trading.adapters.spooled_rows import Survey
from trading.adapters.staging import Staging
from trading.adapters.trade_judging import TradeJudging
from trading.adapters.trade_spool import TradeSpool
from trading.adapters.trade_staging import TRADES
from trading.ingestion.trade_hashes import trade_hashes
from trading.quality.gate import Facts

if TYPE_CHECKING:
    import polars as pl


class TradeBatch(SpooledBatch):
    """One batch of trades; a context, whose folder and session end with it."""

    staging: ClassVar[Staging] = TRADES

    def _new_spool(self) -> TradeSpool:
        return TradeSpool(self._folder, self._batch.reader)

    def _judging(
        self, conn: psycopg.Connection, facts: Facts, calendars: dict[str, str], survey: Survey, turn: Lock
    ) -> TradeJudging:
        return TradeJudging(self._batch, self._spool, facts, warehouse.source_lag(conn, self._batch.source))

    def _hashes(self, frame: pl.DataFrame, known_at: str) -> list[bytes]:
        return trade_hashes(frame, self._batch.source, known_at)
