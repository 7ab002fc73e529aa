"""Who consumed given feature rows, bars and training sets: decisions, fills, positions, backtests, models, promotions.

The rows come from feature_store/blast_radius.py; here they are looked up in the ledger and the registry, which is asked
only where a training set is concerned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from trading.adapters.consumed import (
    ConsumedBacktest,
    ConsumedDecision,
    ConsumedFill,
    ConsumingModel,
    ConsumingPromotion,
    OpenPosition,
)
from trading.scope_terms import ScopeTerms


class ReadSeries(Protocol):
    """Where first prints of a series rest on a superseded version (`feature_store.blast_radius.ConsumedSeries`)."""

    @property
    def source(self) -> str:
        """Whose series."""

    @property
    def symbol(self) -> str:
        """Of what."""

    @property
    def first_timestamp(self) -> datetime:
        """The first such row."""

    @property
    def last_timestamp(self) -> datetime:
        """The last such row."""

    @property
    def first_watermark(self) -> int:
        """When the first of them was published."""

    @property
    def last_watermark(self) -> int:
        """Until when they were read."""


class Versions(Protocol):
    """The part of the registry that lists versions."""

    def names(self) -> list[str]:
        """Return the registered models."""
        ...

    def versions(self, name: str) -> list[Any]:
        """Return the versions of one, with their tags and aliases."""
        ...


# Only what the model reads counts as changed: the columns of the session's feature service.
_DECISIONS = """
select
    d.decision_id, d.session_id, d.symbol, d.timestamp, d.outcome, d.model_name, d.model_version,
    coalesce(now_said.differs, false) as is_changed
from trading.decisions as d
join trading.sessions as s on s.session_id = d.session_id
left join lateral (
    select exists (
        select from jsonb_array_elements_text(s.feature_service -> 'columns') as c (name)
        where to_jsonb(n) -> c.name is distinct from to_jsonb(f) -> c.name
    ) as differs
    from {view} as f
    join {view} as n
        on n.definition = f.definition and n.source = f.source and n.symbol = f.symbol and n.interval = f.interval
        and n.timestamp = f.timestamp
    where f.row_id = d.feature_row_id and d.feature_row_id = any(%(changed)s)
    order by n.known_at desc, n.watermark desc, n.row_id desc
    limit 1
) as now_said on true
where d.definition = %(definition)s and d.feature_row_id = any(%(rows)s)
"""

_AT_BARS = """
select
    d.decision_id, d.session_id, d.symbol, d.timestamp, d.outcome, d.model_name, d.model_version, false as is_changed,
    'bar' as by
from trading.decisions as d
where d.bar_id = any(%(bars)s)
"""

_OF_MODELS = """
select
    d.decision_id, d.session_id, d.symbol, d.timestamp, d.outcome, d.model_name, d.model_version, m.is_changed,
    'model' as by
from unnest(%(snapshots)s::text[], %(differ)s::boolean[]) as m (snapshot_id, is_changed)
join trading.decisions as d on d.snapshot_id = m.snapshot_id
"""

_OF_SESSIONS = """
select
    d.decision_id, d.session_id, d.symbol, d.timestamp, d.outcome, d.model_name, d.model_version, m.is_changed,
    'session' as by
from unnest(%(sessions)s::text[], %(symbols)s::text[], %(differ)s::boolean[]) as m (session_id, symbol, is_changed)
join trading.decisions as d on d.session_id = m.session_id and d.symbol = m.symbol
"""

_FILLS = """
select f.fill_id, f.session_id, f.symbol, f.side, f.quantity, f.timestamp
from trading.fills as f
join trading.order_intents as i using (client_order_id)
where i.decision_id = any(%(decisions)s) or f.bar_id = any(%(bars)s)
order by f.timestamp, f.fill_id
"""

# A position rests on the fills since it was last flat; splits move it as fills do.
_POSITIONS = """
with moves as (
    select
        f.session_id, f.symbol, f.timestamp, 1 as place, f.fill_id,
        case f.side when 'buy' then f.quantity else -f.quantity end as quantity
    from trading.fills as f
    where exists (
        select from trading.fills as c
        where c.fill_id = any(%(fills)s) and c.session_id = f.session_id and c.symbol = f.symbol)
    union all
    select s.session_id, s.symbol, s.timestamp, 0, null, s.quantity_after - s.quantity_before
    from trading.position_splits as s
),

running as (
    select
        m.*,
        sum(m.quantity) over (
            partition by m.session_id, m.symbol order by m.timestamp, m.place, m.fill_id
        ) as held,
        row_number() over (partition by m.session_id, m.symbol order by m.timestamp, m.place, m.fill_id) as number
    from moves as m
),

opened as (
    select r.session_id, r.symbol, coalesce(max(r.number) filter (where r.held = 0), 0) as flat_at
    from running as r
    group by r.session_id, r.symbol
)

select p.session_id, s.name as session_name, s.status as session_status, p.symbol, p.quantity, p.cost_usd
from opened as o
join trading.positions as p on p.session_id = o.session_id and p.symbol = o.symbol and p.quantity > 0
join trading.sessions as s on s.session_id = p.session_id
where exists (
    select from running as r
    where r.session_id = o.session_id and r.symbol = o.symbol and r.number > o.flat_at and r.fill_id = any(%(fills)s))
order by s.name, p.session_id, p.symbol
"""

_BACKTEST = """
select distinct
    b.backtest_id, b.model_name, b.model_version, b.first_timestamp, b.last_timestamp, b.source, b.asked_symbols,
    b.symbols, coalesce(b.universe, '') as universe, coalesce(b.interval, '1d') as interval,
    coalesce(b.adjustment, 'raw') as adjustment, b.created_at
"""

_BACKTESTS = (
    _BACKTEST
    + """
from unnest(
    %(sources)s::text[], %(symbols)s::text[], %(first)s::timestamptz[], %(last)s::timestamptz[], %(from)s::bigint[],
    %(until)s::bigint[]
) as c (source, symbol, first_at, last_at, from_watermark, until_watermark)
join trading.backtests as b
    on b.source = c.source and c.symbol = any(b.symbols)
    and b.first_timestamp <= c.last_at and b.last_timestamp >= c.first_at
    and b.watermark between c.from_watermark and c.until_watermark
order by b.created_at, b.backtest_id
"""
)

_BACKTESTS_UNDER = (
    _BACKTEST
    + """
from trading.backtests as b
where b.backtest_id = any(%(backtests)s) or b.snapshot_id = any(%(snapshots)s)
order by b.created_at, b.backtest_id
"""
)

# The verdict on a version was given on its backtest; of the one that it was compared with there may be many.
_JUDGED_ON = """
select p.promotion_id, p.model_name, p.alias, p.from_version, p.to_version, p.verdict
from trading.promotions as p
join unnest(%(names)s::text[], %(versions)s::text[]) as m (name, version)
    on m.name = p.model_name and m.version = p.to_version
where p.verdict in ('promoted', 'refused')
group by p.promotion_id
order by p.promotion_id
"""

_PROMOTIONS = """
select p.promotion_id, p.model_name, p.alias, p.from_version, p.to_version, p.verdict
from trading.promotions as p
join unnest(%(names)s::text[], %(versions)s::text[]) as m (name, version)
    on m.name = p.model_name and m.version in (p.to_version, p.from_version)
group by p.promotion_id
order by p.promotion_id
"""


def decisions_on(
    conn: psycopg.Connection,
    rows: Mapping[tuple[str, str], tuple[Collection[int], Collection[int]]],
    bars: Collection[int],
) -> list[ConsumedDecision]:
    """Return the decisions that were served the rows or taken at the bars, by time.

    Args:
        rows: (view, definition) -> (row ids, those of them whose newest version says something else).
        bars: Ids in raw.price_bars.
    """
    cursor, found = conn.cursor(row_factory=class_row(ConsumedDecision)), dict[str, ConsumedDecision]()
    for one in cursor.execute(_AT_BARS, {"bars": list(bars)}).fetchall():
        found[one.decision_id] = one
    for (view, definition), (ids, changed) in rows.items():
        asked = {"definition": definition, "rows": list(ids), "changed": list(changed)}
        query = sql.SQL(_DECISIONS).format(view=sql.Identifier(*view.split(".")))
        found |= {one.decision_id: one for one in cursor.execute(query, asked).fetchall()}
    return sorted(found.values(), key=lambda one: (one.timestamp, one.decision_id))


def decisions_of_models(conn: psycopg.Connection, snapshots: Mapping[str, bool]) -> list[ConsumedDecision]:
    """Return the decisions of models that were trained on these sets; with each set whether it would differ today."""
    asked = {"snapshots": list(snapshots), "differ": list(snapshots.values())}
    return conn.cursor(row_factory=class_row(ConsumedDecision)).execute(_OF_MODELS, asked).fetchall()


def decisions_of_sessions(conn: psycopg.Connection, traded: Mapping[tuple[str, str], bool]) -> list[ConsumedDecision]:
    """Return the decisions about (session, symbol) pairs; with each whether it would not be traded today."""
    asked = {
        "sessions": [session for session, _ in traded],
        "symbols": [symbol for _, symbol in traded],
        "differ": list(traded.values()),
    }
    return conn.cursor(row_factory=class_row(ConsumedDecision)).execute(_OF_SESSIONS, asked).fetchall()


def fills_of(conn: psycopg.Connection, decisions: Collection[str], bars: Collection[int]) -> list[ConsumedFill]:
    """Return the fills of these decisions' orders and those at these bars, by time."""
    asked = {"decisions": list(decisions), "bars": list(bars)}
    return conn.cursor(row_factory=class_row(ConsumedFill)).execute(_FILLS, asked).fetchall()


def positions_on(conn: psycopg.Connection, fills: Collection[str]) -> list[OpenPosition]:
    """Return the positions, of running or finished sessions, that these fills are part of: since it was last flat."""
    return conn.cursor(row_factory=class_row(OpenPosition)).execute(_POSITIONS, {"fills": list(fills)}).fetchall()


def backtests_on(conn: psycopg.Connection, series: Sequence[ReadSeries]) -> list[ConsumedBacktest]:
    """Return the backtests whose window, symbols and publication read these first prints, oldest first."""
    asked = {
        "sources": [one.source for one in series],
        "symbols": [one.symbol for one in series],
        "first": [one.first_timestamp for one in series],
        "last": [one.last_timestamp for one in series],
        "from": [one.first_watermark for one in series],
        "until": [one.last_watermark for one in series],
    }
    return [_backtest(one) for one in conn.cursor(row_factory=dict_row).execute(_BACKTESTS, asked).fetchall()]


def backtests_under(
    conn: psycopg.Connection, days: Mapping[str, tuple[int, int]], snapshots: Collection[str]
) -> list[ConsumedBacktest]:
    """Return the backtests that were walked under corrected memberships, and those of models trained on such sets.

    Args:
        days: Backtest -> (symbol-days that rest on a corrected membership, those taken otherwise today).
        snapshots: Training sets that rest on one.
    """
    asked = {"backtests": list(days), "snapshots": list(snapshots)}
    found = conn.cursor(row_factory=dict_row).execute(_BACKTESTS_UNDER, asked).fetchall()
    return [_backtest(one, days.get(one["backtest_id"], (0, 0))) for one in found]


def _backtest(row: dict[str, Any], days: tuple[int, int] | None = None) -> ConsumedBacktest:
    asked = row["symbols"] if row["asked_symbols"] is None else row["asked_symbols"]
    scope = ScopeTerms(row["source"], tuple(asked), row["universe"], row["interval"], row["adjustment"])
    named = (row["backtest_id"], row["model_name"], row["model_version"], row["first_timestamp"], row["last_timestamp"])
    if days is None:
        return ConsumedBacktest(*named, scope)
    return ConsumedBacktest(*named, scope, "universe" if days[0] else "model", *days)


def models_on(registry: Versions, snapshots: Collection[str]) -> list[ConsumingModel]:
    """Return the versions whose card names one of these training sets, by name and number; without any nobody is asked.

    Raises:
        EngineUnavailableError: MLflow does not answer.
    """
    if not snapshots:
        return []
    found = [
        ConsumingModel(name, one.version, one.aliases, one.tags["snapshot_id"])
        for name in registry.names()
        for one in registry.versions(name)
        if one.tags.get("snapshot_id") in snapshots
    ]
    return sorted(found, key=lambda one: (one.name, int(one.version)))


def promotions_of(
    conn: psycopg.Connection, models: Sequence[ConsumingModel], judged_on: Sequence[ConsumedBacktest] = ()
) -> list[ConsumingPromotion]:
    """Return the verdicts that name these versions, and those that were given on these backtests, oldest first."""
    cursor = conn.cursor(row_factory=class_row(ConsumingPromotion))
    asked = {"names": [one.name for one in models], "versions": [one.version for one in models]}
    found = {one.promotion_id: one for one in cursor.execute(_PROMOTIONS, asked).fetchall()}
    asked = {"names": [one.model_name for one in judged_on], "versions": [one.model_version for one in judged_on]}
    found |= {one.promotion_id: one for one in cursor.execute(_JUDGED_ON, asked).fetchall()}
    return [found[number] for number in sorted(found)]
