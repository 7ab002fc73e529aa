"""What rests on a corrected membership: training sets, backtests and sessions that were made under its universe.

Each is asked again what it asked when it was made: was this symbol a member on this day, as known at the row's own time, up
to the publication that was read? It rests on a correction if that answer was the one before it. The rule that answers is the
one that made it (trading/adapters/memberships.py), over the first prints that it read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from feature_store.blast_radius_sql import HELD_ROWS, ROWS_THAT_DIFFER
from feature_store.offline import History, at_decision
from trading.adapters.memberships import Publications, Span
from trading.adapters.recalls import NEWEST, Asked


@dataclass(frozen=True)
class MembershipChange:
    """A membership that was corrected or came late."""

    why: str
    source: str
    universe: str
    symbol: str
    effective_date: date
    old_id: int | None
    new_id: int
    batch_id: int
    known_at: datetime
    watermark: int
    detail: str

    @property
    def at(self) -> datetime:
        """The label of a bar of its date."""
        return datetime.combine(self.effective_date, time(), UTC)


@dataclass(frozen=True)
class ConsumedDays:
    """How many symbol-days of something rest on a corrected membership, and of how many the answer is another one today.

    Today's answer is the one to the question as it was asked: as known at each row's own time.
    """

    days: int = 0
    differ: int = 0


@dataclass(frozen=True)
class ConsumedSession:
    """A session that traded the members of a universe as they were before a correction.

    Attributes:
        dropped: Symbols that it traded and that were no members.
        missed: Symbols that it did not trade and that were members.
        differing: Those of both that it would take otherwise today; the others were not known when it began.
    """

    session_id: str
    session_name: str
    universe: str
    dropped: list[str]
    missed: list[str]
    differing: list[str]


@dataclass(frozen=True)
class NotTried:
    """Training sets and backtests that were made before their universe was recorded: nobody can say under which."""

    training_sets: int = 0
    backtests: int = 0


@dataclass(frozen=True)
class MembershipReach:
    """What memberships reach: by the number of a training set in the register, and by the id of a backtest."""

    changes: list[MembershipChange] = field(default_factory=list)
    snapshots: dict[int, ConsumedDays] = field(default_factory=dict)
    backtests: dict[str, ConsumedDays] = field(default_factory=dict)
    sessions: list[ConsumedSession] = field(default_factory=list)
    not_tried: NotTried = field(default_factory=NotTried)


_CHANGES = """
select * from trading.membership_changes(%(batch)s, %(source)s, %(symbol)s, %(first)s, %(last)s)
order by universe, watermark, symbol, effective_date
"""

_READERS = {
    "snapshots": """
        select
            s.register_id as key, s.view, s.definition, s.source, s.asked_symbols, s.interval, s.first_timestamp,
            s.last_timestamp, s.watermark, (d.parameters ->> 'max_age_sessions')::integer as max_age_sessions
        from features.snapshots as s
        join features.definitions as d on d.definition = s.definition
        where s.universe = %s
    """,
    "backtests": """
        select
            b.backtest_id as key, d.view, b.definition, b.source, b.asked_symbols, b.interval, b.first_timestamp,
            b.last_timestamp, b.watermark, (d.parameters ->> 'max_age_sessions')::integer as max_age_sessions
        from trading.backtests as b
        join features.definitions as d on d.definition = b.definition
        where b.universe = %s
    """,
}

_SESSIONS = """
select s.session_id, s.name, s.source, s.interval, s.symbols, u.asked_symbols, u.on_date, u.as_of, u.watermark
from trading.session_universes as u
join trading.sessions as s on s.session_id = u.session_id
where u.universe = %s
order by s.created_at, s.session_id
"""

_HAD_BARS = """
select w.symbol
from unnest(%(symbols)s::text[]) as w (symbol)
where exists (
    select from raw.price_bars as b
    where b.source = %(source)s and b.symbol = w.symbol and b.interval = %(interval)s and b.watermark <= %(watermark)s)
order by w.symbol
"""

_NOT_TRIED = """
select
    (
        select count(*) from features.snapshots as s
        where s.universe is null and not exists (
            select from features.snapshots as o
            where o.snapshot_id = s.snapshot_id and o.sha256 = s.sha256 and o.universe is not null)
    ) as training_sets,
    (select count(*) from trading.backtests as b where b.universe is null) as backtests
"""


def trace_memberships(conn: psycopg.Connection, asked: Asked) -> MembershipReach:
    """Return what rests on the memberships that `asked` names were changed; nothing if none was."""
    changes = conn.cursor(row_factory=class_row(MembershipChange)).execute(_CHANGES, asked.parameters()).fetchall()
    if not changes:
        return MembershipReach()
    found = MembershipReach(changes, not_tried=_not_tried(conn))
    for universe in sorted({one.universe for one in changes}):
        publications = Publications(conn, universe)
        spans = list(_spans(publications, [one for one in changes if one.universe == universe]))
        found.snapshots.update(_made_of_rows(conn, "snapshots", universe, publications, spans))
        found.backtests.update(_made_of_rows(conn, "backtests", universe, publications, spans))
        found.sessions.extend(_sessions(conn, universe, publications, spans))
    return found


def rows_of_members(conn: psycopg.Connection, snapshot: dict[str, Any]) -> tuple[int, int]:
    """Count the consumed rows that a training set holds under its universe, and those it would freeze otherwise today.

    Asked within the transaction of `feature_store.blast_radius.trace`, whose rows it reads.
    """
    publications = Publications(conn, snapshot["universe"])
    then, now = publications.up_to(snapshot["watermark"]), publications.up_to(NEWEST)
    asked = {"register_id": snapshot["register_id"]}
    held = sum(then.is_member(symbol, at.date(), known_at) for symbol, at, known_at in conn.execute(HELD_ROWS, asked))
    if not held:
        return 0, 0
    twice = sql.SQL(ROWS_THAT_DIFFER).format(view=sql.Identifier(*snapshot["view"].split(".")))
    differ = sum(
        (was is not None and then.is_member(symbol, at.date(), was))
        or (present is not None and now.is_member(symbol, at.date(), present))
        for symbol, at, was, present in conn.execute(twice, asked)
    )
    return held, differ


def _spans(publications: Publications, changes: Iterable[MembershipChange]) -> Iterator[Span]:
    since: dict[int, dict[str, date]] = defaultdict(dict)
    for one in changes:
        earlier = since[one.watermark].get(one.symbol, one.effective_date)
        since[one.watermark][one.symbol] = min(earlier, one.effective_date)
    for watermark, symbols in since.items():
        yield from publications.spans(watermark, symbols)


def _made_of_rows(
    conn: psycopg.Connection, kind: str, universe: str, publications: Publications, spans: Sequence[Span]
) -> dict[Any, ConsumedDays]:
    readers = conn.cursor(row_factory=dict_row).execute(_READERS[kind].encode(), [universe]).fetchall()
    counted = {one["key"]: _counted(conn, one, publications, spans) for one in readers}
    return {key: days for key, days in counted.items() if days.days}


def _counted(
    conn: psycopg.Connection, reader: dict[str, Any], publications: Publications, spans: Sequence[Span]
) -> ConsumedDays:
    """Count the rows that a reader took, or left out, by an answer from before one of the publications of `spans`."""
    found = ConsumedDays()
    meant = [one for one in spans if not reader["asked_symbols"] or one.symbol in reader["asked_symbols"]]
    for symbol, at, known_at in _first_prints(conn, reader, meant):
        day, watermark = at.date(), reader["watermark"]
        if publications.rested(symbol, day, known_at, watermark, meant):
            said, says = (publications.up_to(one).is_member(symbol, day, known_at) for one in (watermark, NEWEST))
            found = replace(found, days=found.days + 1, differ=found.differ + (said != says))
    return found


def _first_prints(
    conn: psycopg.Connection, reader: dict[str, Any], spans: Sequence[Span]
) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield (symbol, timestamp, known_at) of the rows that the reader had before it, on the days of the spans."""
    if not spans:
        return
    first = max(datetime.combine(min(one.first for one in spans), time(), UTC), reader["first_timestamp"])
    asked = History(
        reader["view"],
        reader["definition"],
        (),
        [one.symbol for one in spans],
        interval=reader["interval"],
        watermark=reader["watermark"],
        source=reader["source"],
        start=first,
        end=reader["last_timestamp"],
        max_age_sessions=reader["max_age_sessions"],
    )
    rows = at_decision(conn, asked)
    for symbol, at, known_at in zip(rows["symbol"], rows["timestamp"], rows["known_at"], strict=True):
        yield symbol, at.to_pydatetime(), known_at.to_pydatetime()


def _sessions(
    conn: psycopg.Connection, universe: str, publications: Publications, spans: Sequence[Span]
) -> Iterator[ConsumedSession]:
    for one in conn.cursor(row_factory=dict_row).execute(_SESSIONS, [universe]).fetchall():
        day, as_of, watermark = one["on_date"], one["as_of"], one["watermark"]
        rested = {s.symbol for s in spans if publications.rested(s.symbol, day, as_of, watermark, [s])}
        said, says = publications.up_to(watermark), publications.up_to(NEWEST)
        dropped = sorted(rested & set(one["symbols"]))
        missed = _tradable(conn, one, {s for s in rested if not said.is_member(s, day, as_of)})
        differing = [s for s in dropped + missed if said.is_member(s, day, as_of) != says.is_member(s, day, as_of)]
        if dropped or missed:
            yield ConsumedSession(one["session_id"], one["name"], universe, dropped, missed, differing)


def _tradable(conn: psycopg.Connection, session: dict[str, Any], symbols: set[str]) -> list[str]:
    """Return those of the symbols that the session could have been opened with: asked for, and with bars."""
    meant = {symbol for symbol in symbols if not session["asked_symbols"] or symbol in session["asked_symbols"]}
    return [symbol for (symbol,) in conn.execute(_HAD_BARS, {**session, "symbols": list(meant)})]


def _not_tried(conn: psycopg.Connection) -> NotTried:
    found = conn.cursor(row_factory=class_row(NotTried)).execute(_NOT_TRIED).fetchone()
    return found or NotTried()
