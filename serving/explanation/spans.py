"""Which answers of /predict and /score are to be asked again, and how they came out, as spans of their numbers.

Answers that follow each other and came out alike are one row of `trading.parity_spans`: what is kept of a day on which
all is identical is one row, however many were served.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import psycopg

from serving.explanation.compared import Compared
from serving.explanation.kept_answers import TABLES, AnswerKind
from trading.errors import EngineUnavailableError

_LONGEST_WRITE_SECONDS = 30.0

# Who writes now; a writer holds this lock from before it takes a number until its commit.
_WRITERS = """
select l.virtualtransaction from pg_catalog.pg_locks as l
where l.relation = %s::regclass and l.mode = 'RowExclusiveLock'
    and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
"""


@dataclass(frozen=True)
class Range:
    """Answers by their numbers, both ends among them."""

    first_id: int
    last_id: int


@dataclass(frozen=True)
class Span:
    """Answers that follow each other and came out alike; `detail` is that of the first."""

    kind: AnswerKind
    first_id: int
    last_id: int
    outcome: str
    answers: int
    cause: str | None
    detail: str | None


def newest_settled(conn: psycopg.Connection, kind: AnswerKind) -> int:
    """Return the newest number up to which every answer is there: numbers are taken in order, commits may overtake.

    Nobody is kept waiting but the caller, who waits for those that write right now.

    Raises:
        EngineUnavailableError: one of them does not end.
    """
    table = TABLES[kind]
    (newest,) = conn.execute(f"select coalesce(max(served_id), 0) from {table}").fetchone() or (0,)
    writers = set(conn.execute(_WRITERS, (table,)).fetchall())
    deadline = time.monotonic() + _LONGEST_WRITE_SECONDS
    while writers & set(conn.execute(_WRITERS, (table,)).fetchall()):
        if time.monotonic() > deadline:
            waited = f"{_LONGEST_WRITE_SECONDS:g} s"
            raise EngineUnavailableError(
                f"expected what is being written to {table} to be there within {waited}, found that it is not;"
                " end the transaction that holds it (pg_locks) and run again"
            )
        time.sleep(0.05)
    return int(newest)


def outstanding_ranges(
    conn: psycopg.Connection, environment: str, kind: AnswerKind, newest_id: int, *, full: bool
) -> list[Range]:
    """Return what has no good word under this environment yet, or everything, up to `newest_id`."""
    if full:
        return [Range(1, newest_id)] if newest_id else []
    found = conn.execute(
        "select first_id, last_id from trading.outstanding_answers(%s, %s, %s)", (environment, kind, newest_id)
    )
    return [Range(*row) for row in found]


class Spans:
    """The spans of one run, made while answers come in their order."""

    def __init__(self) -> None:
        self.done: list[Span] = []
        self._open: Span | None = None

    def add(self, kind: AnswerKind, compared: Iterable[tuple[int, Compared]]) -> None:
        """Take in answers of one range with their numbers."""
        for number, one in compared:
            cause = None if one.cause is None else str(one.cause)
            last = self._open
            if last is not None and (last.kind, last.outcome, last.cause) == (kind, one.outcome, cause):
                self._open = replace(last, last_id=number, answers=last.answers + 1)
                continue
            self.end_range()
            self._open = Span(kind, number, number, one.outcome, 1, cause, one.detail)

    def end_range(self) -> None:
        """Say that what comes next does not follow what came last."""
        if self._open is not None:
            self.done.append(self._open)
        self._open = None


def record_spans(conn: psycopg.Connection, parity_id: int, spans: Sequence[Span]) -> None:
    """Write the spans of a run."""
    columns = "parity_id, kind, first_id, last_id, outcome, answers, cause, detail"
    with conn.cursor().copy(f"copy trading.parity_spans ({columns}) from stdin") as copy:
        for span in spans:
            copy.write_row((parity_id, *vars(span).values()))
