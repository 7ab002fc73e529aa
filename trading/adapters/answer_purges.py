"""Taking away what the services answered outside sessions, once it is old and parity has made it again.

Which answers may go is said by `trading.answer_state`, and triggers hold everything else (migration 0067). How answers
are made again lives in serving/explanation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from trading.telemetry import current_trace_id

ENDPOINTS = {"prediction": "/predict", "score": "/score", "served": "/decide", "sentiment": "/sentiment"}

_STATES = """
select s.state, count(*)
from (select trading.answer_state(%s, a.served_id, a.trace_id) as state from {} as a where a.served_at < %s) as s
group by s.state
"""


@dataclass(frozen=True)
class AnswerPurge:
    """What of the old answers of one endpoint went, or would go, and what stays.

    Attributes:
        answers: How many went, or would go.
        unchecked: Old ones that stay because parity has not made them again yet.
        differing: Old ones that stay because they came out otherwise.
        of_decisions: Old ones that stay because a decision was made under the same trace.
        more: Whether others may go: the bound of this purge was reached.
    """

    endpoint: str
    answers: int
    unchecked: int
    differing: int
    of_decisions: int
    more: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the purge as JSON values."""
        return asdict(self)

    def sentence(self, *, deleted: bool) -> str:
        """Return the purge in one line."""
        kept = (
            (self.unchecked, "that parity has not made again yet"),
            (self.differing, "that came out otherwise"),
            (self.of_decisions, "that belong to decisions"),
        )
        told = [f"{self.endpoint}: {self.answers:,} answers {'taken away' if deleted else 'would go'}"]
        told += [f"{count:,} {why} stay" for count, why in kept if count]
        return "; ".join([*told, *(["there are more, run it again"] if self.more else [])])


def purge_answers(conn: psycopg.Connection[Any], before: datetime, most: int, *, delete: bool) -> list[AnswerPurge]:
    """Take away at most `most` answers of each endpoint that were given before a moment, the oldest first.

    Waits for a run of parity, which would count what is going.

    Args:
        delete: False: say what would go, and take nothing.

    Raises:
        psycopg.errors.IntegrityError: an answer that has to stay was about to go; nothing is taken then.
    """
    with conn.transaction():
        conn.execute("lock table trading.parity_runs in share update exclusive mode")
        return [_purged(conn, kind, before, most, delete=delete) for kind in ENDPOINTS]


def _purged(conn: psycopg.Connection[Any], kind: str, before: datetime, most: int, *, delete: bool) -> AnswerPurge:
    table = _one(conn, "select trading.answers_table(%s)", (kind,))
    states = dict(conn.execute(sql.SQL(_STATES).format(sql.Identifier("trading", table)), (kind, before)).fetchall())
    may_go = states.get("checked", 0)
    gone = min(may_go, most)
    if delete and gone:
        gone = _one(conn, "select trading.purge_answers(%s, %s, %s, %s)", (kind, before, most, current_trace_id()))
    return AnswerPurge(
        endpoint=ENDPOINTS[kind],
        answers=gone,
        unchecked=states.get("unchecked", 0),
        differing=states.get("differs", 0),
        of_decisions=states.get("of_a_decision", 0),
        more=may_go > gone,
    )


def _one(conn: psycopg.Connection[Any], query: str, values: tuple[object, ...]) -> Any:
    found = conn.execute(query, values).fetchone()
    assert found is not None, "a select of a function has a row"
    return found[0]
