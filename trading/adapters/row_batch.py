"""A delivery of actions, news or members, in memory as single rows. Of bars and trades there may be too many for that:
bar_batch.py, trade_batch.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg

from trading.adapters import warehouse
from trading.adapters.batch_facts import calendars_of_batch, facts_of
from trading.adapters.batch_report import Judged, NewRows, range_of, unfinished
from trading.adapters.payloads import Payload
from trading.adapters.placing import to_rows
from trading.adapters.warehouse import Batch
from trading.errors import NoRowsError
from trading.ingestion.candidates import Candidate, Parsed, parse
from trading.ingestion.folding import folded
from trading.ingestion.gaps import rename
from trading.ingestion.rows import RawRow, VersionedRow
from trading.ingestion.versions import new_versions
from trading.quality.gate import Facts, judge


class RowBatch:
    """One batch on its way into the warehouse, row by row."""

    def __init__(self, url: str, batch: Batch, payload: Payload) -> None:
        """Take the batch on; nothing is read yet."""
        self._url, self._batch, self._payload = url, batch, payload
        self._parsed: Parsed | None = None
        self._rows: list[RawRow] = []
        self._versions: list[VersionedRow] = []

    def read(self) -> None:
        """Read the payload.

        Raises:
            InputError: it cannot be read as a whole.
        """
        self._parsed = _parsed(self._batch, self._payload)

    def judge(self) -> Judged:
        """Judge the rows by what the warehouse knows now."""
        batch = self._batch
        # Judging names rows anew, so a second time begins with the payload.
        parsed, self._parsed = self._parsed or _parsed(batch, self._payload), None
        with warehouse.publishing(self._url) as conn:
            facts = self._facts(conn)
            if batch.kind == "actions":
                rename(parsed.candidates, facts.parts)
            used = {candidate.values.get("symbol") for candidate in parsed.candidates}
            calendars = calendars_of_batch(conn, batch, {symbol for symbol in used if symbol is not None}, facts.parts)
        left, rows_merged = folded(batch.kind, parsed.candidates)
        verdict = judge(batch.kind, left, facts)
        self._rows = to_rows(batch.kind, batch.source, verdict.good)
        defects = [*parsed.defects, *verdict.defects]
        first, last = range_of(batch.kind, verdict.good)
        return Judged(
            facts=facts,
            calendars=calendars,
            parts=tuple(part for part in facts.parts if part.name in used),
            rows_in=parsed.rows_in,
            rows_good=len(verdict.good),
            rows_merged=rows_merged,
            rows_unfinished=unfinished(defects),
            defects=defects,
            checks=tuple(verdict.checks),
            first=first,
            last=last,
            symbols=tuple(sorted({symbol for candidate in verdict.good for symbol in _named(candidate)})),
        )

    @contextmanager
    def publishing(self) -> Iterator[psycopg.Connection]:
        """Yield the connection of the publishing transaction."""
        with warehouse.publishing(self._url) as conn:
            yield conn

    def still_holds(self, conn: psycopg.Connection, facts: Facts) -> bool:
        """Tell whether what the batch was judged by is so still."""
        return self._facts(conn) == facts

    def compare(self, conn: psycopg.Connection, watermark: int) -> NewRows | None:
        """Return what of the good rows is new."""
        keys = [row.key for row in self._rows]
        known = warehouse.known_versions(conn, self._batch.kind, self._batch.source, keys, watermark)
        self._versions = new_versions(self._rows, known, self._batch.mode, self._batch.received_at)
        return NewRows(len(self._versions), _first_known(self._versions))

    def insert(self, conn: psycopg.Connection, watermark: int, batch_id: int) -> None:
        """Write what `compare` found to be new."""
        warehouse.insert_rows(conn, self._batch.kind, self._versions, watermark, batch_id)

    def _facts(self, conn: psycopg.Connection) -> Facts:
        return facts_of(conn, self._batch, lambda parts: {})


def _parsed(batch: Batch, payload: Payload) -> Parsed:
    try:
        return parse(payload.read(), batch.reader)
    except NoRowsError:
        if batch.mode == "live":
            return Parsed()
        raise


def _named(candidate: Candidate) -> tuple[str, ...]:
    values = candidate.values
    return tuple(values["symbols"]) if "symbols" in values else (values["symbol"],)


def _first_known(versions: Sequence[VersionedRow]) -> dict[str, datetime]:
    since: dict[str, datetime] = {}
    for version in versions:
        symbol = str(version.row.key[0])
        since[symbol] = min(since.get(symbol, version.known_at), version.known_at)
    return since
