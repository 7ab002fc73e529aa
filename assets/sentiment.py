"""The sentiment head and what it makes of the news: a model like any other, and one score per item and version.

The corpus and the head live in trading/sentiment, retrieval and writing of scores in feature_store.
"""

from dataclasses import asdict, replace
from typing import Any

import dagster as dg

from assets.ingestion import NEWS_ITEMS
from assets.provenance import code_revision
from feature_store.news_scoring import ScoreReport, active_scorers, score_news
from feature_store.snapshots import Snapshot, write_snapshot
from feature_store.vectors import Judged
from trading.adapters.object_store import ObjectStore
from trading.adapters.postgres import Warehouse
from trading.adapters.promotions import Promotion, VerdictName, align_alias, promotions, record_promotion
from trading.adapters.registry import ModelRegistry
from trading.learners.environment import lock_hash, numeric_environment
from trading.learners.model_card import ModelCard
from trading.sentiment.corpus import Evaluation, Sentence, evaluate, grouped_split, load_corpus
from trading.sentiment.embeddings import WordLlamaEmbeddings
from trading.sentiment.features import FEATURES_VERSION
from trading.sentiment.head import HeadConfig, SentimentHead, train_head

HEAD = "sentiment-head"
SCORER = "head"
CHAMPION = "champion"
KIND = "sentiment_head"
SEED = 7
HEAD_KEY = dg.AssetKey(["models", "sentiment_head"])
SCORES_KEY = dg.AssetKey(["features", "news_scores"])
EMBEDDINGS_KEY = dg.AssetKey(["features", "news_embeddings"])


def champion_scorer(registry: ModelRegistry) -> Judged:
    """Return whose scores the daily features read: the head that its alias names now."""
    return Judged(SCORER, registry.alias(HEAD, CHAMPION))


@dg.asset(key=HEAD_KEY, group_name="training", kinds={"mlflow", "scikitlearn"})
def sentiment_head(
    warehouse: dg.ResourceParam[Warehouse],
    payloads: dg.ResourceParam[ObjectStore],
    registry: dg.ResourceParam[ModelRegistry],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A logistic head on text embeddings, trained on the project's own labelled sentences.

    Judged on a split that keeps near-duplicates together; the alias moves to a new version unless it judges worse.
    """
    sentences = load_corpus()
    asked = _card(_corpus_snapshot(sentences, payloads))
    version = registry.find(HEAD, training_key=asked.training_key) or _register(registry, sentences, asked)
    card = registry.card(HEAD, version)
    champion = _move_alias(warehouse, registry, version, card.metrics["accuracy"])
    return dg.MaterializeResult(
        metadata={
            "version": version,
            "champion": champion,
            "sentences": len(sentences),
            **card.metrics,
            "weights_sha256": card.weights_sha256,
            "snapshot_id": card.snapshot_id or "-",
            "mlflow": dg.MetadataValue.url(registry.version_url(HEAD, version)),
        }
    )


@dg.multi_asset(
    name="news_scores",
    specs=[
        dg.AssetSpec(
            EMBEDDINGS_KEY,
            deps=[NEWS_ITEMS],
            kinds={"postgres"},
            description="256 numbers per item and embedding model.",
        ),
        dg.AssetSpec(
            SCORES_KEY,
            deps=[EMBEDDINGS_KEY, HEAD_KEY],
            kinds={"postgres"},
            description="One score per item and head version in use.",
        ),
    ],
    group_name="features",
)
def news_scores(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    registry: dg.ResourceParam[ModelRegistry],
) -> Any:
    """Embed and score what has no embedding or no score yet, under every head in use: older definitions read theirs."""
    versions = head_versions_in_use(warehouse, registry)
    reports = [_scored(warehouse, registry, version) for version in versions]
    for report in reports:
        context.log.info(str(report))
    shown = {"scorer_version": ", ".join(versions), "summary": "; ".join(map(str, reports))}
    yield dg.MaterializeResult(asset_key=EMBEDDINGS_KEY, metadata=shown)
    yield dg.MaterializeResult(asset_key=SCORES_KEY, metadata=shown)


def head_versions_in_use(warehouse: Warehouse, registry: ModelRegistry) -> list[str]:
    """Return the champion head's version, then those that active feature definitions still read.

    A model stays with the definition it was trained on, and so do sessions pinned to it: without new scores of its own
    head, its sentiment would fall to "no items" and nobody would say so.
    """
    champion = registry.alias(HEAD, CHAMPION)
    read = [one.scorer_version for one in active_scorers(warehouse.url) if one.scorer == SCORER]
    return [champion, *(version for version in read if version != champion)]


def _scored(warehouse: Warehouse, registry: ModelRegistry, version: str) -> ScoreReport:
    head = SentimentHead.from_bytes(registry.load(HEAD, version=version).payload)
    return score_news(warehouse.url, head, SCORER, version, WordLlamaEmbeddings())


def _corpus_snapshot(sentences: tuple[Sentence, ...], payloads: ObjectStore) -> Snapshot:
    from pandas import DataFrame

    rows = [(one.id, one.text, one.label, one.topic) for one in sentences]
    return write_snapshot(DataFrame(rows, columns=["id", "text", "label", "topic"]), payloads)


def _trained(sentences: tuple[Sentence, ...]) -> SentimentHead:
    embeddings = WordLlamaEmbeddings()
    texts = [one.text for one in sentences]
    vectors = embeddings.embed_documents(texts)
    return train_head(texts, vectors, [one.label for one in sentences], seed=SEED, embedding_model=embeddings.model)


def _judged(sentences: tuple[Sentence, ...]) -> Evaluation:
    """Train on one part, judge on families of sentences that it never saw."""
    split = grouped_split(sentences, seed=SEED)
    head = _trained(split.train)
    texts = [one.text for one in split.test]
    probabilities = head.probabilities(texts, WordLlamaEmbeddings().embed_documents(texts))
    return evaluate([one.label for one in split.test], probabilities)


def _register(registry: ModelRegistry, sentences: tuple[Sentence, ...], asked: ModelCard) -> str:
    head, judged = _trained(sentences), _judged(sentences)
    metrics = {
        "accuracy": judged.accuracy,
        "macro_f1": judged.macro_f1,
        "log_loss": judged.log_loss,
        "expected_calibration_error": judged.expected_calibration_error,
    }
    card = replace(asked, weights_sha256=head.sha256, metrics=metrics)
    return registry.register(HEAD, head.to_bytes(), card, parameters={"sentences": len(sentences), "seed": SEED})


def _card(snapshot: Snapshot) -> ModelCard:
    """Return the card but for what training alone can tell: the weights and their metrics."""
    return ModelCard(
        kind=KIND,
        weights_sha256="",
        snapshot_id=snapshot.snapshot_id,
        parquet_sha256=snapshot.sha256,
        config={**asdict(HeadConfig()), "features": FEATURES_VERSION, "embeddings": WordLlamaEmbeddings().model},
        seeds=[SEED],
        code_revision=code_revision(),
        lock_hash=lock_hash(),
        numeric_environment=numeric_environment(),
    )


def _move_alias(warehouse: Warehouse, registry: ModelRegistry, version: str, accuracy: float) -> str:
    """Let the alias name `version` unless it judges worse than what stands; record the verdict once; return what stands."""
    with warehouse.connection() as conn:
        judged = promotions(conn, HEAD, CHAMPION)
        if all(version != earlier.to_version for earlier in judged):
            champion = judged[0].stands if judged else None
            record_promotion(conn, _verdict(registry, champion, version, accuracy))
    with warehouse.connection() as conn:
        return align_alias(conn, registry, HEAD, CHAMPION) or version


def _verdict(registry: ModelRegistry, champion: str | None, version: str, accuracy: float) -> Promotion:
    reason, report = f"accuracy {accuracy:.4f} on families of sentences not trained on", {"accuracy": accuracy}
    if champion is None:
        return Promotion(HEAD, CHAMPION, None, version, "baseline", reason, report)
    standing = registry.card(HEAD, champion).metrics["accuracy"]
    verdict: VerdictName = "promoted" if accuracy >= standing else "refused"
    return Promotion(HEAD, CHAMPION, champion, version, verdict, f"{reason}, against {standing:.4f}", report)
