"""Model versions that nothing refers to: found in the warehouse and the registry, and taken away with their artefacts.

A version is held by an alias, by any row of the warehouse that names it (sessions, decisions, backtests, comparisons,
what was served, whatever names a model and a version), by a promotion from or to it, by being the newest of its model,
and by its age. Training sets and payloads are never touched: only what MLflow keeps under its own root goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from trading.adapters.mlflow_calls import be_patient_only_briefly, mlflow_errors
from trading.adapters.registry import ModelRegistry, VersionInfo
from trading.errors import ModelError

# Scores of years rest on heads, by many ways; a head is small.
NEVER = frozenset({"sentiment-head"})

_NAMING = """
select c.table_schema, c.table_name
from information_schema.columns as c
inner join information_schema.tables as t on c.table_schema = t.table_schema and c.table_name = t.table_name
where c.column_name = 'model_version' and t.table_type = 'BASE TABLE' and exists (
    select from information_schema.columns as n
    where n.table_schema = c.table_schema and n.table_name = c.table_name and n.column_name = 'model_name'
)
order by 1, 2
"""

_PROMOTED = """
select p.model_name, v.version
from trading.promotions as p
cross join lateral (values (p.from_version), (p.to_version)) as v (version)
where v.version is not null
"""


@dataclass(frozen=True)
class UnusedVersion:
    """A version that may go, and what its artefacts take."""

    name: str
    version: str
    created_at: datetime
    run_id: str
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the version as JSON values."""
        return {**asdict(self), "created_at": self.created_at.isoformat()}


def held_versions(conn: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """Return every (model, version) that a row of the warehouse names."""
    held = set(conn.execute(_PROMOTED).fetchall())
    for table in conn.execute(_NAMING).fetchall():
        query = sql.SQL("select distinct model_name, model_version from {} where model_version is not null")
        held |= set(conn.execute(query.format(sql.Identifier(*table))).fetchall())
    return held


def unused_versions(
    conn: psycopg.Connection[Any], registry: ModelRegistry, before: datetime, most: int
) -> list[UnusedVersion]:
    """Return at most `most` versions made before a moment that nothing refers to, the oldest first."""
    held = held_versions(conn)
    found = sorted(_candidates(registry, held, before), key=lambda one: (one.created_at_ms, one.name, one.version))
    return [
        UnusedVersion(one.name, one.version, _created(one), one.run_id, _stored_bytes(registry.tracking_uri, one))
        for one in found[:most]
    ]


def remove_version(conn: psycopg.Connection[Any], registry: ModelRegistry, one: UnusedVersion) -> None:
    """Take a version away: first its place in the registry, then its artefacts, so that nothing points at nothing.

    Raises:
        ModelError: something has come to refer to it meanwhile.
        EngineUnavailableError: MLflow or its artefact store is gone; what is left is under the same run.
    """
    now = next((info for info in registry.versions(one.name) if info.version == one.version), None)
    if now is None or now.aliases or (one.name, one.version) in held_versions(conn):
        raise ModelError(
            f"expected nothing to refer to {one.name} version {one.version}, found that something does now; it stays"
        )
    with mlflow_errors(registry.tracking_uri, f"taking away {one.name} version {one.version}"):
        client = _client(registry.tracking_uri)
        model_id = client.get_model_version(one.name, one.version).model_id
        places = list(_places(registry.tracking_uri, now))
        client.delete_model_version(one.name, one.version)
        for place in places:
            place.delete_artifacts()
        if model_id:
            client.delete_logged_model(model_id)
        if one.run_id:
            client.delete_run(one.run_id)


def _candidates(registry: ModelRegistry, held: set[tuple[str, str]], before: datetime) -> Iterator[VersionInfo]:
    for name in registry.names():
        if name in NEVER:
            continue
        for one in registry.versions(name)[1:]:  # the newest stays
            if not one.aliases and (name, one.version) not in held and _created(one) < before:
                yield one


def _created(one: VersionInfo) -> datetime:
    return datetime.fromtimestamp(one.created_at_ms / 1000, UTC)


def _stored_bytes(tracking_uri: str, one: VersionInfo) -> int:
    with mlflow_errors(tracking_uri, f"the artefacts of {one.name} version {one.version}"):
        return sum(_bytes_below(place, None) for place in _places(tracking_uri, one))


def _bytes_below(place: Any, path: str | None) -> int:
    return sum(
        _bytes_below(place, file.path) if file.is_dir else int(file.file_size or 0)
        for file in place.list_artifacts(path)
    )


def _places(tracking_uri: str, one: VersionInfo) -> Iterator[Any]:
    """Yield where a version's artefacts lie: the model's own and its run's."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client = _client(tracking_uri)
    uris = [client.get_model_version_download_uri(one.name, one.version)]
    if one.run_id:
        uris.append(client.get_run(one.run_id).info.artifact_uri)
    for uri in uris:
        yield get_artifact_repository(uri, tracking_uri=tracking_uri)


def _client(tracking_uri: str) -> Any:
    be_patient_only_briefly()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri, tracking_uri)
