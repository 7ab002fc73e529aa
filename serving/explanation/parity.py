"""Parity, measured: everything that was served is computed again offline, and the share that is identical to the bit.

Per answer: the feature row (asked again, hashed again, computed again from raw), the vector that it makes, the model's
answer to the stored vector, and the analyst's score and items; the analyst's answers outside sessions too, and those of
/predict and /score, whose input is recorded. What was found identical under one environment is not asked again under
it, unless everything is asked for. The result is a row of `trading.parity_runs`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from feature_store.store import FeatureStore
from serving.explanation.answering import ask_again
from serving.explanation.compared import DIFFERS, ELSEWHERE, IDENTICAL, Compared, Tally
from serving.explanation.feature_rows import FeatureReplay
from serving.explanation.findings import record_changed
from serving.explanation.kept_answers import TABLES, AnswerKind, predictions_in, scores_in
from serving.explanation.models import Models, VersionRegistry
from serving.explanation.predictions import predictions_again
from serving.explanation.scores import AskScores, scores_again
from serving.explanation.sentiments import AnalystReplay, AskAnalyst, answers_again
from serving.explanation.served import Served, outstanding, services_of
from serving.explanation.spans import Range, Span, Spans, newest_settled, outstanding_ranges, record_spans

Connect = Callable[[], AbstractContextManager[psycopg.Connection]]


@dataclass(frozen=True)
class Sources:
    """What everything is computed again from; `ask_analyst` and `ask_scores` ask in processes of their own."""

    connect: Connect
    features: FeatureStore
    registry: VersionRegistry
    ask_analyst: AskAnalyst
    ask_scores: AskScores


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
    kinds: dict[str, dict[str, int]]
    causes: dict[str, int]
    first_difference: dict[str, Any] | None
    seconds: float


def measure(sources: Sources, *, full: bool, trace_id: str) -> Measured:
    """Compute again what was served and was not found identical yet (everything, if `full`), and record the result.

    Runs wait for each other.

    Raises:
        EngineUnavailableError: an engine does not answer; nothing is recorded then.
    """
    with sources.connect() as turn:
        turn.execute("lock table trading.parity_runs in share update exclusive mode")
        return _measured(sources, full=full, trace_id=trace_id)


def _measured(sources: Sources, *, full: bool, trace_id: str) -> Measured:
    started = time.monotonic()
    with sources.connect() as conn:
        facts = _environment(conn)
        environment = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        served, sentiments = outstanding(conn, environment, full=full)
        compared = _compared(conn, sources.features, sources.registry, served)
        newest = {kind: newest_settled(conn, kind) for kind in TABLES}
        ranges = {kind: outstanding_ranges(conn, environment, kind, newest[kind], full=full) for kind in TABLES}
        in_all, identical_before = _standing(conn, environment, newest)
    again = answers_again(sentiments, sources.ask_analyst)
    compared += [Compared.of(one, *found) for one, found in zip(sentiments, again, strict=True)]
    tally = Tally()
    tally.add(compared)
    spans = _spans(sources, ranges, tally)
    run: dict[str, Any] = {
        "mode": "full" if full else "new",
        "environment": environment,
        "checked": tally.checked,
        "identical": tally.count(IDENTICAL),
        "elsewhere": tally.count(ELSEWHERE),
        "differing": tally.count(DIFFERS),
        "served_in_all": in_all,
        "identical_in_all": (0 if full else identical_before) + tally.count(IDENTICAL),
        "kinds": {kind: dict(counts) for kind, counts in tally.kinds.items()},
        "causes": dict(tally.causes),
        "first_difference": tally.first.to_dict() if tally.first else None,
        "seconds": time.monotonic() - started,
    }
    with sources.connect() as conn:
        parity_id = _record(conn, run, facts, trace_id, compared)
        record_spans(conn, parity_id, spans)
    return Measured(parity_id=parity_id, **run)


def _standing(conn: psycopg.Connection, environment: str, newest: Mapping[AnswerKind, int]) -> tuple[int, int]:
    """Return how much was ever served, and how much of it is known to be identical under this environment."""
    found = conn.execute(
        "select count(*), count(*) filter (where outcome = 'identical') from trading.parity_of(%s)", (environment,)
    ).fetchone()
    spans = conn.execute("select trading.identical_answers(%s)", (environment,)).fetchone()
    assert found is not None, "an aggregate always has a row"
    assert spans is not None, "so has a sum"
    kept = [
        conn.execute(f"select count(*) from {table} where served_id <= %s", (newest[kind],)).fetchone()
        for kind, table in TABLES.items()
    ]
    return found[0] + sum(one[0] for one in kept if one is not None), found[1] + spans[0]


def _spans(sources: Sources, ranges: Mapping[AnswerKind, Sequence[Range]], tally: Tally) -> list[Span]:
    """Ask the answers of /predict and /score in these ranges again, block by block; count them too."""
    spans, models = Spans(), Models(sources.registry)

    def take(kind: AnswerKind, block: Sequence[Any], compared: list[Compared]) -> None:
        tally.add(compared)
        spans.add(kind, zip((one.served_id for one in block), compared, strict=True))

    for one in ranges["prediction"]:
        for block in predictions_in(sources.connect, one.first_id, one.last_id):
            take("prediction", block, predictions_again(block, models))
        spans.end_range()
    for one in ranges["score"]:
        for requests in scores_in(sources.connect, one.first_id, one.last_id):
            take("score", requests, scores_again(requests, sources.ask_scores))
        spans.end_range()
    return spans.done


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
    found = [
        *([] if served.is_intact else [record_changed()]),
        *features.findings(decision),
        *models.findings(decision),
        *analyst.findings(decision),
    ]
    return Compared.of(served, found, models.is_same_environment(decision))


def _record(
    conn: psycopg.Connection, run: dict[str, Any], facts: dict[str, str], trace_id: str, compared: Sequence[Compared]
) -> int:
    values = {
        **run,
        "kinds": Jsonb(run["kinds"]),
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
