"""A delivery of rows that may be too many for memory: read to disk, judged block by block, published in one transaction.

However many rows there are, one block of them is in memory (`BLOCK_ROWS`); what passed waits in a temporary table of the
session that publishes (docs/decisions/0116). Only rows that are not plain, rows of one key and quarantined rows are ever
handled one by one. What is a kind's own, bar_batch.py and trade_batch.py say.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import psycopg

from trading.adapters import warehouse
from trading.adapters.batch_facts import calendars_of_batch, facts_of
from trading.adapters.batch_report import UNFINISHED, Judged, NewRows, unfinished
from trading.adapters.block_judging import Judging, Outcome, with_hashes
from trading.adapters.payloads import Payload
from trading.adapters.repeated_rows import RepeatedRows
from trading.adapters.spooled_rows import Defects, Spool, Survey
from trading.adapters.staging import Staging
from trading.adapters.staging_thread import StagingThread
from trading.adapters.warehouse import Batch
from trading.errors import DiskFullError, NoRowsError
from trading.ingestion.candidates import Defect
from trading.ingestion.gaps import RULE as GAP_RULE
from trading.ingestion.gaps import Days, Part
from trading.quality.gate import Check, Facts

if TYPE_CHECKING:
    import polars as pl

# Rows of keys that come more than once are handled as single rows, about so many at a time.
_REPEATED_AT_ONCE = 20_000


class SpooledBatch(ABC):
    """One batch; a context, whose folder and session end with it."""

    staging: ClassVar[Staging]

    def __init__(self, url: str, batch: Batch, payload: Payload) -> None:
        """Take the batch on; nothing is read yet."""
        self._url, self._batch, self._payload = url, batch, payload
        self._staged = self._new = 0
        self._with_later = False

    @abstractmethod
    def _new_spool(self) -> Spool:
        """Return the place of the rows on disk, empty."""

    @abstractmethod
    def _judging(
        self, conn: psycopg.Connection, facts: Facts, calendars: dict[str, str], survey: Survey, turn: Lock
    ) -> Judging:
        """Return the judge of the rows; while they are judged the session may be asked under `turn` only."""

    @abstractmethod
    def _hashes(self, frame: pl.DataFrame, known_at: str) -> list[bytes]:
        """Return the identities of rows as known from the times in a column."""

    def _days_of(self, parts: Sequence[Part]) -> Days:
        """Return the days of the batch's bars by symbol; there are none of other rows."""
        del parts
        return {}

    def __enter__(self) -> Self:
        """Make the folder."""
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="tradeloom-ingest-")))
        self._session: psycopg.Connection | None = None
        self._spool = self._new_spool()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session, then remove the folder."""
        self._stack.__exit__(kind, error, trace)

    def read(self) -> None:
        """Read the payload to disk.

        Raises:
            InputError: it cannot be read as a whole.
            DiskFullError: there is no space for its rows.
        """
        try:
            with self._payload.open() as stream:
                self._spool.fill(stream)
        except NoRowsError:
            if self._batch.mode != "live":
                raise
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DiskFullError(
                "the folder for temporary files has no space left for the rows; free some and run again"
            ) from error

    def judge(self) -> Judged:
        """Judge the rows by what the warehouse knows now, and stage those that pass."""
        conn = self._connected()
        facts = self._facts(conn)
        survey = self._spool.survey(facts.parts)
        calendars = calendars_of_batch(conn, self._batch, survey.symbols, facts.parts)
        tally = _Tally(Defects(self._folder / "judged"))
        with StagingThread(self._stage) as thread:
            judging = self._judging(conn, facts, calendars, survey, thread.turn)
            self._with_later = self._with_later or self.staging.has_rows(conn, self._batch.source)
            conn.commit()  # others wait for what this recorded, such as sessions
            self.staging.begin(conn)
            for outcome in self._outcomes(judging, survey):
                tally.add(outcome)
                if len(outcome.good):
                    thread.put(outcome.good)
        conn.commit()
        self._staged = tally.rows_good
        return self._judged(facts, calendars, survey, tally)

    @contextmanager
    def publishing(self) -> Iterator[psycopg.Connection]:
        """Yield the session for its publishing transaction, which sees all that its watermark follows."""
        conn = self._connected()
        try:
            yield conn
        except BaseException:
            if not conn.closed:  # gone: PostgreSQL has rolled back
                conn.rollback()
            raise
        conn.commit()

    def still_holds(self, conn: psycopg.Connection, facts: Facts) -> bool:
        """Tell whether what the batch was judged by is so still."""
        return self._facts(conn) == facts

    def compare(self, conn: psycopg.Connection, watermark: int) -> NewRows | None:
        """Return what of the staged rows is new; None: judge again, others published rows of these keys meanwhile."""
        found = self.staging.find_new(conn, self._batch, self._staged, watermark)
        if found.lacks_hashes:
            self._with_later = True
            return None
        self._new = found.rows
        return NewRows(found.rows, found.since, found.intervals)

    def insert(self, conn: psycopg.Connection, watermark: int, batch_id: int) -> None:
        """Write what `compare` found to be new."""
        self.staging.insert_new(conn, self._batch, self._new, watermark, batch_id)

    def _connected(self) -> psycopg.Connection:
        if self._session is None:
            self._session = self._stack.enter_context(warehouse.publishing(self._url))
        return self._session

    def _stage(self, good: pl.DataFrame) -> None:
        frame = with_hashes(good, self._batch, self._hashes, with_later=self._with_later)
        self.staging.stage(self._connected(), frame)

    def _facts(self, conn: psycopg.Connection) -> Facts:
        return facts_of(conn, self._batch, self._days_of)

    def _outcomes(self, judging: Judging, survey: Survey) -> Iterator[Outcome]:
        """Judge block by block the rows whose key comes once, then together those of one key."""
        import numpy as np
        import polars as pl

        repeated = RepeatedRows(self._folder, len(survey.repeated), _REPEATED_AT_ONCE)
        for number in range(self._spool.blocks):
            frame = self._spool.frame(number, judging.facts.parts)
            if len(survey.repeated):
                hashes = self._spool.hashes(frame)
                is_repeated = np.isin(hashes, survey.repeated)
                of_keys = frame.filter(pl.Series(is_repeated))
                repeated.put(self._spool.candidates(number, of_keys), hashes[is_repeated].tolist())
                frame = frame.filter(pl.Series(~is_repeated))
            yield judging.block(number, frame)
        for candidates in repeated:
            yield judging.repeated(candidates)

    def _judged(self, facts: Facts, calendars: dict[str, str], survey: Survey, tally: _Tally) -> Judged:
        unreadable = self._spool.unreadable
        return Judged(
            facts=facts,
            calendars=calendars,
            parts=tuple(part for part in facts.parts if part.name in survey.symbols),
            rows_in=self._spool.rows_in,
            rows_good=tally.rows_good,
            rows_merged=tally.rows_merged,
            # A row that cannot be read has one defect.
            rows_unfinished=tally.rows_unfinished + sum(unreadable.rules.get(rule, 0) for rule in UNFINISHED),
            defects=_BothDefects(unreadable, tally.defects),
            checks=tuple(tally.checks()),
            first=tally.first,
            last=tally.last,
            symbols=tuple(sorted(tally.symbols)),
        )


class _Tally:
    """What the outcomes of all blocks come to."""

    def __init__(self, defects: Defects) -> None:
        self.defects = defects
        self.rows_good = self.rows_merged = self.rows_unfinished = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.symbols: set[str] = set()
        self._checks: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, outcome: Outcome) -> None:
        self.defects.add(outcome.defects)
        self.rows_good += len(outcome.good)
        self.rows_merged += outcome.rows_merged
        self.rows_unfinished += unfinished(outcome.defects)
        for check in outcome.checks:
            rows, broken = self._checks.get((check.rule, check.columns), (0, 0))
            self._checks[check.rule, check.columns] = rows + check.rows, broken + check.broken
        if len(outcome.good):
            self._range(outcome.good)

    def checks(self) -> list[Check]:
        """The gap rule, which comes before the suite, and then the suite's by rule and columns."""
        found = [Check(*name, *counts) for name, counts in self._checks.items()]
        return sorted(found, key=lambda check: (check.rule != GAP_RULE, check.rule, check.columns))

    def _range(self, good: pl.DataFrame) -> None:
        times: Any = good["timestamp"]
        first, last = times.min().replace(tzinfo=UTC), times.max().replace(tzinfo=UTC)
        self.first = min(filter(None, (self.first, first)))
        self.last = max(filter(None, (self.last, last)))
        self.symbols |= set(good["symbol"].unique().to_list())


class _BothDefects:
    """Defects of rows that cannot be read, then of those that did not pass."""

    def __init__(self, unreadable: Defects, judged: Defects) -> None:
        """Take both; they are read as often as asked."""
        self._both = unreadable, judged

    def __iter__(self) -> Iterator[Defect]:
        """Yield them."""
        return chain(*self._both)
