"""The model registry on MLflow 3: versions with their cards, aliases, and loads that verify the weights.

A version is registered once per content (`ModelCard.content_key`), with everything in one call at its end, so that a
crash leaves at most a run without a version. Serving reads the canonical bytes; the learner's resume zip lies beside
the run and is never opened here. Whether an alias may move is the gate's business (trading/evaluation); that it moved
is recorded by the caller in trading.promotions, since MLflow keeps no history of aliases.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trading.adapters.mlflow_calls import be_patient_only_briefly, mlflow_errors
from trading.adapters.mlflow_runs import LoggedVersion, log_version
from trading.adapters.version_integrity import CARD_SHA256, CONTENT_KEY, TRAINING_KEY, agree, card_tags, verified_card
from trading.errors import ModelError
from trading.learners.loading import LOADERS, model_from_bytes
from trading.learners.model_card import ModelCard
from trading.ports import DecisionModel

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion


@dataclass(frozen=True)
class LoadedModel:
    """A version whose weights are verified. `model`: a `DecisionModel`, or the bytes of a kind that decides nothing."""

    name: str
    version: str
    model: Any
    payload: bytes = field(repr=False)
    card: ModelCard

    @property
    def decides(self) -> DecisionModel:
        """Return the model as one that decides.

        Raises:
            ModelError: it is of another kind.
        """
        if not isinstance(self.model, DecisionModel):
            raise ModelError(
                f"expected {self.name} version {self.version} to be a decision model, found {self.card.kind}"
            )
        return self.model


@dataclass(frozen=True)
class VersionInfo:
    """A version as a list shows it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    created_at_ms: int
    tags: Mapping[str, str]


class ModelRegistry:
    """Registered models of one MLflow server. Connects on the first call, not before."""

    def __init__(self, tracking_uri: str) -> None:
        """Remember where the server is."""
        self.tracking_uri = tracking_uri.rstrip("/")

    def register(
        self,
        name: str,
        model: DecisionModel | bytes,
        card: ModelCard,
        *,
        attachments: Mapping[str, bytes] | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Register a version and return its number; the number that it has already, if the content is known.

        Args:
            name: The slot, such as `trader-daily`.
            model: A decision model, or the bytes of another kind (`card.kind`).
            attachments: Files to keep with the run by name, such as the learner's resume zip.
            parameters: Logged with the run besides the card's own.
            tags: Set on the version besides the card's own.

        Raises:
            ModelHashError: the card names other weights.
            ModelError: the card names another kind.
            EngineUnavailableError: MLflow is gone.
        """
        payload = model if isinstance(model, bytes) else model.to_bytes()
        agree(name, payload, card, None if isinstance(model, bytes) else model.kind)
        known = self.find(name, content_key=card.content_key)
        if known is not None:
            return known
        with mlflow_errors(self.tracking_uri, f"registering {name}"):
            logged = log_version(self.tracking_uri, name, payload, card, attachments or {}, parameters or {})
            return self._create(name, card, logged, tags or {})

    def find(self, name: str, *, content_key: str | None = None, training_key: str | None = None) -> str | None:
        """Return the newest version with this key, or None: the model or the content may not exist yet."""
        tag, key = (CONTENT_KEY, content_key) if content_key is not None else (TRAINING_KEY, training_key)
        return next((one.version for one in self.versions(name) if key and one.tags.get(tag) == key), None)

    def load(self, name: str, *, alias: str | None = None, version: str | None = None) -> LoadedModel:
        """Return the version that `alias` names, or the pinned `version`, its weights verified.

        Raises:
            ModelError: no such model, version or alias, or a version that is not ours.
            ModelHashError: the weights are not those of the card, or the card not that of the version.
            EngineUnavailableError: MLflow or its artefact store is gone.
        """
        if (alias is None) == (version is None):
            raise ModelError(f"expected either an alias or a version of {name}, found {alias!r} and {version!r}")
        number = self.alias(name, alias) if alias is not None else str(version)
        with mlflow_errors(self.tracking_uri, f"{name} version {number}"):
            registered = self._client.get_model_version(name, number)
            payload, card_bytes = self._artefacts(name, number)
        card = verified_card(registered.tags, payload, card_bytes, f"{name} version {number}")
        model = model_from_bytes(card.kind, payload) if card.kind in LOADERS else payload
        return LoadedModel(name, number, model, payload, card)

    def card(self, name: str, version: str) -> ModelCard:
        """Return the card of a version, without verifying its weights."""
        with mlflow_errors(self.tracking_uri, f"{name} version {version}"):
            return ModelCard.from_json(self._artefacts(name, version)[1])

    def names(self) -> list[str]:
        """Return the names of all registered models."""
        with mlflow_errors(self.tracking_uri, "the names of the models"):
            return sorted(str(one.name) for one in self._client.search_registered_models(max_results=1000))

    def versions(self, name: str) -> list[VersionInfo]:
        """Return the versions of a model, newest first; none if there is no such model."""
        with mlflow_errors(self.tracking_uri, f"versions of {name}"):
            found = self._client.search_model_versions(f"name = '{_quoted(name)}'")
            aliases = self._aliases(name) if found else {}
            ours = [_info(one, aliases) for one in found]
        return sorted(ours, key=lambda one: int(one.version), reverse=True)

    def alias(self, name: str, alias: str) -> str:
        """Return the version that an alias names.

        Raises:
            ModelError: there is no such model or alias.
        """
        with mlflow_errors(self.tracking_uri, f"the alias {alias} of {name}"):
            return str(self._client.get_model_version_by_alias(name, alias).version)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version; recording why is the caller's (trading.promotions).

        Raises:
            ModelError: there is no such version.
        """
        with mlflow_errors(self.tracking_uri, f"{name} version {version}"):
            self._client.get_model_version(name, version)  # MLflow would let an alias point at nothing
            self._client.set_registered_model_alias(name, alias, version)

    def version_url(self, name: str, version: str) -> str:
        """Return where a version is shown in MLflow's own pages."""
        return f"{self.tracking_uri}/#/models/{name}/versions/{version}"

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version, such as the gate's verdict that came after it."""
        with mlflow_errors(self.tracking_uri, f"{name} version {version}"):
            for tag, value in tags.items():
                self._client.set_model_version_tag(name, version, tag, value)

    @cached_property
    def _client(self) -> MlflowClient:
        be_patient_only_briefly()
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri, self.tracking_uri)

    def _aliases(self, name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for alias, version in self._client.get_registered_model(name).aliases.items():
            found.setdefault(str(version), []).append(alias)
        return found

    def _artefacts(self, name: str, version: str) -> tuple[bytes, bytes]:
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="tradeloom-model-") as folder:
            # Not by `models:/`: MLflow resolves those at the module-wide registry, whatever is passed here.
            stored = self._client.get_model_version_download_uri(name, version)
            found = download_artifacts(
                artifact_uri=f"{stored.rstrip('/')}/artifacts", dst_path=folder, tracking_uri=self.tracking_uri
            )
            try:
                return (Path(found) / "model.bin").read_bytes(), (Path(found) / "card.json").read_bytes()
            except FileNotFoundError as error:
                raise ModelError(
                    f"expected model.bin and card.json in {name} version {version}; it is no version of ours"
                ) from error

    def _create(self, name: str, card: ModelCard, logged: LoggedVersion, tags: Mapping[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = self._client.create_model_version(
            name,
            source=logged.model_uri,
            run_id=logged.run_id,
            model_id=logged.model_id,
            tags={**tags, **card_tags(card), CARD_SHA256: logged.card_sha256},
            await_creation_for=0,  # it is ready when it is made; waiting only logs
        )
        return str(created.version)


def _info(version: MlflowVersion, aliases: Mapping[str, list[str]]) -> VersionInfo:
    number = str(version.version)
    return VersionInfo(
        name=version.name,
        version=number,
        aliases=tuple(sorted(aliases.get(number, ()))),
        run_id=version.run_id or "",
        created_at_ms=int(version.creation_timestamp),
        tags=dict(version.tags),
    )


def _quoted(name: str) -> str:
    return name.replace("'", "''")
