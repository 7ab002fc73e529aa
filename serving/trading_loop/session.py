"""A session: its terms, and what is pinned the moment it opens.

Asked for again under the same terms it is the same session: its id is a function of them and of the model version that
its alias named. Pinned at the opening: the model version, the feature service of that version's card, and the newest
watermark; a replay reads everything at that watermark, whatever is ingested later. What happens inside is loop.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

import psycopg
from psycopg.types.json import Jsonb

from trading.adapters.event_chain import Event, append
from trading.adapters.ledger import CURRENCY, Ledger
from trading.adapters.ledger_rows import session_id_of
from trading.adapters.recalls import open_recalls, refuse_recalled
from trading.costs import Costs
from trading.errors import InputError, ModelError, NaiveTimeError
from trading.intervals import refuse_other_than_daily
from trading.portfolio import Portfolio
from trading.risk import RiskLimits

NO_SCORER = "none"
"""The scorer of a feature service whose model reads no news: its analyst is never asked."""


class Mode(StrEnum):
    """Whose clock a session follows: the bars' own, or the world's (with the paper broker, or a real one)."""

    REPLAY = "replay"
    PAPER = "paper"
    LIVE = "live"


@dataclass(frozen=True)
class SessionTerms:
    """What a session is asked to do.

    Attributes:
        name: Chosen by the caller; another name makes another session of otherwise equal terms.
        model_name: The registered model; `alias` or `model_version` says which version.
        first_timestamp, last_timestamp: The bars to trade, both included.
        latency: How long after a decision its order can reach the market at the earliest.
    """

    name: str
    source: str
    symbols: Sequence[str]
    first_timestamp: datetime
    last_timestamp: datetime
    model_name: str = "trader-daily"
    alias: str | None = "champion"
    model_version: str | None = None
    mode: Mode = Mode.REPLAY
    interval: str = "1d"
    starting_cash_usd: Decimal = Decimal(100_000)
    costs: Costs = field(default_factory=Costs)
    limits: RiskLimits = field(default_factory=RiskLimits)
    latency: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        """Refuse terms that no session could follow."""
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise InputError(f"expected one or more different symbols, found {list(self.symbols)}")
        refuse_other_than_daily(self.interval, "a trading session decides on daily bars")
        if self.first_timestamp.tzinfo is None or self.last_timestamp.tzinfo is None:
            raise NaiveTimeError(
                f"expected times with a zone, found {self.first_timestamp} and {self.last_timestamp}; add one"
            )
        if self.first_timestamp > self.last_timestamp:
            raise InputError(f"expected first <= last, found {self.first_timestamp} > {self.last_timestamp}")
        if (self.alias is None) == (self.model_version is None):
            raise InputError("expected either an alias or a pinned model version")


@dataclass(frozen=True)
class Session:
    """A session as it was opened."""

    session_id: str
    terms: SessionTerms
    model_version: str
    weights_sha256: str
    feature_service: dict[str, Any]
    watermark: int
    is_finished: bool

    @property
    def symbols(self) -> list[str]:
        """The symbols in name order: the order in which they are decided."""
        return sorted(self.terms.symbols)

    @property
    def scorer(self) -> str:
        """Who scores the news for this session's features; `none` if nobody does."""
        return str(self.feature_service.get("scorer") or NO_SCORER)

    @property
    def scorer_version(self) -> str:
        """The version of the scorer."""
        return str(self.feature_service.get("scorer_version") or "")


class Card(Protocol):
    """What a session needs of a version's card."""

    @property
    def feature_service(self) -> dict[str, Any]:
        """The feature service, as `feature_store.services` writes it."""

    @property
    def weights_sha256(self) -> str:
        """The hash of what decides."""


class Loaded(Protocol):
    """A version of a registered model."""

    @property
    def version(self) -> str:
        """Its number, as text."""

    @property
    def card(self) -> Any:
        """Its `Card`."""


class Registry(Protocol):
    """Where versions are found (`trading.adapters.registry`)."""

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> Loaded:
        """Return the version that an alias names, or a pinned one; its weights are verified."""


def open_session(
    conn: psycopg.Connection, registry: Registry, terms: SessionTerms, *, now: datetime, trace_id: str
) -> Session:
    """Return the session of these terms, opening it if it is new. One transaction of its own.

    Raises:
        ModelError: there is no such model, alias or version, or it carries no feature service.
        RecalledDataError: it would be a new session on bars that are recalled.
    """
    loaded = registry.load(terms.model_name, alias=terms.alias, version=terms.model_version)
    card: Card = loaded.card
    version = str(loaded.version)
    if not card.feature_service:
        raise ModelError(f"expected {terms.model_name} version {version} to carry its feature service, found none")
    session_id = session_id_of(_identity(terms, version))
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (session_id,))
        found = _read(conn, session_id, terms)
        if found is None:
            recalls = open_recalls(conn, terms.source, terms.symbols, terms.interval, terms.last_timestamp)
            refuse_recalled(recalls, f"the bars of a new session {terms.name!r}")
        return found or _open(conn, session_id, terms, version, card, now, trace_id)


def _identity(terms: SessionTerms, version: str) -> dict[str, Any]:
    return {
        "name": terms.name,
        "mode": terms.mode.value,
        "source": terms.source,
        "symbols": sorted(terms.symbols),
        "interval": terms.interval,
        "model_name": terms.model_name,
        "model_version": version,
        # In UTC: the same moment written in another zone must not be another session.
        "first_timestamp": terms.first_timestamp.astimezone(UTC).isoformat(),
        "last_timestamp": terms.last_timestamp.astimezone(UTC).isoformat(),
        "starting_cash": str(terms.starting_cash_usd.normalize()),
        "costs": terms.costs.to_dict(),
        "risk": terms.limits.to_dict(),
        "latency_seconds": terms.latency.total_seconds(),
    }


def _read(conn: psycopg.Connection, session_id: str, terms: SessionTerms) -> Session | None:
    row = conn.execute(
        "select model_version, weights_sha256, feature_service, watermark, status from trading.sessions"
        " where session_id = %s",
        (session_id,),
    ).fetchone()
    if row is None:
        return None
    version, weights, service, watermark, status = row
    return Session(session_id, terms, version, weights, service, watermark, status == "finished")


def _open(
    conn: psycopg.Connection,
    session_id: str,
    terms: SessionTerms,
    version: str,
    card: Card,
    now: datetime,
    trace_id: str,
) -> Session:
    # A pinned version may read a definition that was retired since: kept up again, its missed rows are made first.
    conn.execute("call features.take_up(%s)", (card.feature_service.get("definition"),))
    (watermark,) = conn.execute("select raw.newest_watermark()").fetchone() or (0,)
    conn.execute(
        "insert into trading.sessions (session_id, name, mode, source, interval, symbols, model_name, alias,"
        " model_version,"
        " weights_sha256, feature_service, currency, starting_cash, costs, risk, latency, first_timestamp,"
        " last_timestamp,"
        " watermark, created_at, trace_id)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            session_id,
            terms.name,
            terms.mode.value,
            terms.source,
            terms.interval,
            sorted(terms.symbols),
            terms.model_name,
            terms.alias,
            version,
            card.weights_sha256,
            Jsonb(dict(card.feature_service)),
            CURRENCY,
            terms.starting_cash_usd,
            Jsonb(terms.costs.to_dict()),
            Jsonb(terms.limits.to_dict()),
            terms.latency,
            terms.first_timestamp,
            terms.last_timestamp,
            watermark,
            now,
            trace_id,
        ),
    )
    _, deposit = Portfolio.opened(terms.starting_cash_usd)
    Ledger(conn, session_id).write_transaction("deposit", terms.first_timestamp, deposit)
    pinned = {**_identity(terms, version), "weights_sha256": card.weights_sha256, "watermark": watermark}
    append(conn, session_id, [Event("SessionOpened", terms.first_timestamp, pinned)])
    return Session(session_id, terms, version, card.weights_sha256, dict(card.feature_service), watermark, False)
