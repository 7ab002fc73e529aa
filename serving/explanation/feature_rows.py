"""The features level: does the same as-of question still give the row that was served, and does raw still give its
bits?

Two checks of one row. Asked again at the decision's (as_of, watermark) under its definition, the feature store must
give the stored row; and that row, computed anew from bars, splits, news and scores without reading anything derived,
must have the same identity. Decisions of a series share one pass over it (`features.recompute_series`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from feature_store.rows import FeatureRow
from feature_store.services import FeatureService
from feature_store.store import FeatureStore
from serving.explanation.findings import Cause, Finding
from serving.explanation.stored import StoredDecision
from trading.errors import InputError
from trading.strategy import FEATURE_COLUMNS, position_sign, state_vector

Series = tuple[str, str, str, str, int]
"""(definition, source, symbol, interval, watermark)"""
Moment = tuple[str, str, datetime, int, str]
"""(definition, source, as_of, watermark, interval)"""


@dataclass
class FeatureReplay:
    """The feature rows of decisions, asked again and computed again."""

    conn: psycopg.Connection
    store: FeatureStore
    services: dict[str, FeatureService]
    _answers: dict[tuple[str, str, str, datetime, int], FeatureRow | None] = field(default_factory=dict)
    _computed: dict[tuple[Series, datetime], tuple[bytes, datetime]] = field(default_factory=dict)
    _refused: dict[Series, str] = field(default_factory=dict)

    def prepare(self, decisions: Iterable[StoredDecision]) -> None:
        """Compute the series of all these decisions again, each in one pass."""
        asked: dict[Series, list[StoredDecision]] = defaultdict(list)
        for decision in decisions:
            if decision.row.definition is not None and decision.row.feature_timestamp is not None:
                asked[_series(decision)].append(decision)
        for series, same in asked.items():
            self._compute(series, same)

    def ask_together(self, decisions: Iterable[StoredDecision]) -> None:
        """Ask the store for the rows of all these decisions, those of one moment in one question."""
        asked: dict[Moment, list[StoredDecision]] = defaultdict(list)
        for decision in decisions:
            asked[self._moment(decision)].append(decision)
        for moment, same in asked.items():
            definition, source, as_of, watermark, interval = moment
            symbols = sorted({one.row.symbol for one in same})
            try:
                found = self.store.latest(
                    self.services[same[0].row.session_id], symbols, as_of, watermark, source or None, interval
                )
            except InputError:  # told decision by decision
                continue
            rows = {row.symbol: row for row in found}
            self._answers.update({(definition, source, one, as_of, watermark): rows.get(one) for one in symbols})

    def differences(self, decision: StoredDecision) -> list[str]:
        """Return how the decision's feature row differs from what is answered and computed now."""
        return [finding.what for finding in self.findings(decision)]

    def findings(self, decision: StoredDecision) -> list[Finding]:
        """Return the same with the cause of each difference."""
        row = decision.row
        try:
            answered = self.answer(decision)
        except InputError as error:
            return [Finding(Cause.DEFINITION_GONE, str(error))]
        if answered is None or row.feature_row_id is None:
            same = answered is None and row.feature_row_id is None
            return [] if same else [self._another_answer(decision, answered)]
        found = []
        if (answered.row_id, bytes.fromhex(answered.row_hash)) != (row.feature_row_id, row.feature_row_hash):
            found.append(self._another_answer(decision, answered))
        if not self.store.verify(answered):
            what = f"feature row {answered.row_id} was changed: its hash is not that of its values"
            found.append(Finding(Cause.FEATURE_ROW_CHANGED, what))
        if _vector(answered, decision) != row.vector:
            what = "the vector made of the feature row is not the one that was served"
            found.append(Finding(Cause.VECTOR_DIFFERS, what))
        return found + self._recomputed_differences(decision, answered)

    def _another_answer(self, decision: StoredDecision, answered: FeatureRow | None) -> Finding:
        row = decision.row
        what = f"the store answers {_named(answered)}, the decision had row {row.feature_row_id}"
        if answered is not None and answered.row_id == row.feature_row_id:
            return Finding(Cause.FEATURE_ROW_CHANGED, f"{what}: its hash is not the recorded one")
        view = self.services[row.session_id].view
        if row.feature_row_id is not None and self.store.by_id(view, row.feature_row_id) is None:
            return Finding(Cause.FEATURE_ROW_GONE, f"{what}, which is gone")
        return Finding(Cause.DATA_REVISED, what)

    def answer(self, decision: StoredDecision) -> FeatureRow | None:
        """Return what the feature store answers to the decision's question now."""
        row = decision.row
        service = self.services[row.session_id]
        key = (service.definition, row.source, row.symbol, row.as_of, row.watermark)
        if key not in self._answers:
            self._answers[key] = self.store.row(
                service, row.symbol, row.as_of, row.watermark, row.source or None, decision.interval
            )
        return self._answers[key]

    def _recomputed_differences(self, decision: StoredDecision, answered: FeatureRow) -> list[Finding]:
        refused = self._refused.get(_series(decision))
        if refused is not None:
            return [Finding(Cause.DEFINITION_GONE, f"nothing can be computed again: {refused}")]
        made = self._recomputed(decision, answered.timestamp)
        if made is None:
            return [Finding(Cause.DATA_REVISED, "nothing can be computed again from raw")]
        if made != decision.row.feature_row_hash:
            what = f"computed again from raw, the feature row has the identity {made.hex()[:16]}"
            return [Finding(Cause.DATA_REVISED, what)]
        return []

    def _moment(self, decision: StoredDecision) -> Moment:
        row = decision.row
        return (self.services[row.session_id].definition, row.source, row.as_of, row.watermark, decision.interval)

    def _recomputed(self, decision: StoredDecision, timestamp: datetime) -> bytes | None:
        row, series = decision.row, _series(decision)
        found = self._computed.get((series, timestamp))
        if found is not None and found[1] <= row.as_of:
            return found[0]
        # Something it rests on became known after the decision: this row is computed at its own moment, alone.
        alone = self.store.recompute(
            series[0], row.source, row.symbol, decision.interval, timestamp, row.as_of, row.watermark
        )
        return None if alone is None else bytes.fromhex(alone.row_hash)

    def _compute(self, series: Series, decisions: list[StoredDecision]) -> None:
        definition, source, symbol, interval, watermark = series
        timestamps = [one.row.feature_timestamp for one in decisions if one.row.feature_timestamp is not None]
        as_of = max(one.row.as_of for one in decisions)
        try:
            with self.conn.transaction():
                made = self.conn.execute(
                    "select at_time, row_hash, inputs_known_at"
                    " from features.recompute_series(%s, %s, %s, %s, %s, %s, %s, %s)",
                    (definition, source, symbol, interval, min(timestamps), max(timestamps), as_of, watermark),
                ).fetchall()
        except psycopg.OperationalError:
            raise
        except psycopg.DatabaseError as error:  # a function that the definition names is gone or another
            self._refused[series] = str(error).splitlines()[0]
            return
        for at_time, row_hash, known_at in made:
            self._computed[(series, at_time)] = (bytes(row_hash), known_at)


def _series(decision: StoredDecision) -> Series:
    row = decision.row
    return (str(row.definition), row.source, row.symbol, decision.interval, row.watermark)


def _vector(answered: FeatureRow, decision: StoredDecision) -> tuple[float, ...] | None:
    values = [answered.values.get(name) for name in FEATURE_COLUMNS]
    present = [value for value in values if value is not None]
    if len(present) != len(values):
        return None
    try:
        return tuple(state_vector(present, position_sign(decision.row.position_quantity)).tolist())
    except InputError:
        return None


def _named(answered: FeatureRow | None) -> str:
    return "no row" if answered is None else f"row {answered.row_id}"
