"""What the loop writes: two paper sessions over the last sessions of the data, champion and challenger, as assets.

The loop itself is a process of serving/; the wiring hands it in as a `PaperDesk`, so that lineage runs from the vendor to
the portfolio without this room knowing how a session is run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

import dagster as dg

from assets.promotion import PROMOTIONS
from assets.scope import MarketScope
from assets.training import CHALLENGER, CHAMPION, SLOT
from assets.warehouse import DAILY
from trading.adapters.anchors import anchor_head
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.session_universes import record_session_universe
from trading.telemetry import tracing

GROUP = "trading"
SESSIONS = dg.AssetKey(["trading", "sessions"])
DECISIONS = dg.AssetKey(["trading", "decisions"])
ORDERS = dg.AssetKey(["trading", "orders"])
FILLS = dg.AssetKey(["trading", "fills"])
SNAPSHOTS = dg.AssetKey(["trading", "portfolio_snapshots"])
ANCHORS = dg.AssetKey(["trading", "event_anchors"])
STARTING_CASH_USD = Decimal(100_000)


@dataclass(frozen=True)
class PaperRequest:
    """A replay session to run, or to find: the same request is the same session."""

    name: str
    source: str
    symbols: Sequence[str]
    first_timestamp: datetime
    last_timestamp: datetime
    model_name: str
    alias: str
    starting_cash_usd: Decimal = STARTING_CASH_USD


@dataclass(frozen=True)
class PaperOutcome:
    """How a session stands."""

    session_id: str
    model_version: str
    status: str
    decisions: int
    orders: int
    fills: int
    denied: int
    equity_usd: Decimal | None
    seconds: float


class PaperDesk(Protocol):
    """Runs replay sessions with the paper broker and explains what they did."""

    def run(self, request: PaperRequest) -> PaperOutcome:
        """Take the session of this request as far as its bars go."""
        ...

    def explain_last_fill(self, session_ids: Sequence[str]) -> tuple[str, str, bool] | None:
        """Return (fill id, plain words, whether all verified) of the last fill of these sessions, if there is one."""
        ...


@dg.multi_asset(
    name="paper_sessions",
    specs=[
        dg.AssetSpec(
            SESSIONS, deps=[DAILY, PROMOTIONS], description="The terms of each session, pinned when it opened."
        ),
        dg.AssetSpec(DECISIONS, deps=[SESSIONS, DAILY], description="One row per session, symbol and bar."),
        dg.AssetSpec(ORDERS, deps=[DECISIONS], description="Intents committed, then sent to the paper broker."),
        dg.AssetSpec(FILLS, deps=[ORDERS], description="Fills at the next session's open, costs included."),
        dg.AssetSpec(SNAPSHOTS, deps=[FILLS], description="Cash, positions and equity at each bar's close."),
    ],
    group_name=GROUP,
    op_tags={"dagster/concurrency_key": "paper"},
)
def paper_sessions(
    context: dg.AssetExecutionContext,
    scope: MarketScope,
    warehouse: dg.ResourceParam[Warehouse],
    desk: dg.ResourceParam[PaperDesk],
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    """Replay the last bars twice: once as the champion decides, once as the challenger does."""
    with warehouse.connection() as conn:
        cut = scope.cut(conn)
        window = cut.windows.replay
        asked = scope.members_asked(conn, window.first)
        symbols = scope.members_at(conn, cut, window.first, asked)
    replayed = [timestamp for timestamp in cut.timestamps if window.first <= timestamp.date() <= window.last]
    outcomes = []
    with tracing(context.run.run_id.replace("-", "")):
        for alias in (CHAMPION, CHALLENGER):
            request = PaperRequest(alias, scope.source, symbols, replayed[0], replayed[-1], SLOT, alias)
            outcomes.append(desk.run(request))
            context.log.info(f"{alias}: {outcomes[-1]}")
    if asked is not None:
        with warehouse.connection() as conn:
            for outcome in outcomes:
                record_session_universe(conn, outcome.session_id, asked)
    yield from _results(outcomes)


def _results(outcomes: Sequence[PaperOutcome]) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
    counted = {
        SESSIONS: len(outcomes),
        DECISIONS: sum(outcome.decisions for outcome in outcomes),
        ORDERS: sum(outcome.orders for outcome in outcomes),
        FILLS: sum(outcome.fills for outcome in outcomes),
        SNAPSHOTS: len(outcomes),
    }
    shown = {
        outcome.session_id: dg.MetadataValue.text(
            f"version {outcome.model_version}: {outcome.decisions} decisions, {outcome.orders} orders, {outcome.fills} fills, "
            f"{outcome.denied} denied, equity {outcome.equity_usd:,.2f} USD"
        )
        for outcome in outcomes
    }
    for key, count in counted.items():
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": count, **shown})


@dg.asset(key=ANCHORS, deps=[SNAPSHOTS], group_name=GROUP, kinds={"s3", "postgres"})
def event_anchors(
    warehouse: dg.ResourceParam[Warehouse], payloads: dg.ResourceParam[ObjectStore]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Once a day, the head of every session's event chain as an object in S3: a rewritten chain no longer fits it."""
    with warehouse.connection() as conn:
        conn.autocommit = True
        session_ids = [row[0] for row in conn.execute("select session_id from trading.sessions order by session_id")]
        anchored = [anchor_head(conn, payloads, session_id, now=datetime.now(UTC)) for session_id in session_ids]
    heads = {anchor.session_id: anchor.object_key for anchor in anchored}
    return dg.MaterializeResult(metadata={"dagster/row_count": len(heads), **heads})
