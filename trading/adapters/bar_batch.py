"""A delivery of prices on its way into the warehouse: read to disk, judged block by block, published in one transaction.

However many rows there are, one block of them is in memory (`BLOCK_ROWS`); what passed waits in a temporary table of the
session that publishes (docs/decisions/0116). Only rows that are not plain, bars of one key and quarantined rows are
ever handled one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import psycopg

from trading.adapters import bar_staging
from trading.adapters.bar_judging import Judging, Outcome, with_hashes
from trading.adapters.bar_places import Places
from trading.adapters.bar_spool import Defects, Spool, Survey, key_hashes
from trading.adapters.bar_staging_thread import StagingThread
from trading.adapters.batch_facts import calendars_of_batch, facts_of
from trading.adapters.batch_report import UNFINISHED, Judged, NewRows, unfinished
from trading.adapters.payloads import Payload
from trading.adapters.placing import fill_sessions
from trading.adapters.repeated_rows import RepeatedRows
from trading.adapters.spooled_batch import BothDefects, SpooledBatch
from trading.adapters.warehouse import Batch
from trading.ingestion.candidates import Candidate
from trading.ingestion.gaps import Days, Part
from trading.quality.gate import Check, Facts

if TYPE_CHECKING:
    import polars as pl

# Bars of keys that come more than once are handled as single rows, about so many at a time.
_REPEATED_AT_ONCE = 20_000


class BarBatch(SpooledBatch):
    """One batch of prices; a context, whose folder and session end with it."""

    def __init__(self, url: str, batch: Batch, payload: Payload) -> None:
        """Take the batch on; nothing is read yet."""
        super().__init__(url, batch, payload)
        self._days: tuple[tuple[Part, ...], Days] | None = None
        self._new = NewRows(0, {})
        self._staged = 0
        self._with_later = False

    def __enter__(self) -> Self:
        """Make the folder."""
        super().__enter__()
        self._spool = Spool(self._folder, self._batch.reader)
        return self

    def read(self) -> None:
        """Read the payload to disk.

        Raises:
            InputError: it cannot be read as a whole.
            DiskFullError: there is no space for its rows.
        """
        self._fill(self._spool.fill)

    def judge(self) -> Judged:
        """Judge the bars by what the warehouse knows now, and stage those that pass."""
        conn = self._connected()
        facts = self._facts(conn)
        survey = self._spool.survey(facts.parts)
        calendars = calendars_of_batch(conn, self._batch, survey.symbols, facts.parts)
        fill_sessions(conn, set(calendars.values()), _ends(survey), self._batch.received_at)
        self._with_later = self._with_later or bar_staging.has_bars(conn, self._batch.source)
        conn.commit()  # others wait for the sessions that this recorded
        bar_staging.begin_staging(conn)
        tally = _Tally(Defects(self._folder / "judged"))
        with StagingThread(self._stage) as staging:
            places = Places(conn, self._batch, calendars, staging.turn)
            for outcome in self._outcomes(Judging(self._batch, self._spool, facts, places), survey):
                tally.add(outcome)
                if len(outcome.good):
                    staging.put(outcome.good)
        conn.commit()
        self._staged = tally.rows_good
        return self._judged(facts, calendars, survey, tally)

    def still_holds(self, conn: psycopg.Connection, facts: Facts) -> bool:
        """Tell whether what the batch was judged by is so still."""
        return self._facts(conn) == facts

    def compare(self, conn: psycopg.Connection, watermark: int) -> NewRows | None:
        """Return what of the staged bars is new; None: judge again, others published bars of these keys meanwhile."""
        found = bar_staging.compare(conn, self._batch, self._staged, watermark)
        if found.lacks_hashes:
            self._with_later = True
            return None
        self._new = NewRows(found.rows, found.since, found.intervals)
        return self._new

    def insert(self, conn: psycopg.Connection, watermark: int, batch_id: int) -> None:
        """Write what `compare` found to be new."""
        bar_staging.insert_new(conn, self._batch, self._new.rows, watermark, batch_id)

    def _stage(self, good: pl.DataFrame) -> None:
        bar_staging.stage(self._connected(), with_hashes(good, self._batch, with_later=self._with_later))

    def _facts(self, conn: psycopg.Connection) -> Facts:
        return facts_of(conn, self._batch, lambda parts: self._days_of(tuple(parts)))

    def _days_of(self, parts: tuple[Part, ...]) -> Days:
        if self._days is None or self._days[0] != parts:
            self._days = parts, self._spool.days(parts)
        return self._days[1]

    def _outcomes(self, judging: Judging, survey: Survey) -> Iterator[Outcome]:
        """Judge block by block the bars whose key comes once, then together those of one key."""
        import numpy as np
        import polars as pl

        parts = judging.facts.parts
        repeated = RepeatedRows(self._folder, len(survey.repeated), _REPEATED_AT_ONCE)
        for number in range(self._spool.blocks):
            frame = self._spool.frame(number, parts)
            if len(survey.repeated):
                hashes = key_hashes(frame)
                is_repeated = np.isin(hashes, survey.repeated)
                of_keys = frame.filter(pl.Series(is_repeated))
                repeated.put(judging.candidates(number, of_keys), hashes[is_repeated].tolist())
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
            defects=BothDefects(unreadable, tally.defects),
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
        return found[:1] + sorted(found[1:], key=lambda check: (check.rule, check.columns))

    def _range(self, good: pl.DataFrame) -> None:
        times: Any = good["timestamp"]
        first, last = times.min().replace(tzinfo=UTC), times.max().replace(tzinfo=UTC)
        self.first = min(filter(None, (self.first, first)))
        self.last = max(filter(None, (self.last, last)))
        self.symbols |= set(good["symbol"].unique().to_list())


def _ends(survey: Survey) -> list[Candidate]:
    """The first and the last bar of each interval: sessions are needed from the one to the other."""
    return [
        Candidate(0, {"interval": interval, "timestamp": moment.replace(tzinfo=UTC)}, {})
        for interval, *ends in survey.ends
        for moment in ends
    ]
