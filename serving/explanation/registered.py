"""What stands behind a decision besides data: the definition of its features, the news scores, the training snapshot.

Each is read and hashed again once, however many decisions share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from feature_store.snapshots import Snapshot, read_snapshot
from serving.explanation.checks import Link
from serving.explanation.models import Models
from serving.explanation.stored import StoredDecision, StoredSession
from trading.errors import IdentityError
from trading.ingestion.ports import PayloadStore


@dataclass
class Registered:
    """Definitions, scored news and snapshots, each checked at most once."""

    conn: psycopg.Connection
    objects: PayloadStore
    models: Models
    _definitions: dict[str, Link] = field(default_factory=dict)
    _snapshots: dict[tuple[str, str], Link] = field(default_factory=dict)
    _scores: dict[tuple[int, str, str], Link] = field(default_factory=dict)

    def definition(self, name: str | None) -> Link:
        """The definition that made the feature row, with the one it reads: names computed again from their content."""
        if name is None:
            return Link({"definition": None})
        if name not in self._definitions:
            self._definitions[name] = self._read_definition(name)
        return self._definitions[name]

    def model(self, decision: StoredDecision, session: StoredSession) -> Link:
        """The model version: loaded, its weights hashed again, and it reads the features that the session pinned."""
        row = decision.row
        facts = {"name": row.model_name, "version": row.model_version, "weights_sha256": row.weights_sha256}
        problems = self.models.weight_differences(decision)
        loaded = self.models.version(row.model_name, row.model_version).loaded
        if loaded is not None and dict(loaded.card.feature_service) != session.feature_service:
            problems.append("the session's feature service is not that of the model's card")
        return Link(facts, problems)

    def snapshot(self, decision: StoredDecision) -> Link:
        """The training rows of the model version: the file in S3 and the rows in it, each hashed again."""
        row = decision.row
        if row.snapshot_id is None:
            return Link({"snapshot_id": None, "note": "a rule, trained on nothing"})
        key = (row.model_name, row.model_version)
        if key not in self._snapshots:
            self._snapshots[key] = self._read_snapshot(*key, row.snapshot_id)
        return self._snapshots[key]

    def news(self, decision: StoredDecision) -> list[Link]:
        """The news items of a decision with their scores, each hashed again."""
        row = decision.row
        return [
            self._score(item, str(row.scorer), str(row.scorer_version))
            for item in row.sentiment_items
            if item.get("item_id") is not None
        ]

    def prepare_news(self, decisions: Sequence[StoredDecision]) -> None:
        """Read the scores behind all these decisions at once."""
        items = sorted({item["item_id"] for one in decisions for item in one.row.sentiment_items if "item_id" in item})
        rows = self.conn.execute(_SCORES, (items,)).fetchall()
        for item_id, scorer, version, score, row_hash, is_intact, batch_id, headline in rows:
            facts = {
                "item_id": item_id,
                "headline": headline,
                "scorer": scorer,
                "scorer_version": version,
                "score": score,
                "row_hash": bytes(row_hash).hex(),
                "batch_id": batch_id,
            }
            problems = [] if is_intact else [f"the score of item {item_id} was changed"]
            self._scores[(item_id, scorer, version)] = Link(facts, problems)

    def _score(self, item: Any, scorer: str, version: str) -> Link:
        found = self._scores.get((item["item_id"], scorer, version))
        if found is None:
            return Link({"item_id": item["item_id"]}, [f"item {item['item_id']} has no score of {scorer} {version}"])
        if "score" in item and item["score"] is not None and found.facts["score"] != item["score"]:
            return Link(
                found.facts, [*found.problems, f"the decision saw {item['score']!r} for item {item['item_id']}"]
            )
        return found

    def _read_definition(self, name: str) -> Link:
        found = self.conn.execute(_DEFINITION, (name,)).fetchone()
        if found is None:
            return Link({"definition": name}, ["the definition is not registered"])
        view, columns, parameters, again = found
        facts = {"definition": name, "view": view, "columns": columns, "parameters": parameters}
        problems = [] if again == name else ["the definition was changed: its name is not that of its content"]
        problems += self._changed_functions(name)
        read_from = parameters.get("indicators")
        return Link(facts, problems + (self.definition(read_from).problems if read_from else []))

    def _changed_functions(self, name: str) -> list[str]:
        """Say which function of a definition is no longer what its name means."""
        try:
            with self.conn.transaction():
                self.conn.execute("select features.check_functions(%s)", (name,))
        except psycopg.errors.IntegrityConstraintViolation as error:
            return [str(error).splitlines()[0]]
        return []

    def _read_snapshot(self, model: str, version: str, snapshot_id: str) -> Link:
        loaded = self.models.version(model, version).loaded
        if loaded is None:
            return Link({"snapshot_id": snapshot_id}, ["its model version cannot be loaded"])
        sha256 = loaded.card.parquet_sha256
        facts = {"snapshot_id": snapshot_id, "parquet_sha256": sha256}
        if loaded.card.snapshot_id != snapshot_id:
            return Link(facts, [f"the model's card names snapshot {loaded.card.snapshot_id}"])
        key = f"snapshots/{snapshot_id}/{sha256}.parquet"
        try:
            read_snapshot(Snapshot(snapshot_id, key, str(sha256), 0, None), self.objects)
        except IdentityError as error:
            return Link(facts, [str(error)])
        return Link(facts)


_DEFINITION = """
select d.view, d.columns, d.parameters,
    encode(sha256(
        raw.canon(d.view) || raw.canon(d.sql) || raw.canon(d.functions::text)
        || raw.canon(array_to_string(d.columns, '|')) || raw.canon(d.parameters::text)
    ), 'hex')
from features.definitions as d where d.definition = %s
"""

_SCORES = """
select s.item_id, s.scorer, s.scorer_version, s.score, s.row_hash,
    s.row_hash = sha256(
        raw.canon(n.row_hash) || raw.canon(s.scorer) || raw.canon(s.scorer_version)
        || raw.canon(s.score) || raw.canon(s.label)
    ),
    n.batch_id, n.headline
from features.news_scores as s inner join raw.news_items as n using (item_id)
where s.item_id = any(%s)
"""
