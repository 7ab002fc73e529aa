"""The registry against a real MLflow server on PostgreSQL and S3."""

import contextlib
import io
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from infra.local.object_store import minio_client
from infra.local.old_copies import old_copies, remove_copy
from trading.adapters.mlflow_runs import pyfunc_module
from trading.adapters.registry import ModelRegistry
from trading.adapters.unused_versions import remove_version, unused_versions
from trading.errors import EngineUnavailableError, ModelError, ModelHashError
from trading.learners.model_card import ModelCard
from trading.learners.policy_network import PolicyNetwork
from trading.strategy import MacdCross

pytestmark = pytest.mark.engines

STATES = np.array([[100.0, 55.0, 1.0, 1e6, 0.0, 0.1], [90.0, 45.0, -1.0, 2e6, 1.0, 0.0]])
SERVICE = {"name": "daily", "columns": ["close", "rsi_14", "macd", "volume", "sentiment"], "scorer": "head"}


def network_of(seed: int) -> PolicyNetwork:
    generator = np.random.default_rng(seed)
    shapes = {
        "layers.0.weight": (8, 6),
        "layers.0.bias": (8,),
        "layers.1.weight": (3, 8),
        "layers.1.bias": (3,),
        "standardisation.scales": (2,),
        "standardisation.mean": (6,),
        "standardisation.deviation": (6,),
    }
    return PolicyNetwork({name: generator.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()})


def card_of(model, **changes) -> ModelCard:
    card = ModelCard(
        kind=model.kind,
        weights_sha256=model.sha256,
        feature_service=SERVICE,
        definitions={"features.daily": "ab" * 32},
        snapshot_id="cd" * 32,
        parquet_sha256="ef" * 32,
        config={"timesteps": 100, "gamma": 0.97},
        seeds=[7, 8],
        code_revision="0123abc",
        lock_hash="99" * 32,
        numeric_environment={"python": "3.11"},
        metrics={"total_return": 0.125},
    )
    return replace(card, **changes)


@pytest.fixture(scope="module")
def registry(mlflow_url):
    return ModelRegistry(mlflow_url)


@pytest.fixture
def served_by(mlflow_url):
    """Load by MLflow's own hand; `models:/` is resolved at its module-wide registry."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)
    yield pyfunc_module().load_model
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


def test_a_version_comes_back_with_its_card_and_the_same_answers(registry):
    model = network_of(1)
    version = registry.register("round-trip", model, card_of(model), attachments={"resume.zip": b"PK"})
    loaded = registry.load("round-trip", version=version)
    assert (loaded.version, loaded.card) == (version, card_of(model))
    assert loaded.decides.decide(STATES) == model.decide(STATES)


def test_the_same_content_is_one_version(registry):
    model = network_of(2)
    first = registry.register("once", model, card_of(model))
    again = registry.register("once", model, card_of(model, metrics={"total_return": 0.5}, code_revision="other"))
    assert again == first
    assert len(registry.versions("once")) == 1
    other = registry.register("once", model, card_of(model, snapshot_id="00" * 32))
    assert other != first
    assert [one.version for one in registry.versions("once")] == [other, first]


def test_a_known_training_is_found_without_training(registry):
    model = network_of(3)
    card = card_of(model)
    assert registry.find("trained", training_key=card.training_key) is None
    version = registry.register("trained", model, card)
    assert registry.find("trained", training_key=card.training_key) == version
    assert registry.find("trained", training_key=replace(card, seeds=[9]).training_key) is None


def test_aliases_move_and_are_listed(registry):
    rule, learner = MacdCross(), network_of(4)
    first = registry.register("slot", rule, card_of(rule, snapshot_id=None, parquet_sha256=None))
    second = registry.register("slot", learner, card_of(learner))
    registry.set_alias("slot", "champion", first)
    registry.set_alias("slot", "challenger", second)
    assert registry.alias("slot", "champion") == first
    assert registry.load("slot", alias="champion").model == rule
    registry.set_alias("slot", "champion", second)
    assert registry.versions("slot")[0].aliases == ("challenger", "champion")
    assert "slot" in registry.names()
    assert registry.alias("slot", "champion") == second


def test_what_does_not_exist_is_a_model_error(registry):
    model = network_of(5)
    version = registry.register("exists", model, card_of(model))
    for missing in (
        lambda: registry.load("exists", alias="nobody"),
        lambda: registry.load("exists", version="99"),
        lambda: registry.load("nothing", alias="champion"),
        lambda: registry.set_alias("exists", "champion", "99"),
        lambda: registry.load("exists"),
    ):
        with pytest.raises(ModelError) as refused:
            missing()
        assert "\n" not in str(refused.value)
    assert registry.versions("nothing") == []
    assert registry.load("exists", version=version).version == version


def test_other_weights_than_the_cards_are_never_registered(registry):
    with pytest.raises(ModelHashError, match="by its card"):
        registry.register("wrong", network_of(6), card_of(network_of(7)))
    rule = MacdCross()
    with pytest.raises(ModelError, match="found a macd_cross"):
        registry.register("wrong", rule, card_of(rule, kind="policy_network"))
    assert registry.versions("wrong") == []


def test_changed_weights_are_refused_at_load(registry):
    """Whoever changes the tag or the artefact cannot make a changed model load."""
    model = network_of(8)
    version = registry.register("tampered", model, card_of(model))
    registry.set_tags("tampered", version, {"weights_sha256": "0" * 64})
    with pytest.raises(ModelHashError, match="not loaded"):
        registry.load("tampered", version=version)
    registry.set_tags("tampered", version, {"weights_sha256": model.sha256, "card_sha256": "0" * 64})
    with pytest.raises(ModelHashError, match="card"):
        registry.load("tampered", version=version)


def test_bytes_of_a_kind_that_does_not_decide_come_back_as_bytes(registry):
    import hashlib

    payload = b'{"weights": [1]}'
    card = ModelCard(kind="sentiment_head", weights_sha256=hashlib.sha256(payload).hexdigest())
    version = registry.register("texts", payload, card)
    loaded = registry.load("texts", version=version)
    assert loaded.model == payload
    with pytest.raises(ModelError, match="decision model"):
        _ = loaded.decides


def test_the_run_carries_parameters_metrics_the_dataset_and_the_attachment(registry, mlflow_url):
    from mlflow import MlflowClient

    model = network_of(9)
    version = registry.register("logged", model, card_of(model), attachments={"resume.zip": b"PK"}, parameters={"a": 1})
    client = MlflowClient(mlflow_url, mlflow_url)
    run = client.get_run(registry.versions("logged")[0].run_id)
    assert run.data.params["timesteps"] == "100"
    assert run.data.params["a"] == "1"
    assert run.data.metrics["total_return"] == 0.125
    assert run.info.status == "FINISHED"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == ("cd" * 32)[:36]
    assert {tag.key: tag.value for tag in dataset.tags}["snapshot_id"] == "cd" * 32
    assert [one.path for one in client.list_artifacts(run.info.run_id, "attachments")] == ["attachments/resume.zip"]
    assert client.get_model_version("logged", version).tags["snapshot_id"] == "cd" * 32


def test_mlflow_itself_loads_and_refuses_by_the_signature(registry, served_by):
    from mlflow.exceptions import MlflowException

    model = network_of(10)
    served = served_by(f"models:/pyfunc/{registry.register('pyfunc', model, card_of(model))}")
    expected = [[float(one.action), one.confidence] for one in model.decide(STATES)]
    assert served.predict(STATES).tolist() == expected
    with pytest.raises(MlflowException, match="shape"):
        served.predict(STATES[:, :5])


def test_mlflow_itself_scores_texts_by_a_registered_head(registry, served_by):
    from trading.sentiment.embeddings import WordLlamaEmbeddings
    from trading.sentiment.features import FEATURE_COUNT
    from trading.sentiment.head import SentimentHead

    embeddings, texts = WordLlamaEmbeddings(), ["Profit rose to a record.", "The plant was closed after a fire."]
    vectors = embeddings.embed_documents(texts)
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 0.3, (3, len(vectors[0]) + FEATURE_COUNT))
    head = SentimentHead(weights, np.zeros(3), embedding_model="wordllama")
    card = ModelCard(kind="sentiment_head", weights_sha256=head.sha256)
    version = registry.register("head", head.to_bytes(), card)
    assert served_by(f"models:/head/{version}").predict(texts).tolist() == head.scores(texts, vectors)


def test_a_registry_that_is_gone_says_so_at_once_in_one_line():
    gone = ModelRegistry("http://127.0.0.1:9")  # discard: nothing listens there
    started = time.monotonic()
    for call in (
        lambda: gone.alias("trader-daily", "champion"),
        lambda: gone.load("trader-daily", version="1"),
        lambda: gone.register("trader-daily", network_of(1), card_of(network_of(1))),
    ):
        with pytest.raises(EngineUnavailableError, match=r"tradeloom up") as refused:
            call()
        assert "\n" not in str(refused.value)
    assert time.monotonic() - started < 60


@pytest.mark.long
def test_a_version_that_nothing_refers_to_can_go_with_its_artefacts_and_no_other(
    registry, database_url, object_store_settings
):
    settings = object_store_settings
    s3 = minio_client(settings)
    s3.put_object(settings.bucket, "payloads-test/kept", io.BytesIO(b"rows"), 4)
    # What holds each version but the second is its name.
    names = ("aliased", "unused", "promoted", "decided", "young", "newest")
    versions = {}
    for seed, name in enumerate(names, 50):
        model = network_of(seed)
        versions[name] = registry.register("unused", model, card_of(model), attachments={"resume.zip": b"PK" * 500})
    registry.set_alias("unused", "champion", versions["aliased"])
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(
            "insert into trading.promotions (model_name, alias, from_version, to_version, verdict, reason, decided_at, "
            "trace_id) values ('unused', 'champion', %s, %s, 'promoted', 'test', now(), 'none')",
            (versions["promoted"], versions["aliased"]),
        )
        conn.execute("create table trading.later_table (model_name text, model_version text)")  # found by its columns
        conn.execute("insert into trading.later_table values ('unused', %s)", (versions["decided"],))
        young = next(one for one in registry.versions("unused") if one.version == versions["young"])
        before = datetime.fromtimestamp(young.created_at_ms / 1000, UTC)

        def stored() -> set[str]:
            found = s3.list_objects(settings.bucket, prefix="mlflow/", recursive=True)
            return {one.object_name for one in found}

        def found(before):
            return [one for one in unused_versions(conn, registry, before, 1000) if one.name == "unused"]

        (one,) = found(before)
        assert (one.version, one.bytes > 1000) == (versions["unused"], True)
        assert [other.version for other in found(before + timedelta(days=1))] == [one.version, versions["young"]]
        everything = stored()
        remove_version(conn, registry, one)
        assert found(before) == []
        gone = everything - stored()
        assert any(name.endswith("resume.zip") and one.run_id in name for name in gone)
        assert any(name.endswith("model.bin") for name in gone)
        with pytest.raises(ModelError):
            registry.load("unused", version=one.version)
        for name in names:
            if name != "unused":
                assert registry.load("unused", version=versions[name])

        (late,) = found(before + timedelta(days=1))
        registry.set_alias("unused", "challenger", late.version)  # between the look and the deed
        with pytest.raises(ModelError, match="it stays"):
            remove_version(conn, registry, late)
    with contextlib.closing(s3.get_object(settings.bucket, "payloads-test/kept")) as answer:
        assert answer.read() == b"rows"


def test_old_copies_of_the_cache_go_and_used_ones_stay(tmp_path):
    for name, age in (("old", 100), ("used", 1)):
        folder = tmp_path / "cache" / "features" / name
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"x" * 5000)
        then = (datetime.now(UTC) - timedelta(days=age)).timestamp()
        for path in (folder / "rows.parquet", folder):
            os.utime(path, (then, then))
    (old,) = old_copies(tmp_path, datetime.now(UTC) - timedelta(days=90))
    assert (old.path.name, old.bytes >= 5000) == ("old", True)
    remove_copy(old)
    assert [path.name for path in (tmp_path / "cache" / "features").iterdir()] == ["used"]
    assert old_copies(tmp_path / "nowhere", datetime.now(UTC)) == []
