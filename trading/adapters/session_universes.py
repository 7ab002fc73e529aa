"""Under which universe a session trades: written once, when it is opened; a session without a row trades what was named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

_RECORD = """
insert into trading.session_universes (session_id, universe, asked_symbols, on_date, as_of, watermark)
values (%s, %s, %s, %s, %s, %s)
on conflict (session_id) do nothing
"""


@dataclass(frozen=True)
class MembersAsked:
    """The question whose answer a session trades: who belonged on `on_date`, as known at (as_of, watermark).

    Attributes:
        asked_symbols: Only these were meant; empty: every member.
    """

    universe: str
    asked_symbols: Sequence[str]
    on_date: date
    as_of: datetime
    watermark: int


def record_session_universe(conn: psycopg.Connection, session_id: str, asked: MembersAsked) -> None:
    """Note which question a session's symbols answer; a second time nothing is added."""
    when = (asked.on_date, asked.as_of, asked.watermark)
    conn.execute(_RECORD, (session_id, asked.universe, sorted(asked.asked_symbols), *when))
