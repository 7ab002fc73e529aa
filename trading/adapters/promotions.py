"""The promotion ledger: which version an alias was moved to, or refused, and why. Append-only.

MLflow's alias says what stands now and keeps no history; this table is the history, and replay trusts only versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import psycopg
from psycopg.types.json import Jsonb

from trading.errors import ModelError
from trading.telemetry import current_trace_id

VerdictName = Literal["promoted", "refused", "rolled_back", "baseline"]


@dataclass(frozen=True)
class Promotion:
    """One verdict on a version for an alias."""

    model_name: str
    alias: str
    from_version: str | None
    to_version: str
    verdict: VerdictName
    reason: str
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stands(self) -> str | None:
        """The version that the alias names after this verdict."""
        return self.from_version if self.verdict == "refused" else self.to_version

    def moved_to(self, version: str) -> bool:
        """Whether this verdict put the alias on `version` (a rollback goes back, it does not count as having moved on)."""
        return self.verdict in ("promoted", "baseline") and self.to_version == version


_COLUMNS = "model_name, alias, from_version, to_version, verdict, reason, report"


def record_promotion(conn: psycopg.Connection, promotion: Promotion) -> None:
    """Append a verdict; the caller moves the alias after it, so that no move goes unrecorded."""
    conn.execute(
        f"insert into trading.promotions ({_COLUMNS}, decided_at, trace_id) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            promotion.model_name,
            promotion.alias,
            promotion.from_version,
            promotion.to_version,
            promotion.verdict,
            promotion.reason,
            Jsonb(dict(promotion.report)),
            datetime.now(UTC),
            current_trace_id(),
        ),
    )


def promotions(conn: psycopg.Connection, model_name: str, alias: str) -> list[Promotion]:
    """Return the verdicts on an alias, newest first."""
    rows = conn.execute(
        f"select {_COLUMNS} from trading.promotions where model_name = %s and alias = %s order by promotion_id desc",
        (model_name, alias),
    ).fetchall()
    return [Promotion(*row) for row in rows]


def newest_promotion(conn: psycopg.Connection, model_name: str, alias: str) -> Promotion | None:
    """Return the newest verdict on an alias; None if there was none."""
    return next(iter(promotions(conn, model_name, alias)), None)


class Aliases(Protocol):
    """The part of the registry that moves aliases."""

    def alias(self, name: str, alias: str) -> str:
        """Return the version that an alias names; ModelError if there is none."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        ...


def align_alias(conn: psycopg.Connection, registry: Aliases, model_name: str, alias: str) -> str | None:
    """Make the alias name what the ledger says stands, and return it: a crash between the two is mended by the next call."""
    newest = newest_promotion(conn, model_name, alias)
    if newest is None or newest.stands is None:
        return None
    if _named(registry, model_name, alias) != newest.stands:
        registry.set_alias(model_name, alias, newest.stands)
    return newest.stands


def _named(registry: Aliases, model_name: str, alias: str) -> str | None:
    try:
        return registry.alias(model_name, alias)
    except ModelError:
        return None
