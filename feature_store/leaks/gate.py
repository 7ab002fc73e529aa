"""The gate before training: everything that a training set rests on is judged, and the verdict is kept.

A verdict holds for one definition, one snapshot and one set of terms. Training asks for it and has it made if there is
none; so a run that skipped the check, in Dagster or anywhere, cannot train on a leak.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_store.views import DAILY
from trading.adapters.postgres import connection
from trading.errors import LeakError

if TYPE_CHECKING:
    import psycopg

    from feature_store.leaks.project import Model
    from feature_store.services import FeatureService
    from trading.leaks.declaring import Declared
    from trading.leaks.findings import Report

DECLARED = "feature_store.declared"
GATE_VERSION = "3"  # a change of what the gate judges makes every earlier verdict one of another gate


@dataclass(frozen=True)
class Verdict:
    """What the gate decided, as it is kept.

    Attributes:
        reports: One per definition judged: name, kind, columns, passed, findings.
        is_new: Whether it was judged now, or read.
    """

    definition: str
    snapshot_id: str
    passed: bool
    reports: list[dict[str, Any]]
    is_new: bool

    def sentence(self) -> str:
        """Return the verdict in one line; of a refusal the first leak and how to mend it."""
        columns = sum(len(report["columns"]) for report in self.reports)
        if self.passed:
            return f"no leak in {columns} columns of {len(self.reports)} definitions"
        report = next(report for report in self.reports if not report["passed"])
        return f"{report['name']} leaks: {report['findings'][0]['sentence']}"


def verdict_on(url: str, service: FeatureService, source: str, symbols: Sequence[str], snapshot_id: str) -> Verdict:
    """Return the recorded verdict on a training set, judged now if there is none.

    Raises:
        EngineUnavailableError: PostgreSQL does not answer.
    """
    from feature_store.leaks.project import declared_models
    from trading.leaks.loading import declared_in_package

    declared, models = declared_in_package(DECLARED), declared_models(url, scorer_variables(url))
    terms = _terms(declared, models)
    found = _recorded(url, service.definition, snapshot_id, terms)
    if found is not None:
        return found
    reports = [_told(report) for report in _judge(url, service, source, symbols, declared, models)]
    verdict = Verdict(service.definition, snapshot_id, all(one["passed"] for one in reports), reports, is_new=True)
    with connection(url) as conn:
        conn.execute(
            "insert into features.leak_verdicts (definition, snapshot_id, terms, passed, reports) values (%s, %s, %s, %s, %s)",
            (service.definition, snapshot_id, terms, verdict.passed, json.dumps(reports)),
        )
    return verdict


def refuse_leaks(verdict: Verdict) -> None:
    """Refuse to go on with a training set that leaks.

    Raises:
        LeakError: the verdict is a refusal.
    """
    if not verdict.passed:
        raise LeakError(f"expected a training set without leaks, found: {verdict.sentence()}")


def _judge(
    url: str,
    service: FeatureService,
    source: str,
    symbols: Sequence[str],
    declared: list[Declared],
    models: list[Model],
) -> list[Report]:
    from feature_store.leaks.adjusted import judge_adjusted
    from feature_store.leaks.cutting import Scope
    from feature_store.leaks.definitions import judge_definition, rolled_back
    from feature_store.leaks.models import judge_model
    from feature_store.leaks.subjects import registered
    from feature_store.leaks.world import read_world

    scope = Scope(source, symbols)
    with rolled_back(url) as conn:
        subject = registered(conn, service.definition)
        subjects = [subject, *([registered(conn, subject.indicators)] if subject.indicators else [])]
        reports = [judge_definition(conn, subject, scope) for subject in subjects]
        reports += judge_adjusted(conn, scope)
        reports += [judge_model(conn, model) for model in models]
        daily = subject.definition if subject.view == DAILY else _active_daily(conn)
        world = None if daily is None else read_world(conn, registered(conn, daily), source, symbols)
    return reports + judge_declared(declared, world)


def _active_daily(conn: psycopg.Connection) -> str | None:
    """Return the daily definition whose rows the declared functions read where a service is on another view."""
    row = conn.execute("select features.active(%s)", (DAILY,)).fetchone()
    return None if row is None else row[0]


def judge_declared(declared: Sequence[Declared], world: Any, *, full: bool = False) -> list[Report]:
    """Return a report per Python definition: on the made-up market, and on `world` if there is one.

    Args:
        full: Cut at every decision instead of some.
    """
    from trading.leaks.asking import ask_early
    from trading.leaks.judging import judge
    from trading.leaks.specimen import specimen

    worlds = [specimen()] if world is None else [specimen(), world]
    asked = ask_early(declared, worlds)
    return [
        judge(one, given, full=full, early=early)
        for given, answers in zip(worlds, asked, strict=True)
        for one, early in zip(declared, answers, strict=True)
    ]


def _told(report: Report) -> dict[str, Any]:
    sentences = {finding: finding.sentence() for finding in report.findings}
    told = report.to_dict()
    told["findings"] = [{**finding.to_dict(), "sentence": sentences[finding]} for finding in report.findings]
    return told


def scorer_variables(url: str) -> dict[str, str]:
    """Return the dbt variables of the active daily definition, so that its model compiles to what was registered."""
    with connection(url) as conn:
        row = conn.execute(
            "select parameters from features.definitions where definition = features.active('features.daily')"
        ).fetchone()
    kept = {} if row is None else row[0]
    return {name: str(kept[name]) for name in ("scorer", "scorer_version") if name in kept}


def _terms(declared: Sequence[Declared], models: Sequence[Model]) -> str:
    sources = [f"{one.kind} {one.horizon} {one.inputs} {inspect.getsource(one.function)}" for one in declared]
    return hashlib.sha256(
        "\n".join([GATE_VERSION, *sources, *(f"{one.relation} {one.leaks} {one.sql}" for one in models)]).encode()
    ).hexdigest()


def _recorded(url: str, definition: str, snapshot_id: str, terms: str) -> Verdict | None:
    with connection(url) as conn:
        row = conn.execute(
            "select passed, reports from features.leak_verdicts"
            " where definition = %s and snapshot_id = %s and terms = %s order by verdict_id desc limit 1",
            (definition, snapshot_id, terms),
        ).fetchone()
    return None if row is None else Verdict(definition, snapshot_id, row[0], row[1], is_new=False)
