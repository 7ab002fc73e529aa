"""What rests on what was changed: from corrected, late or recalled raw rows to feature rows and frozen training sets.

A derived row (known_at, source_watermark) was made from a superseded version exactly if that version was visible to it
and none that hides it was: a question of two numbers per row, so a million rows are traced in one pass. Decisions,
fills and models are traced from the rows by trading/adapters/consumers.py. The words are in docs/blast-radius.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from feature_store.blast_radius_sql import (
    BARS_TO_ROWS,
    CHANGES,
    CONSUMED,
    DROP_ON_TIME_NEWS,
    NEWS_CHANGES,
    NEWS_TO_ROWS,
    REACHES,
    ROWS_OF_INDICATORS,
    SERIES,
    SNAPSHOTS,
    SUMMARY,
    WOULD_DIFFER,
)
from feature_store.chart_reach import ConsumedChart, trace_charts
from feature_store.membership_reach import (
    ConsumedDays,
    MembershipChange,
    MembershipReach,
    rows_of_members,
    trace_memberships,
)
from feature_store.views import DAILY, is_of_bars
from trading.adapters.recalls import Asked
from trading.errors import InputError


@dataclass(frozen=True)
class Change:
    """A raw row that was corrected, came late, or was recalled.

    Attributes:
        what: `bar`, `trade`, `split`, `news` or `universe`; why: `corrected`, `late` or `recalled`.
        interval: Of a trade `trades`.
        key: A bar's or a trade's timestamp, a split's ex-date or a membership's first day (ISO), or a news item's id.
        old_id, new_id: The superseded row and the one that superseded it, in their raw table; None where there is none.
        batch_id: The batch that brought the change; of a recall the batch that had brought the bar.
    """

    what: str
    why: str
    source: str
    symbol: str | None
    interval: str | None
    timestamp: datetime
    key: str
    old_id: int | None
    new_id: int | None
    batch_id: int | None
    known_at: datetime
    watermark: int
    detail: str


@dataclass(frozen=True)
class ConsumedRows:
    """The rows of one definition that were made from a superseded version.

    Attributes:
        rows, changed: How many there are; how many have a newer version with other values.
        ids, changed_ids: Their row ids in `view`, ascending.
    """

    view: str
    definition: str
    rows: int
    changed: int
    series: int
    first_timestamp: datetime
    last_timestamp: datetime
    ids: list[int]
    changed_ids: list[int]


@dataclass(frozen=True)
class ConsumedSnapshot:
    """A frozen training set that holds such rows, or that was frozen under such memberships.

    Attributes:
        rows, rows_differ: Rows made from a superseded version; how many rows it would freeze otherwise today.
        days, days_differ: Symbol-days in it, or left out, by a membership that was corrected; how many would be taken
            otherwise today.
        universe: Empty: under none; None: frozen before this was recorded.
        asked_symbols: What the scope asked for; empty: it left the choice; None: frozen before this was recorded.
    """

    snapshot_id: str
    sha256: str
    object_key: str
    view: str
    definition: str
    source: str
    symbols: list[str]
    watermark: int
    row_count: int
    rows: int
    rows_differ: int
    days: int = 0
    days_differ: int = 0
    universe: str | None = None
    asked_symbols: list[str] | None = None
    interval: str | None = None
    adjustment: str | None = None

    @property
    def differs(self) -> bool:
        """Whether it would be frozen otherwise today."""
        return self.rows_differ > 0 or self.days_differ > 0


@dataclass(frozen=True)
class ConsumedSeries:
    """Where the first prints of a series, which backtests read, rest on a superseded version, by publication."""

    source: str
    symbol: str
    interval: str
    first_timestamp: datetime
    last_timestamp: datetime
    first_watermark: int
    last_watermark: int


@dataclass(frozen=True)
class Reach:
    """What of the feature store a change reaches."""

    changes: list[Change] = field(default_factory=list)
    rows: list[ConsumedRows] = field(default_factory=list)
    series: list[ConsumedSeries] = field(default_factory=list)
    snapshots: list[ConsumedSnapshot] = field(default_factory=list)
    memberships: MembershipReach = field(default_factory=MembershipReach)
    charts: list[ConsumedChart] = field(default_factory=list)

    @property
    def superseded_bars(self) -> list[int]:
        """The bars that were corrected or recalled, which decisions and fills may name."""
        return sorted({one.old_id for one in self.changes if one.what == "bar" and one.old_id is not None})


def trace(conn: psycopg.Connection, asked: Asked) -> Reach:
    """Return what the changes asked for reach; working tables live as long as the transaction of `conn`.

    Raises:
        InputError: there is no such batch.
    """
    _known_batch(conn, asked.batch)
    for name in ("changes", "news_changes", "reaches", "consumed"):
        conn.execute(sql.SQL("drop table if exists pg_temp.{}").format(sql.Identifier(name)))
    conn.execute("set local work_mem = '128MB'")  # whole histories are sorted, one at a time
    conn.execute(CHANGES, asked.parameters())
    conn.execute(NEWS_CHANGES, asked.parameters())
    conn.execute(REACHES)
    conn.execute(CONSUMED)
    _trace_rows(conn)
    conn.execute("analyze pg_temp.consumed")
    conn.execute(DROP_ON_TIME_NEWS)
    memberships = trace_memberships(conn, asked)
    changes = [*_changes(conn), *(_as_change(one) for one in memberships.changes)]
    rows, series, snapshots = _rows(conn), _series(conn), _snapshots(conn, memberships)
    return Reach(changes, rows, series, snapshots, memberships, trace_charts(conn))


def _known_batch(conn: psycopg.Connection, batch: int | None) -> None:
    if batch is not None:
        found = conn.execute("select 1 from raw.ingestion_batches where batch_id = %s", [batch]).fetchone()
        if found is None:
            raise InputError(f"expected a batch by its number, found no batch {batch}; see raw.ingestion_batches")


def _trace_rows(conn: psycopg.Connection) -> None:
    """Indicator rows first: daily rows are found through the indicator rows that they were made from."""
    found = conn.execute(
        "select definition, view, columns, parameters from features.definitions order by view desc, definition"
    ).fetchall()
    reached, told = (_any(conn, "reaches"), _any(conn, "news_changes"))
    for definition, view, columns, parameters in found:
        asked = {"view": view, "definition": definition, **{name: parameters.get(name) for name in _PARAMETERS}}
        if reached:
            step = BARS_TO_ROWS if is_of_bars(view) else ROWS_OF_INDICATORS
            conn.execute(_of_view(step, view, columns), asked)
            conn.execute("analyze pg_temp.consumed")
        if told and view == DAILY:
            conn.execute(_of_view(NEWS_TO_ROWS, view, columns), asked)


_PARAMETERS = ("indicators", "scorer", "scorer_version")


def _of_view(step: str, view: str, columns: Sequence[str]) -> sql.Composed:
    names = [sql.Identifier(name) for name in columns]
    return sql.SQL(step).format(
        view=sql.Identifier(*view.split(".")),
        mine=sql.SQL(", ").join(sql.SQL("i.{}").format(name) for name in names),
        newest=sql.SQL(", ").join(sql.SQL("n.{}").format(name) for name in names),
    )


def _any(conn: psycopg.Connection, table: str) -> bool:
    query = sql.SQL("select exists (select from pg_temp.{})").format(sql.Identifier(table))
    return bool((conn.execute(query).fetchone() or (False,))[0])


def _changes(conn: psycopg.Connection) -> list[Change]:
    return conn.cursor(row_factory=class_row(Change)).execute(_LISTED).fetchall()


_LISTED = """
select
    c.what, c.why, c.source, c.symbol, c.interval, c.timestamp,
    to_char(c.timestamp, case when c.interval = '1d' then 'YYYY-MM-DD' else 'YYYY-MM-DD"T"HH24:MI"Z"' end) as key,
    c.old_id, c.new_id, c.batch_id, c.known_at, c.watermark, c.detail
from pg_temp.changes as c
union all
select
    'news', n.why, n.source, null, null, n.nominal_at, n.news_id, n.old_item, n.new_item, n.batch_id, n.known_at,
    n.watermark, n.detail
from pg_temp.news_changes as n
order by 1, 3, 4, 6, 12
"""


def _rows(conn: psycopg.Connection) -> list[ConsumedRows]:
    return conn.cursor(row_factory=class_row(ConsumedRows)).execute(SUMMARY).fetchall()


def _series(conn: psycopg.Connection) -> list[ConsumedSeries]:
    return conn.cursor(row_factory=class_row(ConsumedSeries)).execute(SERIES).fetchall()


def _as_change(one: MembershipChange) -> Change:
    key = one.effective_date.isoformat()
    ids = (one.old_id, one.new_id, one.batch_id)
    return Change(
        "universe", one.why, one.source, one.symbol, None, one.at, key, *ids, one.known_at, one.watermark, one.detail
    )


def _snapshots(conn: psycopg.Connection, memberships: MembershipReach) -> list[ConsumedSnapshot]:
    found = []
    for one in _dicts(conn, SNAPSHOTS, {"registered": list(memberships.snapshots)}):
        days = memberships.snapshots.get(one["register_id"], ConsumedDays())
        if one["rows"] and one["universe"]:  # it holds the days of members only
            one["rows"], differ = rows_of_members(conn, one)
        else:
            differ = _differ(conn, one) if one["rows"] else 0
        del one["register_id"]
        if one["rows"] or days.days:
            found.append(ConsumedSnapshot(**one, rows_differ=differ, days=days.days, days_differ=days.differ))
    return found


def _dicts(conn: psycopg.Connection, query: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    return conn.cursor(row_factory=dict_row).execute(query, asked).fetchall()


def _differ(conn: psycopg.Connection, snapshot: dict[str, Any]) -> int:
    """Count the rows that freezing the same window now would give otherwise."""
    query = sql.SQL(WOULD_DIFFER).format(view=sql.Identifier(*snapshot["view"].split(".")))
    found = conn.execute(query, {"register_id": snapshot["register_id"]}).fetchone()
    return int(found[0]) if found else 0
