"""One MLflow run per registered version: parameters, metrics, the dataset, the model's files. registry.py makes the
version."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from trading.adapters.mlflow_calls import be_patient_only_briefly
from trading.learners.loading import LOADERS
from trading.learners.model_card import ModelCard
from trading.strategy import STATE_WIDTH

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

_LEARNERS = Path(__file__).resolve().parents[1] / "learners"
_DIGEST_LIMIT = 36  # MLflow's own; the whole id is a tag
_PARAMETER_LIMIT = 6000


@dataclass(frozen=True)
class LoggedVersion:
    """What a run left, ready to become a version."""

    run_id: str
    model_id: str
    model_uri: str
    card_sha256: str


def log_version(
    tracking_uri: str,
    name: str,
    payload: bytes,
    card: ModelCard,
    attachments: Mapping[str, bytes],
    parameters: Mapping[str, Any],
) -> LoggedVersion:
    """Log one run in the experiment `name` and the model in it, by models-from-code."""
    be_patient_only_briefly()
    import mlflow

    with _server(tracking_uri), tempfile.TemporaryDirectory(prefix="tradeloom-model-") as made:
        folder = Path(made)
        run_name = f"{card.kind}-{card.weights_sha256[:8]}"
        with mlflow.start_run(experiment_id=_experiment(name), run_name=run_name, nested=True) as run:
            _log_card(card, parameters)
            for file, content in attachments.items():
                (folder / file).write_bytes(content)
                mlflow.log_artifact(str(folder / file), "attachments")
            info = _log_model(folder, payload, card)
            return LoggedVersion(run.info.run_id, info.model_id, info.model_uri, _sha256(card))


def _experiment(name: str) -> str:
    """Return the experiment of a slot, made if it is new. `mlflow.set_experiment` would make it the process's own."""
    import mlflow
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(mlflow.create_experiment(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was first
            raise
        return str(mlflow.get_experiment_by_name(name).experiment_id)


def _log_card(card: ModelCard, parameters: Mapping[str, Any]) -> None:
    import mlflow

    flat = {**card.config, **parameters, "seeds": card.seeds, "lock_hash": card.lock_hash}
    mlflow.log_params({key: str(value)[:_PARAMETER_LIMIT] for key, value in flat.items()})
    mlflow.log_metrics(card.metrics)
    mlflow.set_tags({"kind": card.kind, "weights_sha256": card.weights_sha256, "code_revision": card.code_revision})
    mlflow.log_text(card.to_json(), "card.json")
    if card.snapshot_id is not None:
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        found = {"snapshot_id": card.snapshot_id, "parquet_sha256": card.parquet_sha256 or ""}
        source = CodeDatasetSource(tags=found)
        digest = card.snapshot_id[:_DIGEST_LIMIT]
        mlflow.log_input(MetaDataset(source, name="training", digest=digest), context="training", tags=found)


def _log_model(folder: Path, payload: bytes, card: ModelCard) -> Any:
    (folder / "model.bin").write_bytes(payload)
    (folder / "card.json").write_text(card.to_json())
    code = "pyfunc_model.py" if card.kind in LOADERS else "pyfunc_head.py"
    with _without_hints():
        return pyfunc_module().log_model(
            name="model",
            python_model=str(_LEARNERS / code),
            artifacts={"model": str(folder / "model.bin"), "card": str(folder / "card.json")},
            signature=_signature(card.kind),
            pip_requirements=_requirements(card.kind),  # given, since inferring them takes up to 40 s
            metadata={"card_sha256": _sha256(card), "feature_service": card.feature_service},
        )


def pyfunc_module() -> ModuleType:
    """Return `mlflow.pyfunc`, without what it warns about when first imported."""
    with _without_hints():
        import mlflow.pyfunc
    found: ModuleType = mlflow.pyfunc
    return found


@contextmanager
def _without_hints() -> Iterator[None]:
    """Silence two pieces of advice of MLflow 3.17: on its own annotations, and on input examples (we give a signature)."""
    with warnings.catch_warnings():
        for advice in (".*Any type hint is inferred", ".*An input example was not provided"):
            warnings.filterwarnings("ignore", message=advice, category=UserWarning)
        yield


def _signature(kind: str) -> ModelSignature:
    """Return what the pyfunc takes and gives; MLflow refuses other shapes by it."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    double = np.dtype(np.float64)
    if kind in LOADERS:
        states, answers = TensorSpec(double, (-1, STATE_WIDTH)), TensorSpec(double, (-1, 2))
        return ModelSignature(Schema([states]), Schema([answers]))
    return ModelSignature(Schema([ColSpec("string")]), Schema([TensorSpec(double, (-1,))]))


def _requirements(kind: str) -> list[str]:
    """Pin what is on an index; this package itself is not, and must be installed where the model is loaded."""
    names = ("mlflow", "numpy") if kind in LOADERS else ("mlflow", "numpy", "wordllama")
    return [f"{name}=={metadata.version(name)}" for name in names]


def _sha256(card: ModelCard) -> str:
    return hashlib.sha256(card.to_json().encode()).hexdigest()


@contextmanager
def _server(uri: str) -> Iterator[None]:
    """Point MLflow's module-wide client at `uri` for a block; its logging calls know no other way."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
