"""A delivery of trades on its way into the warehouse: read to disk, judged part by part, published in one transaction.

As prices go (bar_batch.py), but as single rows: however many there are, some of them are in memory
(`trade_spool.ROWS_AT_ONCE`), and what passed waits in a temporary table of the session that publishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Self

import psycopg

from trading.adapters import trade_staging
from trading.adapters.bar_spool import Defects
from trading.adapters.batch_facts import calendars_of_batch, facts_of
from trading.adapters.batch_report import UNFINISHED, Judged, NewRows, unfinished
from trading.adapters.payloads import Payload
from trading.adapters.placing import place_trades, to_rows
from trading.adapters.repeated_rows import RepeatedRows
from trading.adapters.spooled_batch import BothDefects, SpooledBatch
from trading.adapters.trade_spool import ROWS_AT_ONCE, TradeSpool, hash_of
from trading.adapters.warehouse import Batch
from trading.ingestion import trades
from trading.ingestion.candidates import Candidate
from trading.ingestion.folding import folded
from trading.quality.gate import Check, Facts, Verdict, judge


class TradeBatch(SpooledBatch):
    """One batch of trades; a context, whose folder and session end with it."""

    def __init__(self, url: str, batch: Batch, payload: Payload) -> None:
        """Take the batch on; nothing is read yet."""
        super().__init__(url, batch, payload)
        self._staged = self._new = 0

    def __enter__(self) -> Self:
        """Make the folder."""
        super().__enter__()
        self._spool = TradeSpool(self._folder, self._batch.reader)
        return self

    def read(self) -> None:
        """Read the payload to disk.

        Raises:
            InputError: it cannot be read as a whole.
            DiskFullError: there is no space for its rows.
        """
        self._fill(self._spool.fill)

    def judge(self) -> Judged:
        """Judge the trades by what the warehouse knows now, and stage those that pass."""
        conn = self._connected()
        facts = self._facts(conn)
        calendars = calendars_of_batch(conn, self._batch, self._spool.symbols, facts.parts)
        trade_staging.begin_staging(conn)
        tally = _Tally(Defects(self._folder / "judged"))
        for candidates in self._together():
            place_trades(conn, self._batch.source, candidates)
            left, rows_merged = folded("trades", candidates)
            verdict = judge("trades", left, facts)
            tally.add(verdict, rows_merged)
            rows = to_rows("trades", self._batch.source, verdict.good)
            numbers = (candidate.number for candidate in verdict.good)
            trade_staging.stage(conn, self._batch, zip(numbers, rows, strict=True))
        conn.commit()
        self._staged = tally.rows_good
        return self._judged(facts, calendars, tally)

    def still_holds(self, conn: psycopg.Connection, facts: Facts) -> bool:
        """Tell whether what the batch was judged by is so still."""
        return self._facts(conn) == facts

    def compare(self, conn: psycopg.Connection, watermark: int) -> NewRows | None:
        """Return what of the staged trades is new."""
        found = trade_staging.compare(conn, self._batch, self._staged, watermark)
        self._new = found.rows
        return found

    def insert(self, conn: psycopg.Connection, watermark: int, batch_id: int) -> None:
        """Write what `compare` found to be new."""
        trade_staging.insert_new(conn, self._batch, self._new, watermark, batch_id)

    def _facts(self, conn: psycopg.Connection) -> Facts:
        return facts_of(conn, self._batch, lambda parts: {})

    def _together(self) -> Iterator[list[Candidate]]:
        """Yield part by part the trades whose key comes once, then together those of one key."""
        keys = self._spool.repeated()
        repeated, hashes = RepeatedRows(self._folder, len(keys), ROWS_AT_ONCE), set(keys.tolist())
        for number in range(self._spool.parts):
            candidates = self._spool.part(number)
            found = [hash_of(trades.key(candidate.values)) for candidate in candidates]
            told = list(zip(candidates, found, strict=True))
            repeated.put(*_apart([(one, key) for one, key in told if key in hashes]))
            yield [one for one, key in told if key not in hashes]
        yield from repeated

    def _judged(self, facts: Facts, calendars: dict[str, str], tally: _Tally) -> Judged:
        unreadable = self._spool.unreadable
        return Judged(
            facts=facts,
            calendars=calendars,
            parts=(),
            rows_in=self._spool.rows_in,
            rows_good=tally.rows_good,
            rows_merged=tally.rows_merged,
            # A row that cannot be read has one defect.
            rows_unfinished=tally.rows_unfinished + sum(unreadable.rules.get(rule, 0) for rule in UNFINISHED),
            defects=BothDefects(unreadable, tally.defects),
            checks=tally.checks(),
            first=tally.first,
            last=tally.last,
            symbols=tuple(sorted(tally.symbols)),
        )


class _Tally:
    """What the verdicts of all parts come to."""

    def __init__(self, defects: Defects) -> None:
        self.defects = defects
        self.rows_good = self.rows_merged = self.rows_unfinished = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.symbols: set[str] = set()
        self._checks: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, verdict: Verdict, rows_merged: int) -> None:
        self.defects.add(verdict.defects)
        self.rows_good += len(verdict.good)
        self.rows_merged += rows_merged
        self.rows_unfinished += unfinished(verdict.defects)
        for check in verdict.checks:
            rows, broken = self._checks.get((check.rule, check.columns), (0, 0))
            self._checks[check.rule, check.columns] = rows + check.rows, broken + check.broken
        moments = [one.values["timestamp"] for one in verdict.good]
        self.first = min(filter(None, (self.first, *moments)), default=None)
        self.last = max(filter(None, (self.last, *moments)), default=None)
        self.symbols |= {one.values["symbol"] for one in verdict.good}

    def checks(self) -> tuple[Check, ...]:
        """Every check of the suite, by rule and columns."""
        return tuple(Check(*name, *counts) for name, counts in sorted(self._checks.items()))


def _apart(told: list[tuple[Candidate, int]]) -> tuple[list[Candidate], list[int]]:
    return [one for one, _ in told], [key for _, key in told]
