"""Puts a session together: the only place of the loop that reads the environment or connects.

`run_session` is the door: terms in, report out; called again it goes on, and a finished session it leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import psycopg

from serving.trading_loop.crash_points import CrashPlan
from serving.trading_loop.loop import Counterparts, TradingLoop
from serving.trading_loop.session import Registry, SessionTerms, open_session
from trading.adapters.anchors import AnchorStore
from trading.adapters.object_store import ObjectStore
from trading.adapters.paper_broker import PaperBroker
from trading.adapters.postgres import connection
from trading.adapters.services import AnalystClient, OracleClient
from trading.errors import EngineUnavailableError
from trading.telemetry import current_trace_id


@dataclass(frozen=True)
class LoopSettings:
    """Where a session's engines and services are."""

    postgres_url: str
    oracle_url: str
    analyst_url: str
    mlflow_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_bucket: str = "tradeloom"
    crash_at: str | None = None
    timeout_seconds: float = 10.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> LoopSettings:
        """Return the settings of this process.

        Raises:
            EngineUnavailableError: an endpoint is not set.
        """

        def required(name: str) -> str:
            value = environ.get(f"TRADELOOM_{name}")
            if not value:
                raise EngineUnavailableError(
                    f"expected TRADELOOM_{name}, found nothing; start the engines with `tradeloom up`"
                )
            return value

        return cls(
            postgres_url=required("POSTGRES_URL"),
            oracle_url=required("ORACLE_URL"),
            analyst_url=required("ANALYST_URL"),
            mlflow_url=required("MLFLOW_URL"),
            s3_endpoint=required("S3_ENDPOINT"),
            s3_access_key=required("S3_ACCESS_KEY"),
            s3_secret_key=required("S3_SECRET_KEY"),
            s3_bucket=environ.get("TRADELOOM_S3_BUCKET", cls.s3_bucket),
            crash_at=environ.get("TRADELOOM_CRASH_AT"),
        )


@dataclass(frozen=True)
class SessionReport:
    """How a session stands after a run."""

    session_id: str
    model_version: str
    status: str
    decisions: int
    orders: int
    fills: int
    denied: int
    equity_usd: Decimal | None
    seconds: float


def run_session(
    terms: SessionTerms,
    settings: LoopSettings,
    *,
    registry: Registry | None = None,
    anchors: AnchorStore | None = None,
    on_bar: Callable[[int, int], None] = lambda done, total: None,
) -> SessionReport:
    """Open the session of these terms, or find it, and take it as far as the bars go.

    Args:
        registry: Where the model version is resolved; the MLflow registry by default.
        anchors: Where the chain's head is anchored; the object store by default.
        on_bar: Called after each bar with (bars done, bars in all).

    Raises:
        EngineUnavailableError: something does not answer; running again goes on from where it was.
    """
    started, trace_id = _now(), current_trace_id()
    url = settings.postgres_url
    with (
        connection(url, application="tradeloom-loop") as conn,
        connection(url, application="tradeloom-paper-broker") as broker_conn,
        OracleClient(settings.oracle_url, timeout_seconds=settings.timeout_seconds) as oracle,
        AnalystClient(settings.analyst_url, timeout_seconds=settings.timeout_seconds) as analyst,
    ):
        conn.autocommit = broker_conn.autocommit = True
        session = open_session(conn, registry or model_registry(settings), terms, now=started, trace_id=trace_id)
        others = Counterparts(oracle, analyst, PaperBroker(broker_conn, terms.costs), anchors or object_store(settings))
        crash = CrashPlan.from_setting(settings.crash_at)
        TradingLoop(conn, session, others, _now, trace_id, crash, on_bar).run()
        return _report(conn, session.session_id, (_now() - started).total_seconds())


def object_store(settings: LoopSettings) -> ObjectStore:
    """Return the object store of the settings."""
    return ObjectStore(settings.s3_endpoint, settings.s3_access_key, settings.s3_secret_key, settings.s3_bucket)


def model_registry(settings: LoopSettings) -> Registry:
    """Return the model registry of the settings."""
    from trading.adapters.registry import ModelRegistry

    registry: Registry = ModelRegistry(settings.mlflow_url)
    return registry


def _report(conn: psycopg.Connection, session_id: str, seconds: float) -> SessionReport:
    row = conn.execute(
        "select s.model_version, s.status,"
        " (select count(*) from trading.decisions as d where d.session_id = s.session_id),"
        " (select count(*) from trading.orders as o where o.session_id = s.session_id),"
        " (select count(*) from trading.fills as f where f.session_id = s.session_id),"
        " (select count(*) from trading.decisions as d where d.session_id = s.session_id and d.outcome = 'denied'),"
        " (select p.equity_usd from trading.portfolio_snapshots as p where p.session_id = s.session_id"
        "  order by p.timestamp desc limit 1)"
        " from trading.sessions as s where s.session_id = %s",
        (session_id,),
    ).fetchone()
    if row is None:
        raise EngineUnavailableError(f"expected session {session_id}, found none; run again")
    version, status, decisions, orders, fills, denied, equity_usd = row
    return SessionReport(session_id, version, status, decisions, orders, fills, denied, equity_usd, seconds)


def _now() -> datetime:
    return datetime.now(UTC)
