"""Parity, measured: everything that was served is computed again offline, and the share that is identical to the bit.

Per answer: the feature row (asked again, hashed again, computed again from raw), the vector that it makes, the model's
answer to the stored vector, and the analyst's score and items; the analyst's answers outside sessions too. What was
found identical under one environment is not asked again under it, unless everything is asked for. The result is a row
of `trading.parity_runs`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from feature_store.store import FeatureStore
from serving.explanation.answering import ask_again
from serving.explanation.feature_rows import FeatureReplay
from serving.explanation.findings import Cause, Finding
from serving.explanation.models import Models, VersionRegistry
from serving.explanation.sentiments import AnalystReplay, AskAnalyst, ServedAnswer, answers_again
from serving.explanation.served import Served, outstanding, services_of

Connect = Callable[[], AbstractContextManager[psycopg.Connection]]


@dataclass(frozen=True)
class Compared:
    """One answer after its check: `outcome` is identical, elsewhere (another numeric environment) or differs."""

    served: Served | ServedAnswer
    outcome: str
    findings: Sequence[Finding]

    @property
    def cause(self) -> Cause | None:
        """The first cause found: what it rests on comes before it."""
        return self.findings[0].cause if self.findings else None

    @property
    def detail(self) -> str | None:
        """All that was found, in words."""
        return "; ".join(finding.what for finding in self.findings) or None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer and what is wrong with it as JSON can hold it."""
        return {
            "kind": self.served.kind,
            "id": self.served.subject_id,
            "symbol": self.served.symbol,
            "as_of": self.served.as_of.isoformat(),
            "cause": self.cause,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Measured:
    """One run: what was checked now, and how all that was ever served stands under this environment."""

    parity_id: int
    mode: str
    environment: str
    checked: int
    identical: int
    elsewhere: int
    differing: int
    served_in_all: int
    identical_in_all: int
    causes: dict[str, int]
    first_difference: dict[str, Any] | None
    seconds: float


def measure(
    connect: Connect,
    features: FeatureStore,
    registry: VersionRegistry,
    ask_analyst: AskAnalyst,
    *,
    full: bool,
    trace_id: str,
) -> Measured:
    """Compute again what was served and was not found identical yet (everything, if `full`), and record the result.

    Raises:
        EngineUnavailableError: an engine does not answer; nothing is recorded then.
    """
    started = time.monotonic()
    with connect() as conn:
        facts = _environment(conn)
        environment = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        served, sentiments = outstanding(conn, environment, full=full)
        compared = _compared(conn, features, registry, served)
        before = conn.execute(
            "select count(*), count(*) filter (where outcome = 'identical') from trading.parity_of(%s)", (environment,)
        ).fetchone()
    assert before is not None, "an aggregate always has a row"
    again = answers_again(sentiments, ask_analyst)
    compared += [_outcome(one, *found) for one, found in zip(sentiments, again, strict=True)]
    outcomes = Counter(one.outcome for one in compared)
    identical_before = 0 if full else before[1]
    differing = [one for one in compared if one.outcome == "differs"]
    run = {
        "mode": "full" if full else "new",
        "environment": environment,
        "checked": len(compared),
        "identical": outcomes["identical"],
        "elsewhere": outcomes["elsewhere"],
        "differing": len(differing),
        "served_in_all": before[0],
        "identical_in_all": identical_before + outcomes["identical"],
        "causes": dict(Counter(str(one.cause) for one in differing)),
        "first_difference": differing[0].to_dict() if differing else None,
        "seconds": time.monotonic() - started,
    }
    with connect() as conn:
        parity_id = _record(conn, run, facts, trace_id, compared)
    return Measured(parity_id=parity_id, **run)


def _environment(conn: psycopg.Connection) -> dict[str, str]:
    """What, besides the data, decides the bits: the models' numeric environment, and PostgreSQL with our functions."""
    found = conn.execute(
        "select current_setting('server_version'), (select max(version)::text from public.schema_migrations)"
    ).fetchone()
    assert found is not None, "a select without a table always has a row"
    return {**ask_again({}).environment, "postgres": found[0], "migration": found[1]}


def _compared(
    conn: psycopg.Connection, store: FeatureStore, registry: VersionRegistry, served: Sequence[Served]
) -> list[Compared]:
    decisions = [one.decision for one in served]
    models = Models(registry)
    models.ask(decisions)
    features = FeatureReplay(conn, store, services_of(conn, served))
    features.prepare(decisions)
    features.ask_together(decisions)
    analyst = AnalystReplay(conn)
    analyst.prepare(decisions)
    return [_compare(one, models, features, analyst) for one in served]


def _compare(served: Served, models: Models, features: FeatureReplay, analyst: AnalystReplay) -> Compared:
    decision = served.decision
    changed = "the stored record was changed: its hash is not that of its columns"
    found = [
        *([] if served.is_intact else [Finding(Cause.RECORD_CHANGED, changed)]),
        *features.findings(decision),
        *models.findings(decision),
        *analyst.findings(decision),
    ]
    return _outcome(served, found, models.is_same_environment(decision))


def _outcome(served: Served | ServedAnswer, found: Sequence[Finding], is_same_environment: bool) -> Compared:
    if found:
        return Compared(served, "differs", found)
    return Compared(served, "identical" if is_same_environment else "elsewhere", [])


def _record(
    conn: psycopg.Connection, run: dict[str, Any], facts: dict[str, str], trace_id: str, compared: Sequence[Compared]
) -> int:
    values = {
        **run,
        "causes": Jsonb(run["causes"]),
        "first_difference": None if run["first_difference"] is None else Jsonb(run["first_difference"]),
        "environment_facts": Jsonb(facts),
        "trace_id": trace_id,
    }
    written = conn.execute(
        f"insert into trading.parity_runs ({', '.join(values)})"
        f" values ({', '.join(f'%({name})s' for name in values)}) returning parity_id",
        values,
    ).fetchone()
    assert written is not None, "an insert returns its row"
    columns = "parity_id, kind, subject_id, outcome, cause, detail"
    with conn.cursor().copy(f"copy trading.parity_checks ({columns}) from stdin") as copy:
        for one in compared:
            copy.write_row(
                (
                    written[0],
                    one.served.kind,
                    one.served.subject_id,
                    one.outcome,
                    one.cause and str(one.cause),
                    one.detail,
                )
            )
    return int(written[0])
